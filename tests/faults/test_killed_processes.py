"""Receiving processes that are killed, and nodes that have them: what was acknowledged is there, whole."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from node.dimse import receivers
from node.dimse.receivers import STEADY_SECONDS, TELLING, TELLING_SECONDS
from node.domain.errors import StoreInUse
from node.store.claim import StoreClaim
from node.store.store import open_store
from node.system import SystemClock
from tests.faults.failing_disk import CHILD, ROOT
from tests.faults.pdus import UID, release_request, store_request
from tests.faults.raw_peer import ACCEPTED, RawPeer
from tests.faults.sending_ground import FIRST, Scanner, check_whole
from tests.faults.test_peers import allow_open_files
from tests.journey.orthanc import wait_for
from tests.station.processes_ground import gone, receiving_in_processes, receiving_processes
from tests.station.receiving_node import wait_until

KILLS = int(os.environ.get("GROUNDGLASS_PROCESS_KILLS", "10"))
NODE_KILLS = int(os.environ.get("GROUNDGLASS_PARENT_KILLS", "6"))
ASSOCIATIONS = 4
LONGEST_SECONDS = 0.6
BOTH = 0.2
"""How often every process is killed at once: the node's own then takes what comes."""
CLOSED = 0
"""Type of the PDU with which a connection ends that has none."""
PAIRS = 60
SILENT = 2000
SECONDS = 30.0
pytestmark = pytest.mark.faults

Figure = Callable[[str, object], None]


class LeapingClock(SystemClock):
    """A clock on which every process that is killed has lived long, so that another follows at once."""

    def __init__(self) -> None:
        self.leapt = 0.0

    def monotonic(self) -> float:
        """Return the seconds since some moment."""
        return super().monotonic() + self.leapt

    def leap(self) -> None:
        """Let as much time pass as makes a process a steady one."""
        self.leapt += STEADY_SECONDS + 1


def test_a_receiving_process_that_is_killed_takes_nothing_along_that_was_acknowledged(
    tmp_path: Path, figure: Figure
) -> None:
    chance, clock = random.Random(2026), LeapingClock()
    acknowledged: set[int] = set()
    over, numbers = threading.Event(), itertools.count(FIRST)
    killed = 0
    with receiving_in_processes(tmp_path / "store", clock=clock) as ground:
        scanners = [Scanner(ground.port, numbers, acknowledged, over) for _ in range(ASSOCIATIONS)]
        for scanner in scanners:
            scanner.start()
        while killed < KILLS:
            wait_until(lambda: len(ground.receivers.processes) > 0, "a process receives")
            time.sleep(chance.uniform(0, LONGEST_SECONDS))  # the moment is what is tried
            clock.leap()
            alive = ground.receivers.processes
            for process in alive if chance.random() < BOTH else alive[: 1 + killed % 2][-1:]:
                os.kill(process, signal.SIGKILL)
                killed += 1
        wait_until(lambda: len(ground.receivers.processes) == 2, "others have taken their places")
        over.set()
        for scanner in scanners:
            scanner.join(SECONDS)
            assert not scanner.is_alive()
        wait_until(lambda: ground.listener.connections == 0, "every connection is over")
        wait_until(lambda: None not in ground.ends(), "every end is recorded")
        assert "aborted" in ground.ends()
        assert list((tmp_path / "store" / "spool").iterdir()) == [], "what they left is removed"
        with RawPeer(ground.port) as peers, RawPeer(ground.port) as second:
            assert [peers.associate(), second.associate()] == [ACCEPTED] * 2, "every place is free again"
        orphans = check_whole(ground.store, acknowledged)
    assert orphans <= ASSOCIATIONS * killed
    assert len(acknowledged) > killed
    figure("kills of receiving processes while four associations send", killed)
    figure("acknowledged instances, all of them there", len(acknowledged))


def is_free(root: Path) -> bool:
    """Whether no node holds a store."""
    try:
        StoreClaim(root).release()
    except StoreInUse:
        return False
    return True


def test_processes_that_end_again_and_again_are_told_and_cost_no_sender_anything(tmp_path: Path) -> None:
    clock = LeapingClock()
    with receiving_in_processes(tmp_path / "store", clock=clock) as ground:
        assert ground.receivers.problem == ""
        for _ in range(TELLING):
            wait_until(lambda: len(ground.receivers.processes) > 0, "a process receives")
            clock.leap()
            process = ground.receivers.processes[0]
            os.kill(process, signal.SIGKILL)
            wait_until(lambda process=process: process not in ground.receivers.processes, "it is gone")
        told = f"ended {TELLING} times within an hour"
        wait_until(lambda: told in ground.receivers.problem, "the operator is told")
        with RawPeer(ground.port) as peer:
            assert peer.associate() == ACCEPTED
            peer.send(store_request())
            answer = peer.answer()
            assert answer is not None
            assert answer.Status == 0x0000
        clock.leapt += TELLING_SECONDS
        assert ground.receivers.problem == "", "it is over"


