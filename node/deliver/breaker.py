"""Whether a destination is called: a decision, apart from its execution.

A destination that cannot be reached several times in a row is left alone, longer each time. Meanwhile none of
its deliveries is tried, so that none uses up its attempts, and what is due for it only waits.
"""

from __future__ import annotations

from datetime import datetime

from node.decide.backoff import growing
from node.domain.breaker import BreakerState, Failing, Patience


def breaker_state(failing: Failing | None, *, now: datetime, patience: Patience) -> BreakerState:
    """Return whether a destination may be called.

    A pause that lasts longer than the longest one was written by a clock that was set back since: it is over.

    Parameters
    ----------
    failing : Failing or None
        None when its last call was answered.
    now : datetime
    patience : Patience
    """
    if failing is None or failing.open_until is None:
        return BreakerState.CLOSED
    if now < failing.open_until <= now + patience.longest:
        return BreakerState.OPEN
    return BreakerState.HALF_OPEN


def after_failure(
    failing: Failing | None,
    destination: str,
    detail: str,
    *,
    now: datetime,
    patience: Patience,
    jitter_value: float,
) -> Failing:
    """Return how a destination fares after one more call that it did not answer.

    Parameters
    ----------
    failing : Failing or None
        How it fared before.
    destination, detail : str
        Who, and what happened.
    now : datetime
    patience : Patience
    jitter_value : float
        Random, 0 to 1.
    """
    failures = 1 if failing is None else failing.failures + 1
    pause = growing(
        failures - patience.failures,
        first=patience.first,
        factor=patience.factor,
        longest=patience.longest,
        jitter=patience.jitter * (1.0 - jitter_value),
    )
    return Failing(
        destination=destination,
        failures=failures,
        open_until=now + pause if failures >= patience.failures else None,
        detail=detail,
        changed_at=now,
    )
