from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

import pytest

from node.domain.errors import CanaryFailed, EngineUnavailable, ModelError
from node.infer.canary import Canary, CanaryState


class MovableClock(Protocol):
    seconds: float

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...


class Replays:
    """A replay whose next answers are set by the test."""

    def __init__(self) -> None:
        self.count = 0
        self.error: ModelError | None = None

    def __call__(self) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def replays() -> Replays:
    return Replays()


@pytest.fixture
def canary(clock: MovableClock, replays: Replays) -> Canary:
    return Canary(clock=clock, every=timedelta(minutes=10), replay=replays)


def test_nothing_passes_before_a_replay(canary: Canary, replays: Replays) -> None:
    assert canary.reading.state is CanaryState.UNPROVEN
    canary.check()
    assert replays.count == 1
    assert canary.reading.state is CanaryState.CLOSED


def test_replays_again_only_when_due(canary: Canary, replays: Replays, clock: MovableClock) -> None:
    canary.check()
    clock.seconds = 599
    canary.check()
    assert replays.count == 1
    clock.seconds = 600
    canary.check()
    assert replays.count == 2


@pytest.mark.parametrize("error", [CanaryFailed("differs"), EngineUnavailable("gone")])
def test_a_failed_replay_stops_screening_until_one_passes(
    canary: Canary, replays: Replays, clock: MovableClock, error: ModelError
) -> None:
    canary.check()
    replays.error = error
    clock.seconds = 600
    with pytest.raises(type(error)):
        canary.check()
    assert (canary.reading.state, canary.reading.reason) == (CanaryState.OPEN, str(error))
    with pytest.raises(type(error)):
        canary.check()
    replays.error = None
    canary.check()
    assert (canary.reading.state, canary.reading.reason) == (CanaryState.CLOSED, "")
    assert canary.reading.checked_at == clock.now()


def test_the_tick_reports_instead_of_raising(canary: Canary, replays: Replays) -> None:
    replays.error = CanaryFailed("differs")
    assert canary.tick().state is CanaryState.OPEN
    replays.error = None
    assert canary.tick().state is CanaryState.CLOSED
