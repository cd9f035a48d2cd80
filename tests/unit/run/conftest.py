from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from node.domain.job import Purpose, Screening, ScreeningCause, ScreeningState


class RunningClock:
    """The time as it is."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture
def running_clock() -> RunningClock:
    return RunningClock()


@pytest.fixture
def screening() -> Screening:
    return Screening(
        id=1,
        study_id=1,
        study_instance_uid="2.25.1",
        model_name="tiny",
        model_version=0,
        purpose=Purpose.REPORT,
        state=ScreeningState.RUNNING,
        cause=ScreeningCause.SETTLED,
        reason="",
        attempts=1,
        queued_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
