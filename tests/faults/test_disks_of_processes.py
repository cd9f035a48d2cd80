"""A disk that fails under two receiving processes, or under one of them: nothing acknowledged is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from node.store.store import open_store
from node.system import RandomUids, SystemClock
from tests.faults.failing_disk import failing, traced
from tests.faults.pdus import STORE_CONTEXT, p_data
from tests.faults.raw_peer import ACCEPTED, RawPeer
from tests.faults.sending_ground import COMMAND, FIRST, TEMPLATE, check_whole, numbered
from tests.faults.test_disks import FAILURES
from tests.faults.test_killed_processes import node_of
from tests.station.processes_ground import receiving_processes
from tests.station.receiving_node import wait_until

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
KINDS = [item.values if hasattr(item, "values") else item for item in FAILURES]
ALL, ONE = "all", "one"
pytestmark = pytest.mark.faults

Figure = Callable[[str, object], None]


class Senders:
    """Peers of a node with two receiving processes, one at each, as long as their associations last."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._numbers = itertools.count(FIRST)
        self.acknowledged: set[int] = set()

    def open(self, opened: ExitStack) -> list[RawPeer]:
        """Open an association at each process: the next goes to the one with the fewest."""
        peers = [opened.enter_context(RawPeer(self.port)) for _ in range(2)]
        assert [peer.associate() for peer in peers] == [ACCEPTED] * 2
        return peers

    def send(self, peer: RawPeer) -> int | None:
        """Send the next object; return the status of the answer, None where the association ends instead."""
        number = next(self._numbers)
        command = p_data(STORE_CONTEXT, 3, numbered(COMMAND, number))
        peer.send(command, p_data(STORE_CONTEXT, 2, numbered(TEMPLATE, number)))
        answer = peer.answer()
        if answer is not None and answer.Status == SUCCESS:
            self.acknowledged.add(number)
        return None if answer is None else int(answer.Status)


def lets_in_two(senders: Senders) -> bool:
    """Whether each process stores an object."""
    with ExitStack() as opened:
        peers = [opened.enter_context(RawPeer(senders.port)) for _ in range(2)]
        accepted = [peer.associate() == ACCEPTED for peer in peers]
        return all(accepted) and all(senders.send(peer) == SUCCESS for peer in peers)


@pytest.mark.parametrize("where", [ALL, ONE])
def test_a_disk_that_fails_under_two_receiving_processes_costs_nothing_that_was_acknowledged(
    tmp_path: Path, where: str, figure: Figure
) -> None:
    root = tmp_path / "store"
    with node_of(root) as (pid, port):
        senders, receiving = Senders(port), receiving_processes(pid)
        assert len(receiving) == 2
        failed = 0
        for call, error in KINDS:
            with ExitStack() as opened:
                peers = senders.open(opened)
                assert [senders.send(peer) for peer in peers] == [SUCCESS] * 2
                with traced([pid, *receiving] if where == ALL else receiving[:1], *failing(call, error)):
                    answers = [senders.send(peer) for peer in peers]
                assert set(answers) <= {SUCCESS, OUT_OF_RESOURCES, None}
                stored = answers.count(SUCCESS)
                assert stored == 0 if where == ALL else stored > 0, f"{call} {error}: {answers}"
                failed += len(answers) - stored
            wait_until(lambda: lets_in_two(senders), f"it goes on by itself after {call} {error}")
        assert failed > 0, "one that fails has had an association; both may come to the other one"
        assert receiving_processes(pid) == receiving, "no process has ended"
    store = open_store(root, clock=SystemClock(), uids=RandomUids())
    check_whole(store, senders.acknowledged)
    store.close()
    figure(f"kinds of failures of the disk under {where} of two receiving processes", len(KINDS))
    figure("acknowledged instances, all of them there", len(senders.acknowledged))
