"""When a delivery that failed is tried again: a decision, apart from its execution."""

from __future__ import annotations

from datetime import datetime, timedelta

from node.domain.network import Backoff

MAX_EXPONENT = 64
"""Beyond it any factor above one has long passed the longest delay, and floats would overflow."""


def next_due(now: datetime, *, attempts: int, backoff: Backoff, jitter_value: float) -> datetime | None:
    """Return when to try again, or None when the attempts have run out.

    The delay grows by the factor with every attempt up to the longest one; the share ``backoff.jitter`` of it
    is scaled by ``jitter_value``, so that destinations that failed together do not come back together.

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
    exponent = min(max(attempts - 1, 0), MAX_EXPONENT)
    seconds = min(backoff.first.total_seconds() * backoff.factor**exponent, backoff.longest.total_seconds())
    return now + timedelta(seconds=seconds * (1.0 - backoff.jitter + backoff.jitter * jitter_value))
