"""Threads that take screenings from the index and run them, one at a time each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

from node.domain.job import Screening

log = logging.getLogger(__name__)


class Workers:
    """A few threads that claim and run screenings until they are stopped.

    Parameters
    ----------
    names : sequence of str
        One thread for each; the name marks the worker's claims.
    claim : callable
        Takes the worker's name; returns a screening that is now this worker's, or None.
    run : callable
        Runs one screening and settles its fate.
    idle : timedelta
        Longest wait between two looks at the index; ``wake`` shortens it.
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        claim: Callable[[str], Screening | None],
        run: Callable[[Screening], None],
        idle: timedelta,
    ) -> None:
        self._claim = claim
        self._run = run
        self._idle = idle.total_seconds()
        self._wakes = threading.Condition()
        self._wake_count = 0
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, args=(name,), name=f"screening-{name}", daemon=True)
            for name in names
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Tell the workers that there may be something to claim."""
        with self._wakes:
            self._wake_count += 1
            self._wakes.notify_all()

    def stop(self, timeout: timedelta) -> bool:
        """Let each worker finish what it runs, and claim nothing more.

        Returns
        -------
        bool
            Whether all workers ended within the timeout. What a worker was running is then still claimed and
            is queued again at the next start.
        """
        with self._wakes:
            self._stopping = True
            self._wakes.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout.total_seconds() / len(self._threads))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self, name: str) -> None:
        while not self._stopping:
            seen = self._wake_count
            if not self._one(name):
                self._rest(seen)

    def _one(self, name: str) -> bool:
        """Claim and run one screening; return whether there was one."""
        try:
            screening = self._claim(name)
            if screening is None:
                return False
            self._run(screening)
        except Exception:  # the thread must outlive any error: the next study may be fine
            log.exception("worker %s: a screening could neither be finished nor settled", name)
            return False
        return True

    def _rest(self, seen: int) -> None:
        """Wait for a wake since ``seen``, the stop, or the idle time."""
        with self._wakes:
            self._wakes.wait_for(lambda: self._stopping or self._wake_count != seen, timeout=self._idle)