def test_a_receiving_process_that_hangs_is_ended_and_another_one_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "SILENT_SECONDS", 3.0)
    with receiving_in_processes(tmp_path / "store") as ground, ExitStack() as opened:
        hanging, _other = ground.receivers.processes
        os.kill(hanging, signal.SIGSTOP)
        peers = [opened.enter_context(RawPeer(ground.port)) for _ in range(2)]
        answers = [peer.associate() for peer in peers]
        assert sorted(answers) == [CLOSED, ACCEPTED], "one has come to each process"
        wait_for(lambda: len(ground.receivers.processes) == 2, seconds=60, what="another one in its place")
        assert hanging not in ground.receivers.processes
        assert gone(hanging)
        for peer in peers:
            peer.socket.close()
        with RawPeer(ground.port) as first, RawPeer(ground.port) as second:
            assert [first.associate(), second.associate()] == [ACCEPTED] * 2


@contextmanager
def node_of(root: Path, tracing: Sequence[str] = ()) -> Iterator[tuple[int, int]]:
    """Start a node that receives in processes; give its number and port, and kill it at the end."""
    command = [*tracing, sys.executable, str(CHILD.with_name("processes_child.py")), str(root)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as node:
        assert node.stdout is not None
        pid, port = map(int, node.stdout.readline().split())
        try:
            yield pid, port
        finally:
            node.kill()
            node.stdout.read()  # ends with all that it started


def test_nothing_is_left_of_a_node_that_is_killed_with_its_receiving_processes(
    tmp_path: Path, clock: object, uids: object, figure: Figure
) -> None:
    root, chance = tmp_path / "store", random.Random(2026)
    acknowledged: set[int] = set()
    numbers = itertools.count(FIRST)
    longest = 0.0
    for _ in range(NODE_KILLS):
        with node_of(root) as (pid, port):
            processes = receiving_processes(pid)
            assert len(processes) == 2
            scanners = [Scanner(port, numbers, acknowledged) for _ in range(ASSOCIATIONS)]
            for scanner in scanners:
                scanner.start()
            time.sleep(chance.uniform(0, LONGEST_SECONDS))  # the moment is what is tried
        died = time.monotonic()
        wait_until(lambda: is_free(root), "the next node may have the store")
        longest = max(longest, time.monotonic() - died)
        assert all(map(gone, processes)), "they have ended with it"
        for scanner in scanners:
            scanner.join(SECONDS)
            assert not scanner.is_alive()
    with receiving_in_processes(root) as ground:
        assert None not in ground.ends(), "every end is recorded by the next start"
    store = open_store(root, clock=clock, uids=uids)
    assert list((root / "spool").iterdir()) == []
    assert check_whole(store, acknowledged) <= ASSOCIATIONS * NODE_KILLS
    store.close()
    assert len(acknowledged) > NODE_KILLS
    figure("kills of a node with two receiving processes", NODE_KILLS)
    figure("acknowledged instances, all of them there", len(acknowledged))
    figure("seconds after which the store was free, at most", round(longest, 3))


def test_connections_that_say_nothing_leave_room_for_others_in_several_processes(tmp_path: Path) -> None:
    allow_open_files(SILENT + 1000)
    with receiving_in_processes(tmp_path / "store") as ground:
        with ExitStack() as crowd:
            for _ in range(SILENT):
                crowd.enter_context(RawPeer(ground.port, source="127.0.0.2"))
            with RawPeer(ground.port) as scanner:
                assert scanner.associate() == ACCEPTED
                scanner.send(store_request())
                answer = scanner.answer()
                assert answer is not None
                assert answer.Status == 0x0000
        wait_until(lambda: ground.listener.connections == 0, "their places are free again")
        assert len(ground.receivers.processes) == 2


def test_one_instance_on_two_associations_of_two_processes_at_once_is_one(tmp_path: Path) -> None:
    answers: list[object] = []
    ready = threading.Barrier(2)

    def send(peer: RawPeer, comment: str) -> None:
        for number in range(PAIRS):
            request = store_request(f"{UID}.{number}", ImageComments=comment * (number % 2))
            ready.wait(SECONDS)
            peer.send(request)
            answer = peer.answer()
            answers.append(answer and answer.Status)
        peer.send(release_request())
        peer.end()

    with receiving_in_processes(tmp_path / "store") as ground:
        with RawPeer(ground.port) as one, RawPeer(ground.port) as other:
            assert [one.associate(), other.associate()] == [ACCEPTED] * 2
            assert ground.shares() == [1, 1], "each process has one"
            senders = [
                threading.Thread(target=send, args=(peer, name)) for peer, name in ((one, "a"), (other, "b"))
            ]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
        assert answers == [0x0000] * 2 * PAIRS
        assert ground.rows("SELECT count(*) FROM instances") == [(PAIRS,)], "the same object twice is one"
        [(asides,)] = ground.rows("SELECT count(*) FROM asides WHERE reason = 'to-compare'")
        assert asides == PAIRS // 2, "another object under the same UID is kept aside"
        assert check_whole(ground.store, set()) == 0
        assert list((tmp_path / "store" / "spool").iterdir()) == []
