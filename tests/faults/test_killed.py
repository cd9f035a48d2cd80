"""SIGKILL at random moments, again and again on one store: what was acknowledged is there, whole and indexed.

`make test` has its own few in tests/station and tests/journey; here GROUNDGLASS_KILLS says how many.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.store.integrity import ProblemKind, check
from node.store.store import open_store
from tests.faults.pdus import STORE_CONTEXT, UID, p_data, store_command
from tests.faults.raw_peer import ACCEPTED, RawPeer
from tests.faults.seeds import data_set_of, file_bytes, small_ct

KILLS = int(os.environ.get("GROUNDGLASS_KILLS", "40"))
ASSOCIATIONS = 4
LONGEST_SECONDS = 0.6
CHILD = Path(__file__).with_name("killed_child.py")
ROOT = Path(__file__).resolve().parents[2]
FIRST = 10_000_000
NUMBERED = UID + ".{}"
TEMPLATE = data_set_of(file_bytes(small_ct(SOPInstanceUID=NUMBERED.format(FIRST))))
COMMAND = store_command(NUMBERED.format(FIRST))
pytestmark = pytest.mark.faults


def numbered(content: bytes, number: int) -> bytes:
    """Return the template with another SOP Instance UID, which has the same length."""
    return content.replace(NUMBERED.format(FIRST).encode(), NUMBERED.format(number).encode())


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


class Scanner(threading.Thread):
    """Sends objects until the connection ends; remembers those that were answered with success."""

    def __init__(self, port: int, numbers: Iterator[int], acknowledged: set[int]) -> None:
        super().__init__()
        self._port, self._numbers, self._acknowledged = port, numbers, acknowledged

    def run(self) -> None:
        with contextlib.suppress(ConnectionError), RawPeer(self._port) as peer:
            if peer.associate() != ACCEPTED:
                return
            while True:
                number = next(self._numbers)
                command = p_data(STORE_CONTEXT, 3, numbered(COMMAND, number))
                peer.send(command, p_data(STORE_CONTEXT, 2, numbered(TEMPLATE, number)))
                answer = peer.answer()
                if answer is None:
                    return
                if answer.Status == 0x0000:
                    self._acknowledged.add(number)


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
    with store.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT sop_instance_uid, object_key, sha256 FROM instances")
        found = {uid: (key, sha256) for uid, key, sha256 in rows}
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    for number in acknowledged:
        key, sha256 = found[NUMBERED.format(number)]
        content = store.files.path(key).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
        assert content.endswith(numbered(TEMPLATE, number))
    problems = check(store)
    assert {problem.kind for problem in problems} <= {ProblemKind.ORPHAN}, "no row without its bytes"
    assert len(problems) <= ASSOCIATIONS * KILLS
    store.close()
    assert len(acknowledged) > KILLS
    figure("kills while four associations send", KILLS)
    figure("acknowledged instances", len(acknowledged))
    figure("of them lost", 0)
