from __future__ import annotations

from datetime import UTC, datetime

import pytest

from node.domain.job import Screening
from node.domain.result import Finding
from node.run.progress import Listeners, ScreeningEnd, Stage, StageWatch


class HandClock:
    seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


class Notes:
    """A listener that writes everything down."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, ...]] = []

    def stage_started(self, screening: Screening, stage: Stage) -> None:
        self.lines.append(("started", stage))

    def stage_advanced(self, screening: Screening, stage: Stage, done: int, total: int) -> None:
        self.lines.append(("advanced", stage, done, total))

    def stage_finished(self, screening: Screening, stage: Stage, seconds: float) -> None:
        self.lines.append(("finished", stage, seconds))

    def decided(self, screening: Screening, finding: Finding) -> None:
        self.lines.append(("decided",))

    def ended(self, screening: Screening, end: ScreeningEnd, reason: str) -> None:
        self.lines.append(("ended", end, reason))


def fail_within(watch: StageWatch, clock: HandClock) -> None:
    with watch.stage(Stage.SELECT):
        clock.seconds = 2.0
        raise ValueError("bad")


def test_stages_are_measured_told_and_summed(screening: Screening) -> None:
    clock, first, second = HandClock(), Notes(), Notes()
    watch = StageWatch(screening, clock, Listeners([first, second]))
    with watch.stage(Stage.SELECT):
        watch.advanced(Stage.SELECT, 1, 2)
        clock.seconds = 1.5
    with pytest.raises(ValueError, match="bad"):
        fail_within(watch, clock)
    assert watch.seconds == {"select": 2.0}
    assert first.lines == second.lines
    assert first.lines == [
        ("started", Stage.SELECT),
        ("advanced", Stage.SELECT, 1, 2),
        ("finished", Stage.SELECT, 1.5),
        ("started", Stage.SELECT),
        ("finished", Stage.SELECT, 0.5),
    ]
