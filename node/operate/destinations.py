"""How the destinations fare, as health, metrics and the command line show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from node.deliver.breaker import breaker_state
from node.domain.breaker import BreakerState, Patience
from node.store.store import Store


@dataclass(frozen=True, kw_only=True)
class DestinationCheck:
    """One destination."""

    name: str
    breaker: str
    """``closed`` where results are sent, ``open`` while it is left alone, ``half-open`` before its probe."""
    failures: int
    """In a row; 0 when its last call was answered."""
    problem: str
    """The last failure; empty when its last call was answered."""
    probed_at: str
    """Until when it is left alone, in UTC; empty when it is not."""
    oldest_unproven_seconds: float
    """For how long something that it accepted has been without proof; 0 when everything is proven."""


def destination_checks(
    store: Store, names: Iterable[str], patience: Patience
) -> tuple[DestinationCheck, ...]:
    """Return how each destination fares.

    Parameters
    ----------
    store : Store
    names : iterable of str
        Of the destinations in the settings.
    patience : Patience
        When a destination is left alone.
    """
    now, failing = store.database.clock.now(), store.breakers.all_failing()
    checks = []
    for name in names:
        found = failing.get(name)
        state = breaker_state(found, now=now, patience=patience)
        until = found.open_until if found is not None and state is BreakerState.OPEN else None
        oldest = store.proofs.oldest(name)
        checks.append(
            DestinationCheck(
                name=name,
                breaker=state.value,
                failures=0 if found is None else found.failures,
                problem="" if found is None else found.detail,
                probed_at="" if until is None else until.isoformat(),
                oldest_unproven_seconds=0.0 if oldest is None else max((now - oldest).total_seconds(), 0.0),
            )
        )
    return tuple(checks)
