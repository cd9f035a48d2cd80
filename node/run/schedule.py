"""The ticks: what the node does again and again, each in its own time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from node.domain.ports import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One thing to do again and again."""

    name: str
    every: timedelta
    action: Callable[[], object]
    """What it returns is ignored; what it raises is logged, and the next tick comes all the same."""
    ending: Callable[[], object] | None = None
    """Called when the ticks stop, so that an action that lasts ends where it can be taken up again."""


class Ticks:
    """Runs ticks, each in a background thread of its own; one tick never runs twice at the same time.

    Time is measured by the monotonic clock: setting the time of day, either way, moves no tick. What a long
    run made late is left out, not made up for.

    Parameters
    ----------
    ticks : sequence of Tick
        Their names must differ.
    clock : Clock

    Raises
    ------
    ValueError
        Two ticks have the same name, or one of them comes without a pause.
    """

    def __init__(self, ticks: Sequence[Tick], *, clock: Clock) -> None:
        self._ticking = {tick.name: _Ticking(tick, clock) for tick in ticks}
        if len(self._ticking) != len(ticks):
            raise ValueError("two ticks have the same name")

    def start(self) -> None:
        """Start ticking; each tick runs once at once."""
        for ticking in self._ticking.values():
            ticking.start()

    def nudge(self, name: str) -> None:
        """Run a tick now, or again as soon as its present run ends; once stopped, nothing happens.

        Raises
        ------
        KeyError
            There is no tick of this name.
        """
        self._ticking[name].nudge()

    def stop(self) -> None:
        """Start no more ticks and wait until the running ones end."""
        for ticking in self._ticking.values():
            ticking.end()
        for ticking in self._ticking.values():
            ticking.join()


class _Ticking:
    """The thread of one tick. It sleeps until the next run is due, or somebody nudges it."""

    def __init__(self, tick: Tick, clock: Clock) -> None:
        self._tick = tick
        self._period = tick.every.total_seconds()
        if self._period <= 0:
            raise ValueError(f"tick {tick.name} comes without a pause")
        self._clock = clock
        self._woken = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"tick {tick.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def nudge(self) -> None:
        self._woken.set()

    def end(self) -> None:
        self._ended = True
        self._woken.set()
        if self._tick.ending is not None:
            self._tick.ending()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            # Before the run: a nudge that comes while it runs wakes the sleep that follows.
            self._woken.clear()
            if self._ended:
                return
            started = self._clock.monotonic()
            self._once()
            self._woken.wait(self._until_due(started))

    def _until_due(self, started: float) -> float:
        """Return the seconds to the next whole period after the start of the last run."""
        return self._period - (self._clock.monotonic() - started) % self._period

    def _once(self) -> None:
        try:
            self._tick.action()
        except Exception:  # a tick that fails once must not be the last one
            log.exception("tick %s failed; it is tried again in its time", self._tick.name)
