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
_STATE, _SESSION, _START = 0, 3, 19
"""Fields 3, 6 and 22 of proc_pid_stat(5), counted behind the name in parentheses."""


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
    fields = _fields(pid)
    return None if fields is None or fields[_STATE] in "ZX" else int(fields[_START])


def session_of(leader: int, folder: Path) -> list[int]:
    """Return the processes of a session whose program lies in a folder.

    Parameters
    ----------
    leader : int
        Number of the process that began the session; it may have ended long ago.
    folder : Path
        Tells them from another session that was given the same number later.
    """
    found = []
    for pid in (int(item.name) for item in PROC.iterdir() if item.name.isdecimal()):
        fields = _fields(pid)
        if fields is not None and int(fields[_SESSION]) == leader and _program(pid).is_relative_to(folder):
            found.append(pid)
    return found


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


def kill(pid: int) -> None:
    """End a process at once."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def collect(pid: int) -> None:
    """Take note of the end of a process of our own; whose parent is another one, it does so."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _fields(pid: int) -> list[str] | None:
    """Return what the kernel says of a process, from the field behind its name on."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _program(pid: int) -> Path:
    """Return what a process was called as."""
    try:
        called = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return Path()
    return Path(os.fsdecode(called.partition(b"\0")[0]))
