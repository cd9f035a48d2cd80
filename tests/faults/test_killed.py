"""SIGKILL at random moments, again and again on one store: what was acknowledged is there, whole and indexed.

`make test` has its own few in tests/station and tests/journey; here GROUNDGLASS_KILLS says how many.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.store.store import open_store
from tests.faults.sending_ground import FIRST, Scanner, check_whole

KILLS = int(os.environ.get("GROUNDGLASS_KILLS", "40"))
ASSOCIATIONS = 4
LONGEST_SECONDS = 0.6
CHILD = Path(__file__).with_name("killed_child.py")
ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.faults


class Nodes:
    """Nodes on one store, one after the other."""

    def __init__(self, root: Path) -> None:
        self._mother = subprocess.Popen(
            [sys.executable, str(CHILD), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    @contextlib.contextmanager
    def killed(self) -> Iterator[int]:
        """Start a node, give its port, and kill it at the end."""
        assert self._mother.stdin is not None
        assert self._mother.stdout is not None
        self._mother.stdin.write("\n")
        pid, port = map(int, self._mother.stdout.readline().split())
        try:
            yield port
        finally:
            os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """End the process that starts them."""
        self._mother.communicate(timeout=30)


def test_nothing_acknowledged_is_lost_however_often_the_node_is_killed(
    tmp_path: Path, clock: object, uids: object, figure: Callable[[str, object], None]
) -> None:
    root = tmp_path / "store"
    chance = random.Random(2026)
    numbers = itertools.count(FIRST)
    acknowledged: set[int] = set()
    nodes = Nodes(root)
    for _ in range(KILLS):
        with nodes.killed() as port:
            scanners = [Scanner(port, numbers, acknowledged) for _ in range(ASSOCIATIONS)]
            for scanner in scanners:
                scanner.start()
            time.sleep(chance.uniform(0, LONGEST_SECONDS))  # the moment is what is tried
        for scanner in scanners:
            scanner.join()
    nodes.end()

    store = open_store(root, clock=clock, uids=uids)
    store.files.sweep_spool()
    assert check_whole(store, acknowledged) <= ASSOCIATIONS * KILLS
    store.close()
    assert len(acknowledged) > KILLS
    figure("kills while four associations send", KILLS)
    figure("acknowledged instances", len(acknowledged))
    figure("of them lost", 0)
