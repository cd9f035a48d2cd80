"""The canary: a breaker that lets screenings through only while the golden replay passes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from node.domain.errors import CanaryFailed, EngineUnavailable, ModelError
from node.domain.ports import Clock
from node.domain.states import StateTable


class CanaryState(StrEnum):
    """What is known of the engine's answers."""

    UNPROVEN = "unproven"
    """Not replayed since the start: nothing is screened before the first replay."""
    CLOSED = "closed"
    """The last replay passed."""
    OPEN = "open"
    """The last replay failed: nothing is screened until one passes."""


class CanaryEvent(StrEnum):
    """What a replay found."""

    PASSED = "passed"
    FAILED = "failed"


CANARY = StateTable[CanaryState, CanaryEvent](
    "canary",
    {
        **{(state, CanaryEvent.PASSED): CanaryState.CLOSED for state in CanaryState},
        **{(state, CanaryEvent.FAILED): CanaryState.OPEN for state in CanaryState},
    },
)


@dataclass(frozen=True, kw_only=True)
class CanaryReading:
    """What the operator sees of the canary."""

    state: CanaryState
    checked_at: datetime | None
    """When the last replay ended; None before the first one."""
    reason: str
    """Why the last replay failed; empty when it passed."""


class Canary:
    """Replays the golden answer when due and remembers what came of it.

    Parameters
    ----------
    clock : Clock
    every : timedelta
        A replay older than this is repeated before the next screening.
    replay : callable
        Raises CanaryFailed when the answer differs, EngineUnavailable when there is none.
    """

    def __init__(self, *, clock: Clock, every: timedelta, replay: Callable[[], object]) -> None:
        self._clock = clock
        self._every = every.total_seconds()
        self._replay = replay
        self._lock = threading.Lock()
        self._reading = CanaryReading(state=CanaryState.UNPROVEN, checked_at=None, reason="")
        self._due = clock.monotonic()

    @property
    def reading(self) -> CanaryReading:
        """The last replay's result."""
        return self._reading

    def check(self) -> None:
        """Let a screening through, replaying first when that is due or the last replay failed.

        Raises
        ------
        CanaryFailed
            The answer differs; the screening must wait.
        EngineUnavailable
            The engine gave no answer; the screening must wait.
        """
        with self._lock:
            if self._reading.state is CanaryState.CLOSED and self._clock.monotonic() < self._due:
                return
            self._run()

    def tick(self) -> CanaryReading:
        """Replay when that is due or the last replay failed; for the schedule, which does not screen."""
        try:
            self.check()
        except (CanaryFailed, EngineUnavailable):
            return self._reading
        return self._reading

    def _run(self) -> None:
        try:
            self._replay()
        except ModelError as error:
            self._record(CanaryEvent.FAILED, str(error))
            raise
        self._record(CanaryEvent.PASSED, "")

    def _record(self, event: CanaryEvent, reason: str) -> None:
        self._reading = CanaryReading(
            state=CANARY.step(self._reading.state, event), checked_at=self._clock.now(), reason=reason
        )
        self._due = self._clock.monotonic() + self._every
