"""Processes of this machine that this program started earlier: found again by number and start time."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from node.domain.ports import Clock

PROC = Path("/proc")
LOOK_SECONDS = 0.05
_STATE, _START = 0, 19
"""Fields 3 and 22 of proc_pid_stat(5), counted behind the name in parentheses."""


def spawn(program: Path, arguments: Sequence[str], environ: Mapping[str, str], log: Path) -> int:
    """Start a program that lives on when this one ends, in a session of its own; return its number.

    What it prints goes to the file ``log``, which begins anew.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    return os.posix_spawn(
        program,
        [str(program), *arguments],
        environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def started_at(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the machine did; None when none such runs.

    A number is given again to other processes, but never with the same start. One that ended and that
    nobody asked about yet (a zombie) does not run.
    """
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[_STATE] in "ZX" else int(fields[_START])


def end(pid: int, started: int, clock: Clock, *, patience_seconds: float) -> bool:
    """End a process: asked first, killed when it does not follow in time.

    Parameters
    ----------
    pid, started : int
        Its number and what :func:`started_at` said of it; another process of this number is left alone.
    clock : Clock
    patience_seconds : float
        Between asking (SIGTERM) and killing (SIGKILL).

    Returns
    -------
    bool
        Whether it followed when asked, or was gone already.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        if started_at(pid) != started:
            return True
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        until = clock.monotonic() + patience_seconds
        while clock.monotonic() < until and started_at(pid) == started:
            pause(LOOK_SECONDS)
        collect(pid)
        if started_at(pid) != started:
            return number == signal.SIGTERM
    return False


def pause(seconds: float) -> None:
    """Let others run between two looks at a condition."""
    threading.Event().wait(seconds)


def collect(pid: int) -> None:
    """Take note of the end of a process of our own; whose parent is another one, it does so."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
