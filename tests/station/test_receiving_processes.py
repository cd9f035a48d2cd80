"""Several processes receive on one port as one does; one that dies takes nothing along that was answered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from node.domain.study import Intake
from node.infer.bundle import Bundle
from node.store.store import open_store
from node.system import RandomUids, SystemClock
from tests.station.app_ground import install
from tests.station.processes_ground import (
    OWN_DEVICE,
    PLACES,
    Ground,
    call,
    gone,
    receiving_in_processes,
    receiving_processes,
)
from tests.station.receiving_node import wait_until, write_instance


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with receiving_in_processes(tmp_path / "data") as started:
        yield started


def test_two_processes_receive_as_one_does(ground: Ground, tmp_path: Path) -> None:
    first, second = ground.receivers.processes
    associations = [ground.call() for _ in range(PLACES)]
    assert all(association.is_established for association in associations)
    assert ground.call().is_rejected, "the places are those of all processes together"
    with ground.receivers._lock:
        shares = [len(running.connections) for running in ground.receivers._runs()]
    assert sum(shares) in {PLACES, PLACES + 1}
    assert min(shares) >= PLACES // 2

    files = [write_instance(tmp_path / f"{number}.dcm", number) for number in range(8)]
    for association in associations:
        for path, _uid in files[::2] if association is associations[0] else files:
            assert association.send_c_store(pydicom.dcmread(path)).Status == 0x0000
    own = pydicom.dcmread(files[0][0])
    own.SOPInstanceUID, own.DeviceUID = "2.25.1", OWN_DEVICE
    own.file_meta.MediaStorageSOPInstanceUID = own.SOPInstanceUID
    assert associations[0].send_c_store(own).Status == 0x0000
    for association in associations:
        association.release()
    wait_until(lambda: ground.listener.connections == 0, "every connection is over")
    assert ground.ends() == ["released"] * PLACES
    assert {uid for (uid,) in ground.rows("SELECT sop_instance_uid FROM instances")} == {
        uid for _, uid in files
    }
    assert ground.rows("SELECT sop_instance_uid FROM own_objects") == [("2.25.1",)], "the loop guard knows"
    assert all(ground.store.files.verify(key) for (key,) in ground.rows("SELECT object_key FROM instances"))
    counted = ground.metrics.exposition().decode()
    assert f'instances_received_total{{intake="{Intake.NEW}"}} 8.0' in counted
    assert f'instances_received_total{{intake="{Intake.REPEATED}"}} 20.0' in counted
    assert "groundglass_associations_open 0.0" in counted

    (name,) = (running.name for running in ground.receivers._runs() if running.child.pid == first)
    half = ground.store.files._spool / f"{name}1.part"
    half.touch()
    kept, lost = ground.call(), ground.call()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: "aborted" in ground.ends(), "the end of its association is recorded")
    assert ground.ends()[PLACES:].count(None) == 1, "that of the other process goes on"
    wait_until(lambda: len(ground.receivers.processes) == 2, "another one is started")
    assert first not in ground.receivers.processes
    assert not half.exists(), "what it had received by half is nobody's"
    assert second in ground.receivers.processes
    assert ground.receivers.problem == ""
    alive = [item for item in (kept, lost) if item.is_established]
    assert [item.send_c_store(pydicom.dcmread(files[0][0])).Status for item in alive] == [0x0000]
    more = [ground.call() for _ in range(PLACES - 1)]
    assert all(item.is_established for item in more), "its places are free again"

    processes = ground.receivers.processes
    os.kill(processes[0], signal.SIGTERM)
    assert not gone(processes[0]), "it is the node's process that is told to stop"
    assert ground.listener.stop(grace_seconds=0.1)
    assert all(gone(process) for process in processes)
    assert None not in ground.ends()
    assert set(ground.ends()[PLACES:]) == {"aborted", "restart"}


@pytest.mark.long
def test_nothing_is_left_behind_by_a_node_that_is_killed(tmp_path: Path, tiny_bundle: Bundle) -> None:
    place = install(tmp_path, tiny_bundle)
    place.config.write_text(place.config.read_text() + "\n[limits]\nreceiving_processes = 2\n")
    path, _uid = write_instance(tmp_path / "1.dcm")
    command = [sys.executable, "-m", "node", "serve", "--config", str(place.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert "listens on" in serving.stdout.readline()
        processes = receiving_processes(serving.pid)
        assert len(processes) == 2
        association = call(place.port)
        assert association.send_c_store(pydicom.dcmread(path)).Status == 0x0000
        serving.kill()
    wait_until(lambda: all(gone(process) for process in processes), "they end with the node")
    wait_until(lambda: not association.is_established, "the peer is told")

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert "listens on" in serving.stdout.readline(), "the store is free"
        association = call(place.port)
        assert association.send_c_store(pydicom.dcmread(path)).Status == 0x0000
        processes = receiving_processes(serving.pid)
        serving.terminate()
    assert serving.returncode == 0
    assert all(gone(process) for process in processes)
    store = open_store(place.settings.node.data_dir, clock=SystemClock(), uids=RandomUids())
    with store.database.read() as connection:
        ends = connection.exec_driver_sql('SELECT "end" FROM associations').scalars().all()
    store.close()
    assert ends == ["restart", "restart"]
