"""Result versions and their objects, written inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, case, exists, insert, or_, select, update

from node.domain.delivery import DELIVERY, DeliveryEvent, DeliveryState, Outlet
from node.domain.errors import StoreError
from node.domain.result import ResultKind, ResultObject, ResultState
from node.store.inserting import insert_row
from node.store.schema import deliveries, result_objects, result_versions, version_objects
from node.store.schema_retention import removed_results

KIND_ORDER = tuple(ResultKind)
KIND_RANK = case({kind.value: rank for rank, kind in enumerate(KIND_ORDER)}, value=result_objects.c.kind)
"""Sorts rows of ``result_objects`` into the order in which they are sent."""


@dataclass(frozen=True, kw_only=True)
class ResultSet:
    """What a screening puts in force."""

    version: int
    """From 1."""
    recipe: str
    """Digest of all that decides the content."""
    objects: Sequence[ResultObject]
    outlets: Sequence[Outlet]
    """Where they go."""


def is_in_force(model_names: Collection[str] | None = None) -> ColumnElement[bool]:
    """Return the condition that a row of ``result_objects`` belongs to a current version.

    Parameters
    ----------
    model_names : collection of str, optional
        A version of one of these models; by default of any.
    """
    conditions = [
        version_objects.c.object_id == result_objects.c.id,
        result_versions.c.id == version_objects.c.version_id,
        result_versions.c.state == ResultState.CURRENT,
    ]
    if model_names is not None:
        conditions.append(result_versions.c.model_name.in_(model_names))
    return exists().where(and_(*conditions))


def may_be_sent() -> ColumnElement[bool]:
    """Return the condition that a row of ``result_objects`` may leave: in force, or what withdraws others."""
    return or_(result_objects.c.kind == ResultKind.REJECTION, is_in_force())


def put_in_force(connection: Connection, screening: RowMapping, results: ResultSet, *, at: datetime) -> None:
    """Supersede the version before, and write the new one with its objects and deliveries.

    Raises
    ------
    StoreError
        An object's UID belongs to another study.
    """
    study_id, model_name = screening["study_id"], screening["model_name"]
    retire_versions(connection, study_id, model_name, ResultState.SUPERSEDED, at=at)
    version_id = insert_row(
        connection,
        result_versions,
        study_id=study_id,
        model_name=model_name,
        version=results.version,
        recipe=results.recipe,
        state=ResultState.CURRENT,
        screening_id=screening["id"],
        made_at=at,
    )
    for item in sorted(results.objects, key=lambda item: (KIND_ORDER.index(item.kind), item.index)):
        object_id = ensure_object(connection, study_id, item)
        connection.execute(insert(version_objects).values(version_id=version_id, object_id=object_id))
        for outlet in results.outlets:
            if item.kind in outlet.kinds:
                _ensure_delivery(connection, object_id, outlet.name, leaves=outlet.leaves, at=at)


def retire_versions(
    connection: Connection, study_id: int, model_name: str | None, state: ResultState, *, at: datetime
) -> None:
    """Take versions out of force and cancel what was not sent of them.

    Parameters
    ----------
    connection : Connection
        Of a write transaction.
    study_id : int
    model_name : str or None
        None means every model.
    state : ResultState
        SUPERSEDED retires the current version, WITHDRAWN every version that is not withdrawn.
    at : datetime
    """
    gone = (
        result_versions.c.state == ResultState.CURRENT
        if state is ResultState.SUPERSEDED
        else result_versions.c.state != ResultState.WITHDRAWN
    )
    chosen = [result_versions.c.study_id == study_id, gone]
    if model_name is not None:
        chosen.append(result_versions.c.model_name == model_name)
    versions = connection.execute(select(result_versions.c.id).where(*chosen)).scalars().all()
    if not versions:
        return
    connection.execute(update(result_versions).where(result_versions.c.id.in_(versions)).values(state=state))
    objects = select(version_objects.c.object_id).where(version_objects.c.version_id.in_(versions))
    connection.execute(
        update(deliveries)
        .where(
            deliveries.c.object_id.in_(objects),
            deliveries.c.state.in_(DELIVERY.sources(DeliveryEvent.CANCEL)),
        )
        .values(state=DeliveryState.CANCELLED, changed_at=at, due_at=None, detail=f"the version was {state}")
    )


def ensure_object(connection: Connection, study_id: int, item: ResultObject) -> int:
    """Return the row of an object; one whose UID exists is never written again, its first bytes count."""
    query = select(result_objects.c.id, result_objects.c.study_id).where(
        result_objects.c.sop_instance_uid == item.sop_instance_uid
    )
    found = connection.execute(query).first()
    if found is not None:
        if found.study_id != study_id:
            raise StoreError("a result object's UID belongs to another study; nothing was written")
        return int(found.id)
    issued = select(removed_results.c.sha256).where(
        removed_results.c.sop_instance_uid == item.sop_instance_uid
    )
    if connection.execute(issued).first() is not None:
        raise StoreError("a result object's UID was issued before and removed; nothing was written")
    return insert_row(
        connection,
        result_objects,
        study_id=study_id,
        kind=item.kind,
        object_index=item.index,
        sop_class_uid=item.sop_class_uid,
        sop_instance_uid=item.sop_instance_uid,
        series_instance_uid=item.series_instance_uid,
        transfer_syntax_uid=item.transfer_syntax_uid,
        object_key=item.object_key,
        sha256=item.sha256,
        size=item.size,
    )


def _ensure_delivery(
    connection: Connection, object_id: int, destination: str, *, leaves: bool, at: datetime
) -> None:
    """Write the outbox row of an object and destination, unless it is there: nothing is sent twice."""
    query = select(deliveries.c.id).where(
        deliveries.c.object_id == object_id,
        deliveries.c.destination == destination,
        deliveries.c.state != DeliveryState.CANCELLED,
    )
    if connection.execute(query).first() is None:
        connection.execute(
            insert(deliveries).values(
                object_id=object_id,
                destination=destination,
                state=DeliveryState.PENDING if leaves else DeliveryState.WITHHELD,
                due_at=at if leaves else None,
                changed_at=at,
            )
        )
