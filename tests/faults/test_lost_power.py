"""Power that fails as an answer leaves: what was acknowledged is on the disk, whatever failed before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.failing_disk import ReceivingProcess
from tests.faults.lost_power import RECORDED, WHOLE_BUFFERS, Disk, recording
from tests.faults.pdus import UID, store_request
from tests.faults.raw_peer import ACCEPTED, RawPeer
from tests.faults.sending_ground import FIRST, NUMBERED, Scanner
from tests.faults.system_calls import calls_of
from tests.faults.test_killed_processes import node_of
from tests.station.processes_ground import receiving_in_processes
from tests.station.receiving_node import wait_until

INSTANCES = "SELECT sop_instance_uid FROM instances"
OPEN = "SELECT count(*) FROM associations WHERE closed_at IS NULL"
OBJECTS = 20
ASSOCIATIONS = 4
SECONDS = 60.0
SUCCESS = 0x0000
pytestmark = pytest.mark.faults

Figure = Callable[[str, object], None]


def check_each_answer(disk: Disk, trace: Path, acknowledged: set[str]) -> None:
    """Let the calls of a record happen, and cut the power as each answer leaves."""
    answered: set[str] = set()
    for sent in disk.follow(calls_of(trace)):
        now = {uid for uid in acknowledged - answered if uid.encode() in sent}
        answered |= now
        if now:
            found = {uid for (uid,) in disk.rows_after_a_loss_of_power(INSTANCES)}
            assert found >= answered, f"{len(answered - found)} of {len(answered)} are lost"
    assert answered == acknowledged, "every answer is in the record"


def stored(peer: RawPeer, uid: str) -> bool:
    """Send an instance; whether it is answered with success."""
    peer.send(store_request(uid))
    answer = peer.answer()
    return answer is not None and answer.Status == SUCCESS


def test_what_one_process_answers_is_on_the_disk(tmp_path: Path, figure: Figure) -> None:
    root, trace = tmp_path / "store", tmp_path / "trace"
    with ReceivingProcess(root):
        """There is an index."""
    disk = Disk(root)
    uids = {f"{UID}.{100 + number}" for number in range(OBJECTS)}
    with ReceivingProcess(root, tracing=recording(trace)) as node, RawPeer(node.remote.port) as peer:
        assert peer.associate() == ACCEPTED
        assert all(stored(peer, uid) for uid in uids)
        node.kill()
    check_each_answer(disk, trace, uids)
    assert disk.shows(root)
    figure("answers as which the power failed", OBJECTS)


def test_what_two_processes_answer_to_four_associations_is_on_the_disk(
    tmp_path: Path, figure: Figure
) -> None:
    root, trace = tmp_path / "store", tmp_path / "trace"
    with receiving_in_processes(root):
        """There is an index."""
    disk, acknowledged = Disk(root), set[int]()
    numbers = iter(range(FIRST, FIRST + ASSOCIATIONS * OBJECTS))
    with node_of(root, recording(trace)) as (_pid, port):
        scanners = [Scanner(port, numbers, acknowledged) for _ in range(ASSOCIATIONS)]
        for scanner in scanners:
            scanner.start()
        for scanner in scanners:
            scanner.join(SECONDS)
            assert not scanner.is_alive()
    check_each_answer(disk, trace, {NUMBERED.format(number) for number in acknowledged})
    assert disk.shows(root)
    assert len(acknowledged) == ASSOCIATIONS * OBJECTS
    figure("answers of two processes as which the power failed", len(acknowledged))


@pytest.mark.parametrize("killed", [True, False])
def test_who_opens_a_log_whose_sync_failed_answers_for_no_hole_in_it(tmp_path: Path, killed: bool) -> None:
    """The system tells of the failure those alone who had the log open; who comes next finds all well.

    Parameters
    ----------
    tmp_path : Path
    killed : bool
        Whether the process that could not sync is gone by then, or still tries.
    """
    root, before, after = tmp_path / "store", tmp_path / "before", tmp_path / "after"
    first, second, third = (f"{UID}.{number}" for number in range(1, 4))
    with ReceivingProcess(root) as failing, RawPeer(failing.remote.port) as peer:
        assert peer.associate() == ACCEPTED
        assert stored(peer, first)
        wait_until(lambda: len(failing.rows(INSTANCES)) == 1, "it is synced")
        disk = Disk(root)
        with failing.recorded(RECORDED, before, failing="fdatasync:error=EIO", buffers=WHOLE_BUFFERS):
            assert not stored(peer, second)
            assert len(failing.rows(INSTANCES)) == 2, "it is seen, though nobody was told of it"
            if killed:
                failing.kill()
            with ReceivingProcess(root, tracing=recording(after)) as node, RawPeer(node.remote.port) as other:
                assert other.associate() == ACCEPTED
                assert stored(other, second)
                assert stored(other, third)
                node.kill()
    for _sent in disk.follow(calls_of(before)):
        """Nothing that was answered meanwhile counts."""
    assert disk.rows_after_a_loss_of_power(INSTANCES) == [(first,)]
    check_each_answer(disk, after, {second, third})
