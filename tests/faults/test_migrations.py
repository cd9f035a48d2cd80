"""A migration that is interrupted: the index is the old or the new one, and the next start completes it."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROUNDS = 40
CHILD = Path(__file__).with_name("migrating_child.py")
ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.faults


class Mother:
    """The process that forks those which migrate."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def begin(self, index: Path) -> int:
        """Let an index be opened; return the process that does it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{index}\n")
        return int(self._line())

    def wait_for(self, word: str) -> None:
        """Wait until the process says a word."""
        while self._line() != word:
            pass

    def kill(self, pid: int) -> None:
        """Kill the process, which cannot have ended by itself."""
        os.kill(pid, signal.SIGKILL)
        self.wait_for("ended")

    def end(self) -> None:
        """End this one."""
        self._process.communicate(timeout=30)

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process that forks has ended"
        return line.strip()


def revisions(index: Path) -> list[str]:
    """Return the revision of an index; none for one that has not been migrated."""
    if not index.exists():
        return []
    opened = sqlite3.connect(index)
    try:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = {name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return []
        return [revision for (revision,) in opened.execute("SELECT version_num FROM alembic_version")]
    finally:
        opened.close()


def test_an_interrupted_migration_is_all_or_nothing(
    tmp_path: Path, figure: Callable[[str, object], None]
) -> None:
    chance = random.Random(2026)
    mother = Mother()
    pid = mother.begin(tmp_path / "whole.sqlite")
    started = time.monotonic()
    mother.wait_for("done")
    longest = time.monotonic() - started
    mother.kill(pid)
    newest = revisions(tmp_path / "whole.sqlite")
    interrupted = 0
    for number in range(ROUNDS):
        index = tmp_path / f"{number}.sqlite"
        pid = mother.begin(index)
        time.sleep(chance.uniform(0, longest))  # the moment is what is tried
        mother.kill(pid)
        found = revisions(index)
        assert found in ([], newest)
        interrupted += not found
        pid = mother.begin(index)
        mother.wait_for("done")
        mother.kill(pid)
        assert revisions(index) == newest
    mother.end()
    assert interrupted > 0
    figure("migrations killed", ROUNDS)
    figure("of them before they were complete, and completed at the next start", interrupted)
