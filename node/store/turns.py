"""Turns among processes, by a lock on a folder, for which nobody waits for ever."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from node.domain.errors import StoreError


class Turns:
    """One process at a time; within a process the caller sees to it that one thread at a time asks.

    Whoever waits sleeps until it is woken, in the order of asking. The system's lock knows no deadline, and
    no thread that waits for it can be called back; so a thread of its own waits, and a process that was
    stopped while it had the turn costs the others their patience and no more.

    Parameters
    ----------
    folder : Path
        On it lies the lock.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._wait: _Wait | None = None

    @contextmanager
    def turn(self, seconds: float) -> Iterator[None]:
        """Have the turn for a block; wait for it so long.

        Raises
        ------
        StoreError
            Another process keeps it, or this was closed.
        """
        if self._descriptor is None:
            raise StoreError("the index was closed; start again")
        self._take(self._descriptor, seconds)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give it up; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self, descriptor: int, seconds: float) -> None:
        while True:
            if self._wait is None:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._wait = _Wait(descriptor)
                else:
                    return
            state = self._wait.state_within(seconds)
            if state is _State.WAITS:
                raise StoreError("another process keeps the index locked; look for one that was stopped")
            self._wait = None
            if state is _State.HAS:
                return


class _State(Enum):
    WAITS = "waits"
    HAS = "has"
    LEFT = "left"


class _Wait:
    """A thread that waits for the lock, and leaves it again where nobody wants it any more."""

    def __init__(self, descriptor: int) -> None:
        # Of the same lock, and this thread's to close: the number of the other may be another file's by then.
        self._descriptor = os.dup(descriptor)
        self._changed = threading.Condition()
        self._state = _State.WAITS
        self._wanted = True
        threading.Thread(target=self._run, name="turn", daemon=True).start()

    def state_within(self, seconds: float) -> _State:
        """Return what has become of it within so many seconds; whoever gets ``WAITS`` wants it no more."""
        with self._changed:
            self._wanted = True
            self._wanted = self._changed.wait_for(lambda: self._state is not _State.WAITS, seconds)
            return self._state

    def _run(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with self._changed:
            if not self._wanted:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._state = _State.HAS if self._wanted else _State.LEFT
            self._changed.notify_all()
        os.close(self._descriptor)
