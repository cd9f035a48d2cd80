"""What health and metrics read from the index."""

from __future__ import annotations

from collections.abc import Sequence

from node.domain.errors import GroundglassError
from node.domain.job import Purpose
from node.operate.destinations import DestinationCheck
from node.operate.metrics import Figures
from node.store.store import Store


def figures_of(store: Store, destinations: Sequence[DestinationCheck]) -> Figures:
    """Return what the index counts, and how the destinations fare."""
    return Figures(
        screenings=_counts(store, Purpose.REPORT),
        shadows=_counts(store, Purpose.SHADOW),
        deliveries={
            (destination, str(state)): count for (destination, state), count in store.outbox.counts().items()
        },
        destinations=destinations,
    )


def _counts(store: Store, purpose: Purpose) -> dict[str, int]:
    return {str(state): count for state, count in store.screenings.counts(purpose).items()}


def index_problem(store: Store) -> str:
    """Return why the index does not answer; empty when it does."""
    try:
        store.operations.live()
    except GroundglassError as error:
        return str(error)
    return ""
