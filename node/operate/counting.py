"""What happens in the node, told to the metrics as it happens."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum

from node.domain.job import Purpose, Screening
from node.domain.ports import Clock
from node.domain.result import Finding
from node.domain.study import Arrival, AssociationEnd, Intake
from node.operate.health import TickAge
from node.operate.metrics import Metrics
from node.store.intake import IntakeRecords
from node.store.store import Store


class CountedIntake(IntakeRecords):
    """The index's intake; everything that succeeds is counted.

    Parameters
    ----------
    store : Store
    metrics : Metrics
    """

    def __init__(self, store: Store, metrics: Metrics) -> None:
        super().__init__(store.database, store.files)
        self._metrics = metrics

    def association_opened(self, calling_ae_title: str, address: str) -> int:
        """Record and count an association."""
        association_id = super().association_opened(calling_ae_title, address)
        self._metrics.association_opened()
        return association_id

    def association_closed(self, association_id: int, end: AssociationEnd) -> None:
        """Record and count the end of an association."""
        super().association_closed(association_id, end)
        self._metrics.association_ended(end)

    def caller_refused(self, calling_ae_title: str, address: str, reason: str) -> None:
        """Record and count a caller that was not let in."""
        super().caller_refused(calling_ae_title, address, reason)
        self._metrics.caller_refused()

    def add(self, arrival: Arrival, *, own_device_uids: frozenset[str] = frozenset()) -> Intake:
        """Index and count an object."""
        intake = super().add(arrival, own_device_uids=own_device_uids)
        self._metrics.received(intake)
        return intake


class Tally:
    """Counts acknowledged instances for another process, which keeps the metrics."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def received(self, intake: Intake) -> None:
        """Count one acknowledged instance."""
        with self._lock:
            self._counts[intake.value] += 1

    def take(self) -> Mapping[str, int]:
        """Return what was counted since this was last called."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return counts


class TalliedIntake(IntakeRecords):
    """The index's intake in a process that receives; another one counts its associations.

    Parameters
    ----------
    store : Store
    tally : Tally
    """

    def __init__(self, store: Store, tally: Tally) -> None:
        super().__init__(store.database, store.files)
        self._tally = tally

    def add(self, arrival: Arrival, *, own_device_uids: frozenset[str] = frozenset()) -> Intake:
        """Index and count an object."""
        intake = super().add(arrival, own_device_uids=own_device_uids)
        self._tally.received(intake)
        return intake


class SilentListener:
    """A ``ProgressListener`` that does nothing; others override what they care for.

    Stages and ends are taken as any enumeration: the order of the stations is not known here.
    """

    def stage_started(self, screening: Screening, stage: StrEnum) -> None:
        """Tell that a stage begins."""

    def stage_advanced(self, screening: Screening, stage: StrEnum, done: int, total: int) -> None:
        """Tell how far a stage is."""

    def stage_finished(self, screening: Screening, stage: StrEnum, seconds: float) -> None:
        """Tell that a stage ended."""

    def decided(self, screening: Screening, finding: Finding) -> None:
        """Tell the finding."""

    def ended(self, screening: Screening, end: StrEnum, reason: str) -> None:
        """Tell how the run ended."""


class CountedScreenings(SilentListener):
    """Feeds the metrics.

    Parameters
    ----------
    metrics : Metrics
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def stage_finished(self, screening: Screening, stage: StrEnum, seconds: float) -> None:
        """Record the duration; a shadow's is left out."""
        if screening.purpose is Purpose.REPORT:
            self._metrics.stage(stage.value, seconds)

    def decided(self, screening: Screening, finding: Finding) -> None:
        """Count the decision."""
        self._metrics.decided(finding.outcome, screening.purpose)


class WhenEnded(SilentListener):
    """Acts when a screening has ended in one way.

    Parameters
    ----------
    end : StrEnum
    action : callable
    """

    def __init__(self, end: StrEnum, action: Callable[[], None]) -> None:
        self._end = end
        self._action = action

    def ended(self, screening: Screening, end: StrEnum, reason: str) -> None:
        """Act when it is this end."""
        del screening, reason
        if end is self._end:
            self._action()


class Pulse:
    """Notes when each periodic task last ended well.

    Parameters
    ----------
    clock : Clock
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._periods: dict[str, float] = {}
        self._calls: dict[str, float] = {}
        self._ended: dict[str, float] = {}

    def watch(
        self,
        name: str,
        every: timedelta,
        action: Callable[[], object],
        *,
        call: timedelta = timedelta(0),
    ) -> Callable[[], None]:
        """Return ``action``, watched.

        Parameters
        ----------
        name : str
        every : timedelta
        action : callable
        call : timedelta, optional
            How long a peer that it calls may keep it waiting.
        """
        with self._lock:
            self._periods[name] = every.total_seconds()
            self._calls[name] = call.total_seconds()
            self._ended[name] = self._clock.monotonic()

        def watched() -> None:
            action()
            with self._lock:
                self._ended[name] = self._clock.monotonic()

        return watched

    def ages(self) -> tuple[TickAge, ...]:
        """Return how long ago each task ended."""
        now = self._clock.monotonic()
        with self._lock:
            return tuple(
                TickAge(
                    name=name,
                    period_seconds=period,
                    age_seconds=now - self._ended[name],
                    call_seconds=self._calls[name],
                )
                for name, period in self._periods.items()
            )
