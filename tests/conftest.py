"""Fixtures that every test may use."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest


class FrozenClock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
        self._seconds = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._seconds += seconds


class CountingUids:
    """UIDs and tokens that count up; safe to share between threads."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def uid(self) -> str:
        return f"2.25.{10**30 + next(self._numbers)}"

    def token(self) -> str:
        return f"{next(self._numbers):032x}"


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def uids() -> CountingUids:
    return CountingUids()
