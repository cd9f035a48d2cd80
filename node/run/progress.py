"""What happens within a screening, told as it happens: to the demo's screen, the metrics and the tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol

from node.domain.job import Screening
from node.domain.ports import Clock
from node.domain.result import Finding


class Stage(StrEnum):
    """The stages of a screening, in their order."""

    CHOOSE = "choose"
    """Series compared, one chosen or none."""
    SELECT = "select"
    """Every slice of the chosen series decoded once, open-lung slices found."""
    INFER = "infer"
    """Selected slices prepared and scored."""
    DECIDE = "decide"
    REPORT = "report"
    """Heatmaps rendered, result objects made."""
    STORE = "store"
    """Object files and rows made durable."""


class ScreeningEnd(StrEnum):
    """How a run of a screening ended."""

    STORED = "stored"
    """A new version of the results stands in the outbox."""
    UNCHANGED = "unchanged"
    """The results in force were made by the same recipe: nothing new."""
    NOTHING_TO_SEND = "nothing-to-send"
    """A study without chest CT."""
    KEPT = "kept"
    """A shadow's finding is stored; nothing is sent."""
    OVERTAKEN = "overtaken"
    """The study was held or grew meanwhile: nothing was written."""
    PARKED = "parked"
    """Tried again later."""
    FAILED = "failed"
    """An operator must look."""


class ProgressListener(Protocol):
    """Somebody who is told. Called from the screening's thread; must return at once and not raise."""

    def stage_started(self, screening: Screening, stage: Stage) -> None:
        """Tell that a stage begins."""
        ...

    def stage_advanced(self, screening: Screening, stage: Stage, done: int, total: int) -> None:
        """Tell how many slices, or objects, are done."""
        ...

    def stage_finished(self, screening: Screening, stage: Stage, seconds: float) -> None:
        """Tell that a stage ended."""
        ...

    def decided(self, screening: Screening, finding: Finding) -> None:
        """Tell the finding, before anything is stored."""
        ...

    def ended(self, screening: Screening, end: ScreeningEnd, reason: str) -> None:
        """Tell how the run ended."""
        ...


class Listeners:
    """Passes everything on to several listeners, in order."""

    def __init__(self, listeners: Sequence[ProgressListener] = ()) -> None:
        self._listeners = tuple(listeners)

    def stage_started(self, screening: Screening, stage: Stage) -> None:
        """Tell that a stage begins."""
        for listener in self._listeners:
            listener.stage_started(screening, stage)

    def stage_advanced(self, screening: Screening, stage: Stage, done: int, total: int) -> None:
        """Tell how many slices, or objects, are done."""
        for listener in self._listeners:
            listener.stage_advanced(screening, stage, done, total)

    def stage_finished(self, screening: Screening, stage: Stage, seconds: float) -> None:
        """Tell that a stage ended."""
        for listener in self._listeners:
            listener.stage_finished(screening, stage, seconds)

    def decided(self, screening: Screening, finding: Finding) -> None:
        """Tell the finding."""
        for listener in self._listeners:
            listener.decided(screening, finding)

    def ended(self, screening: Screening, end: ScreeningEnd, reason: str) -> None:
        """Tell how the run ended."""
        for listener in self._listeners:
            listener.ended(screening, end, reason)


class StageWatch:
    """Measures the stages of one screening and tells of them.

    Parameters
    ----------
    screening : Screening
    clock : Clock
    listener : ProgressListener
    """

    def __init__(self, screening: Screening, clock: Clock, listener: ProgressListener) -> None:
        self._screening = screening
        self._clock = clock
        self._listener = listener
        self._seconds: dict[Stage, float] = {}

    @property
    def seconds(self) -> dict[str, float]:
        """Duration of the stages that ended; of a stage that ran several times, the sum."""
        return {stage.value: seconds for stage, seconds in self._seconds.items()}

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Measure what happens within, whether it ends well or not."""
        self._listener.stage_started(self._screening, stage)
        start = self._clock.monotonic()
        try:
            yield
        finally:
            seconds = self._clock.monotonic() - start
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds
            self._listener.stage_finished(self._screening, stage, seconds)

    def advanced(self, stage: Stage, done: int, total: int) -> None:
        """Tell how far a stage is."""
        self._listener.stage_advanced(self._screening, stage, done, total)
