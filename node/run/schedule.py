"""The ticks: what the node does again and again, each in its own time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from node.domain.ports import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One thing to do again and again."""

    name: str
    every: timedelta
    action: Callable[[], object]
    """What it returns is ignored; what it raises is logged, and the next tick comes all the same."""


class Ticks:
    """Runs ticks in background threads; one tick never runs twice at the same time.

    Parameters
    ----------
    ticks : sequence of Tick
        Their names must differ.
    clock : Clock
    """

    def __init__(self, ticks: Sequence[Tick], *, clock: Clock) -> None:
        self._clock = clock
        self._guards = {tick.name: _Guard(tick) for tick in ticks}
        if len(self._guards) != len(ticks):
            raise ValueError("two ticks have the same name")
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(max(1, len(ticks)))},
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        for tick in ticks:
            self._scheduler.add_job(
                self._guards[tick.name].run,
                "interval",
                seconds=tick.every.total_seconds(),
                id=tick.name,
                next_run_time=clock.now(),
            )

    def start(self) -> None:
        """Start ticking; each tick runs once at once."""
        self._scheduler.start()

    def nudge(self, name: str) -> None:
        """Run a tick now, or again as soon as its present run ends; once stopped, nothing happens.

        Raises
        ------
        KeyError
            There is no tick of this name.
        """
        if not self._guards[name].asked_again() and self._scheduler.running:
            self._scheduler.modify_job(name, next_run_time=self._clock.now())

    def stop(self) -> None:
        """Start no more ticks and wait until the running ones end."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)


class _Guard:
    """Keeps a tick's errors from the scheduler, and remembers a nudge that came while it ran."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self._lock = threading.Lock()
        self._running = False
        self._again = False

    def asked_again(self) -> bool:
        """Ask for one more run after the present one; return False when there is none."""
        with self._lock:
            self._again = self._running
            return self._running

    def run(self) -> None:
        with self._lock:
            self._running, self._again = True, False
        while True:
            self._once()
            with self._lock:
                if not self._again:
                    self._running = False
                    return
                self._again = False

    def _once(self) -> None:
        try:
            self._tick.action()
        except Exception:  # a tick that fails once must not be the last one
            log.exception("tick %s failed; it is tried again in its time", self._tick.name)
