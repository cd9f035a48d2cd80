"""As many associations at once as are admitted, in two receiving processes: none fails, nothing is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.pdus import STORE_CONTEXT, p_data, release_request
from tests.faults.raw_peer import ACCEPTED, RELEASED, RawPeer
from tests.faults.sending_ground import COMMAND, FIRST, TEMPLATE, check_whole, numbered
from tests.station.processes_ground import receiving_in_processes
from tests.station.receiving_node import wait_until

AT_ONCE = 64
OBJECTS = 25
pytestmark = pytest.mark.faults


def test_many_associations_at_once_in_two_processes_store_without_a_failure(
    tmp_path: Path, figure: Callable[[str, object], None]
) -> None:
    numbers, acknowledged = itertools.count(FIRST), set[int]()

    def store(peer: RawPeer) -> bool:
        for number in itertools.islice(numbers, OBJECTS):
            command = p_data(STORE_CONTEXT, 3, numbered(COMMAND, number))
            peer.send(command, p_data(STORE_CONTEXT, 2, numbered(TEMPLATE, number)))
            answer = peer.answer()
            if answer is None or answer.Status != 0x0000:
                return False
            acknowledged.add(number)
        peer.send(release_request())
        return peer.end() == RELEASED

    with receiving_in_processes(tmp_path / "store", places=AT_ONCE) as ground:
        with ExitStack() as opened:
            peers = [opened.enter_context(RawPeer(ground.port)) for _ in range(AT_ONCE)]
            with ThreadPoolExecutor(AT_ONCE) as threads:
                assert list(threads.map(RawPeer.associate, peers)) == [ACCEPTED] * AT_ONCE
                assert ground.shares() == [AT_ONCE // 2] * 2
                assert all(threads.map(store, peers))
        wait_until(lambda: ground.ends() == ["released"] * AT_ONCE, "every end is recorded")
        assert len(acknowledged) == AT_ONCE * OBJECTS
        assert check_whole(ground.store, acknowledged) == 0
    figure("associations at once in two processes", AT_ONCE)
    figure("acknowledged instances, all of them there", len(acknowledged))
