"""What becomes of a screening that could not be finished: a decision apart from its execution."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from node.domain.errors import GroundglassError, ModelError, ScoresInvalid, SettingsError


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When a screening is tried again."""

    first: timedelta
    """After the first attempt."""
    factor: float
    """Each further wait is this many times the one before ..."""
    longest: timedelta
    """... and at most this."""
    max_attempts: int
    """After so many attempts a screening fails whose error does not pass by itself."""


@dataclass(frozen=True, kw_only=True)
class Retry:
    """What to do."""

    after: timedelta | None
    """How long to park the screening; None: it failed."""
    counts: bool
    """Whether this attempt counts against the screening."""
    reason: str
    """For the operator, without patient data."""


def after_error(error: Exception, attempts: int, policy: RetryPolicy) -> Retry:
    """Decide what becomes of a screening after an error.

    An engine that is away or that the settings keep from starting, a model that fails its handshake or its
    canary, and a full disk say nothing of the study: such a screening waits as long as it takes, and is never
    answered meanwhile. Any other error, a meaningless answer among them, may lie in the study or in the node,
    and is tried a few times.

    Parameters
    ----------
    error : Exception
    attempts : int
        How many runs there were, this one included.
    policy : RetryPolicy
    """
    known = isinstance(error, GroundglassError)
    reason = f"{type(error).__name__}: {error}" if known else f"unexpected {type(error).__name__}"
    of_the_engine = isinstance(error, ModelError | SettingsError) and not isinstance(error, ScoresInvalid)
    waits = of_the_engine or (isinstance(error, GroundglassError) and error.retryable)
    if not waits and attempts >= policy.max_attempts:
        return Retry(after=None, counts=True, reason=f"{reason} (after {attempts} attempts)")
    return Retry(after=_delay(attempts, policy), counts=not waits, reason=reason)


def _delay(attempts: int, policy: RetryPolicy) -> timedelta:
    delay = policy.first
    for _ in range(attempts - 1):
        if delay >= policy.longest:
            break
        delay *= policy.factor
    return min(delay, policy.longest)
