"""Circuit breakers: whoever fails again and again is left alone for a while, then tried with little."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class BreakerState(StrEnum):
    """Whether calls are let through."""

    CLOSED = "closed"
    """Every call."""
    OPEN = "open"
    """None, until the pause is over."""
    HALF_OPEN = "half-open"
    """One, the probe; the others wait for what becomes of it."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """When a destination that cannot be reached is left alone, and for how long."""

    failures: int
    """After so many in a row."""
    first: timedelta
    """The first pause; each further failure makes it longer by the factor ..."""
    factor: float
    longest: timedelta
    """... but not longer than this."""
    jitter: float
    """Share of the pause that is random, 0..1."""


@dataclass(frozen=True, kw_only=True)
class Failing:
    """How a destination fares that failed and has not answered since."""

    destination: str
    failures: int
    """In a row."""
    open_until: datetime | None
    """When it is probed; None while it is not left alone."""
    detail: str
    """What the last failure was, without patient data."""
    changed_at: datetime
