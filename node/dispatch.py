"""From the settings to the courier: what carries results to their destinations."""

from __future__ import annotations

from collections.abc import Callable

from node.deliver.courier import Courier
from node.deliver.prover import Prover
from node.domain.ports import Clock, UidSource
from node.outlets import sender_to
from node.settings.settings import Settings
from node.store.store import Store


def courier_of(
    settings: Settings, store: Store, *, clock: Clock, uids: UidSource, jitter: Callable[[], float]
) -> Courier:
    """Return the courier to every destination of the settings."""
    deliver = settings.deliver
    return Courier(
        outbox=store.outbox,
        breakers=store.breakers,
        prover=Prover(
            proofs=store.proofs,
            files=store.files,
            clock=clock,
            uids=uids,
            waits=deliver.proof_waits(),
            backoff=deliver.backoff(),
            jitter=jitter,
        ),
        files=store.files,
        senders={item.name: sender_to(item, settings, clock) for item in settings.destination_records()},
        clock=clock,
        backoff=deliver.backoff(),
        patience=deliver.patience(),
        jitter=jitter,
    )
