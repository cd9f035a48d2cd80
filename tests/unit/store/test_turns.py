"""Whoever writes waits for other processes, and for none of them for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.domain.errors import StoreError
from node.store import database as module
from node.store.database import Database
from node.store.turns import Turns

HOLDER = """
import fcntl, os, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
for _ in sys.stdin:
    fcntl.flock(folder, fcntl.LOCK_EX)
    print("has", flush=True)
    sys.stdin.readline()
    fcntl.flock(folder, fcntl.LOCK_UN)
    print("left", flush=True)
"""
STOPPED_WRITER = """
import os, signal, sys
from node.store.database import Database
from node.system import SystemClock
database = Database.open(sys.argv[1], clock=SystemClock(), migrate=False)
with database.write():
    print("writes", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""
SECONDS = 10.0
SHORT = 0.05


class Other:
    """Another process that takes and leaves the lock when told."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def told(self) -> str:
        """Tell it to take the lock, or to leave it; return what it did."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Other]:
    started = Other(tmp_path)
    yield started
    started.process.kill()
    started.process.communicate()


@pytest.fixture
def turns(tmp_path: Path) -> Iterator[Turns]:
    opened = Turns(tmp_path)
    yield opened
    opened.close()


def test_a_turn_is_had_when_the_other_process_ends_its_own(turns: Turns, other: Other) -> None:
    had = threading.Event()

    def wait() -> None:
        with turns.turn(SECONDS):
            had.set()

    assert other.told() == "has"
    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not had.wait(SHORT)
    assert other.told() == "left"
    assert had.wait(SECONDS)
    waiting.join()
    assert other.told() == "has", "the turn is over"


def test_a_process_that_was_stopped_keeps_nobody_for_ever(turns: Turns, other: Other) -> None:
    assert other.told() == "has"
    os.kill(other.process.pid, signal.SIGSTOP)
    for _ in range(3):
        with pytest.raises(StoreError, match="stopped"), turns.turn(SHORT):
            pytest.fail("the other one has it")
    other.process.kill()
    with turns.turn(SECONDS):
        assert threading.active_count() < 10


def test_what_comes_too_late_is_left_to_others(turns: Turns, other: Other) -> None:
    assert other.told() == "has"
    with pytest.raises(StoreError), turns.turn(SHORT):
        pytest.fail("the other one has it")
    assert [other.told(), other.told()] == ["left", "has"], "nobody here wanted it any more"
    assert other.told() == "left"
    with turns.turn(SECONDS):
        pass


def test_nobody_has_a_turn_after_the_end(turns: Turns) -> None:
    turns.close()
    turns.close()
    with pytest.raises(StoreError, match="closed"), turns.turn(SHORT):
        pytest.fail("it was closed")


def test_a_process_that_was_stopped_while_it_wrote_the_index_keeps_no_writer_for_ever(
    tmp_path: Path, clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", SHORT)
    url = f"sqlite:///{tmp_path / 'index.sqlite'}"
    database = Database.open(url, clock=clock)
    errors: list[Exception] = []

    def write() -> None:
        try:
            with database.write():
                pytest.fail("the other one writes")
        except StoreError as error:
            errors.append(error)

    command = [sys.executable, "-c", STOPPED_WRITER, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writes\n"
        waiting = threading.Thread(target=write, daemon=True)
        waiting.start()
        waiting.join(SECONDS)
        told = list(errors)
        writer.kill()
    assert len(told) == 1, "it waits for ever"
    with database.write():
        pass
    database.close()
