"""When what failed is tried again: decisions, apart from their execution."""

from __future__ import annotations

from datetime import datetime, timedelta

from node.domain.network import Backoff

MAX_EXPONENT = 64
"""Beyond it any factor above one has long passed the longest delay, and floats would overflow."""


def next_due(now: datetime, *, attempts: int, backoff: Backoff, jitter_value: float) -> datetime | None:
    """Return when to try again, or None when the attempts have run out.

    Parameters
    ----------
    now : datetime
        Aware, UTC.
    attempts : int
        How many have failed, from 1.
    backoff : Backoff
    jitter_value : float
        Random, 0 to 1.
    """
    if attempts >= backoff.max_attempts:
        return None
    delay = growing(
        attempts - 1,
        first=backoff.first,
        factor=backoff.factor,
        longest=backoff.longest,
        jitter=backoff.jitter * (1.0 - jitter_value),
    )
    return now + delay


def growing(
    steps: int, *, first: timedelta, factor: float, longest: timedelta, jitter: float = 0.0
) -> timedelta:
    """Return a delay that grows by ``factor`` with every step from ``first`` to ``longest``.

    Parameters
    ----------
    steps : int
        From 0; what is below counts as 0.
    first, longest : timedelta
    factor : float
    jitter : float
        Share of the delay that is taken off, so that what failed together does not come back together.
    """
    exponent = min(max(steps, 0), MAX_EXPONENT)
    seconds = min(first.total_seconds() * factor**exponent, longest.total_seconds())
    return timedelta(seconds=seconds * (1.0 - jitter))
