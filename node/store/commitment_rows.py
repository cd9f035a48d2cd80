"""The rows of storage commitment that peers ask for, and how they change."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Update, exists, func, or_, select, update

from node.domain.commitment import (
    COMMITTED,
    REQUEST,
    AskedInstance,
    InstanceFacts,
    OpenRequest,
    RequestEvent,
    RequestState,
)
from node.domain.study import AsideReason
from node.store.schema import asides, instances
from node.store.schema_announced import asked_instances, commitment_requests

AT_ONCE = 500
"""Values in one statement."""


def is_promised() -> ColumnElement[bool]:
    """Whether this node has committed itself to an instance of a request, if only before it failed again."""
    return or_(asked_instances.c.outcome == COMMITTED, asked_instances.c.promised)


def listed(connection: Connection, request_id: int) -> dict[str, str]:
    """Return what a request lists: SOP Class UIDs by SOP Instance UID."""
    query = select(asked_instances.c.sop_instance_uid, asked_instances.c.sop_class_uid)
    found = connection.execute(query.where(asked_instances.c.request_id == request_id))
    return {row.sop_instance_uid: row.sop_class_uid for row in found}


def reopen(connection: Connection, request_id: int, state: RequestState, now: datetime) -> None:
    """Decide again. What is verified already counts only for a report that is still to be made.

    What was committed to once stays here for good: the peer may have deleted its own by the former report.
    """
    of_request = asked_instances.c.request_id == request_id
    again = of_request & asked_instances.c.outcome.is_not(None)
    if state is RequestState.OPEN:
        again &= asked_instances.c.outcome != COMMITTED
    connection.execute(
        update(asked_instances).where(again).values(outcome=None, verified_key=None, promised=is_promised())
    )
    opened = REQUEST.step(state, RequestEvent.ASK_AGAIN)
    change(connection, request_id, now, state=opened, received_at=now, due_at=now, attempts=0, detail="")
    decide_if_all(connection, request_id, now)


def put(connection: Connection, request_id: int, uids: Collection[str], **values: object) -> None:
    """Change instances that are not decided on."""
    for part in _parts(uids):
        of_part = asked_instances.c.sop_instance_uid.in_(part)
        connection.execute(_undecided(request_id).where(of_part).values(values))


def commit(connection: Connection, request_id: int, uids: Collection[str]) -> int:
    """Commit to instances whose verified file is in force and not in doubt; return to how many."""
    in_force = (
        select(instances.c.object_key)
        .where(instances.c.sop_instance_uid == asked_instances.c.sop_instance_uid)
        .scalar_subquery()
    )
    of_uid = asides.c.sop_instance_uid == asked_instances.c.sop_instance_uid
    doubted = exists().where(of_uid, asides.c.reason != AsideReason.REPLACED)
    is_verified = _undecided(request_id).where(asked_instances.c.verified_key == in_force, ~doubted)
    return sum(
        connection.execute(
            is_verified.where(asked_instances.c.sop_instance_uid.in_(part)).values(outcome=COMMITTED)
        ).rowcount
        for part in _parts(uids)
    )


def _parts(uids: Collection[str]) -> Iterator[list[str]]:
    """Yield some at a time: a statement takes only so many values."""
    left = iter(uids)
    while part := list(islice(left, AT_ONCE)):
        yield part


def _undecided(request_id: int) -> Update:
    """Return the change of an instance that is not decided on."""
    return update(asked_instances).where(
        asked_instances.c.request_id == request_id, asked_instances.c.outcome.is_(None)
    )


def decide_if_all(connection: Connection, request_id: int, now: datetime) -> None:
    """Let a request be reported of which nothing is undecided."""
    undecided = select(func.count()).where(
        asked_instances.c.request_id == request_id, asked_instances.c.outcome.is_(None)
    )
    query = select(commitment_requests.c.state).where(commitment_requests.c.id == request_id)
    state = RequestState(connection.execute(query).scalar_one())
    if state is RequestState.OPEN and not connection.execute(undecided).scalar_one():
        decided = REQUEST.step(state, RequestEvent.DECIDE)
        change(connection, request_id, now, state=decided, due_at=now, detail="")


def change(connection: Connection, request_id: int, now: datetime, **values: object) -> None:
    """Change a request."""
    connection.execute(
        update(commitment_requests)
        .where(commitment_requests.c.id == request_id)
        .values(changed_at=now, **values)
    )


def request_of(row: Any) -> OpenRequest:
    """Return the request of a row."""
    return OpenRequest(
        id=row.id,
        transaction_uid=row.transaction_uid,
        calling_ae_title=row.calling_ae_title,
        received_at=row.received_at,
        changed_at=row.changed_at,
        attempts=row.attempts,
    )


def facts_of(row: Any) -> InstanceFacts:
    """Return what the decision on the instance of a row depends on."""
    return InstanceFacts(
        asked=AskedInstance(sop_class_uid=row.asked_class, sop_instance_uid=row.sop_instance_uid),
        sop_class_uid=row.sop_class_uid,
        object_key=row.object_key,
        waits_for_comparison=bool(row.waiting),
        set_aside=bool(row.judged),
        verified=row.object_key is not None and row.verified_key == row.object_key,
    )
