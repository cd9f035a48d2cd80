"""Processes that outlive who started them, found again and ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from node.infer.process import collect, end, kill, session_of, spawn, started_at
from tests.station.app_ground import wait_for

STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); "
)
LOYAL = "import sys, time; print('up', flush=True); "
WAIT = "time.sleep(600)"


class RealClock:
    def now(self) -> object:
        raise AssertionError

    def monotonic(self) -> float:
        return os.times().elapsed


def start(program: str, log: Path) -> tuple[int, int]:
    pid = spawn(Path(sys.executable), ["-c", program + WAIT], os.environ, log)
    wait_for(lambda: log.read_text() == "up\n", "the process says that it is up")
    started = started_at(pid)
    assert started is not None
    return pid, started


def test_a_process_ends_when_asked(tmp_path: Path) -> None:
    pid, started = start(LOYAL, tmp_path / "log")
    assert end(pid, started, RealClock(), patience_seconds=30)
    assert started_at(pid) is None


def test_one_that_does_not_follow_is_killed(tmp_path: Path) -> None:
    pid, started = start(STUBBORN, tmp_path / "log")
    assert not end(pid, started, RealClock(), patience_seconds=0.2)
    assert started_at(pid) is None


def test_another_process_of_the_same_number_is_left_alone(tmp_path: Path) -> None:
    pid, started = start(LOYAL, tmp_path / "log")
    assert end(pid, started - 1, RealClock(), patience_seconds=30)
    assert started_at(pid) == started
    assert end(pid, started, RealClock(), patience_seconds=30)


def test_it_runs_in_a_session_of_its_own(tmp_path: Path) -> None:
    pid, started = start(LOYAL, tmp_path / "log")
    assert os.getsid(pid) == pid != os.getsid(0)
    assert end(pid, started, RealClock(), patience_seconds=30)


def test_what_a_leader_leaves_behind_is_found_by_session_and_program(tmp_path: Path) -> None:
    child = "import subprocess; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    pid, started = start(LOYAL + child, tmp_path / "log")
    here = Path(sys.executable).parent
    wait_for(lambda: len(session_of(pid, here)) == 2, "the child runs")
    kill(pid)
    wait_for(lambda: started_at(pid) is None, "the leader is dead")
    collect(pid)
    (left,) = session_of(pid, here)
    assert session_of(pid, tmp_path) == []
    kill(left)
    wait_for(lambda: not session_of(pid, here), "the child is dead")
    assert started_at(pid) is None
    assert started > 0


def test_nothing_runs_under_a_number_that_was_not_given() -> None:
    assert started_at(2**22 + 1) is None


def test_a_program_that_is_not_there_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        spawn(tmp_path / "none", [], os.environ, tmp_path / "log")
