"""What retention has to know of studies, read for a page of them at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, func, or_, select

from node.domain.delivery import DeliveryState
from node.domain.job import Purpose, ScreeningState
from node.domain.result import ResultKind, ResultState
from node.domain.retention import Extent, StudyFacts
from node.domain.study import AsideReason, StudyState
from node.store.commitments_asked import protected
from node.store.jobs import ACTIVE
from node.store.schema import (
    asides,
    deliveries,
    instances,
    own_objects,
    result_objects,
    result_versions,
    screenings,
    series,
    studies,
    version_objects,
)
from node.store.schema_delivery import study_overrides, withdrawals
from node.store.schema_retention import retention_holds
from node.store.versions import is_in_force, may_be_sent

UNDELIVERED = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.REFUSED)
UNPROVEN = (DeliveryState.WITHHELD, DeliveryState.SENT)


def page_of_studies(
    connection: Connection,
    after: tuple[datetime, int] | None,
    *,
    until: datetime | None,
    whole: bool,
    limit: int,
) -> list[tuple[datetime, int]]:
    """Return last arrival and row of studies, oldest arrival first.

    Parameters
    ----------
    connection : Connection
    after : tuple of datetime and int, or None
        The last item of the page before.
    until : datetime or None
        Only studies whose last arrival is not later.
    whole : bool
        Studies too of which nothing but results is here.
    limit : int
    """
    query = select(studies.c.last_arrival_at, studies.c.id)
    if after is not None:
        at, row = after
        later = studies.c.last_arrival_at > at
        query = query.where(or_(later, and_(studies.c.last_arrival_at == at, studies.c.id > row)))
    if until is not None:
        query = query.where(studies.c.last_arrival_at <= until)
    if not whole:
        query = query.where(exists().where(series.c.study_id == studies.c.id))
    found = connection.execute(query.order_by(studies.c.last_arrival_at, studies.c.id).limit(limit))
    return [(row.last_arrival_at, row.id) for row in found]


def facts_of(connection: Connection, ids: Sequence[int]) -> list[StudyFacts]:
    """Return what is known of these rows of ``studies``, in their order; absent ones are left out."""
    query = select(
        studies.c.id,
        studies.c.study_instance_uid,
        studies.c.state,
        studies.c.last_arrival_at,
        _is(retention_holds.c.study_id == studies.c.id, "kept_by_order"),
        _is(_screening(screenings.c.state.in_(ACTIVE)), "in_screening"),
        _is(_screening(_failed()), "screening_failed"),
        _is(_aside(asides.c.reason != AsideReason.REPLACED), "set_aside"),
        _promised().label("promised"),
        or_(
            exists().where(study_overrides.c.study_id == studies.c.id),
            exists().where(_aside(asides.c.reason == AsideReason.REPLACED)),
        ).label("corrected"),
        _is(_unnoted(), "withdrawal_pending"),
        exists().where(result_objects.c.study_id == studies.c.id, may_be_sent()).label("shown"),
    ).where(studies.c.id.in_(ids))
    found = {row["id"]: row for row in connection.execute(query).mappings()}
    modalities = _modalities(connection, ids)
    undelivered = _counted(connection, _deliveries(ids, UNDELIVERED))
    unproven = _counted(connection, _deliveries(ids, UNPROVEN))
    kept_only_here = _counted(connection, _kept_only_here(ids))
    in_force = _counted(connection, _versions_in_force(ids))
    proven = _proven(connection, ids)
    return [
        StudyFacts(
            study_id=row["id"],
            study_instance_uid=row["study_instance_uid"],
            state=StudyState(row["state"]),
            last_arrival_at=row["last_arrival_at"],
            modalities=frozenset(modalities[row["id"]]),
            kept_by_order=row["kept_by_order"],
            in_screening=row["in_screening"],
            screening_failed=row["screening_failed"],
            set_aside=row["set_aside"],
            promised=row["promised"],
            corrected=row["corrected"],
            withdrawal_pending=row["withdrawal_pending"],
            undelivered=undelivered.get(row["id"], 0),
            unproven=unproven.get(row["id"], 0),
            versions_in_force=in_force.get(row["id"], 0),
            shown=row["shown"],
            kept_only_here=kept_only_here.get(row["id"], 0),
            proven_at=frozenset(
                name for name, count in proven[row["id"]].items() if count == in_force.get(row["id"], 0)
            ),
        )
        for row in (found[item] for item in ids if item in found)
    ]


def files_of(study_id: int, study_instance_uid: str, extent: Extent) -> list[Select[Any]]:
    """Return the queries of the object files of a study, each with ``object_key`` and ``size``."""
    queries = [
        select(instances.c.object_key, instances.c.size)
        .join(series, series.c.id == instances.c.series_id)
        .where(series.c.study_id == study_id),
        select(asides.c.object_key, asides.c.size).where(asides.c.study_id == study_id),
        select(own_objects.c.object_key, own_objects.c.size).where(
            own_objects.c.study_instance_uid == study_instance_uid
        ),
    ]
    if extent is Extent.STUDY:
        results = select(result_objects.c.object_key, result_objects.c.size)
        queries.append(results.where(result_objects.c.study_id == study_id))
    return queries


def _is(condition: Any, name: str) -> Any:
    return exists().where(condition).label(name)


def _screening(condition: Any) -> Any:
    return and_(screenings.c.study_id == studies.c.id, condition)


def _failed() -> Any:
    """Return the condition of a screening that failed and that no later one has superseded."""
    return and_(screenings.c.state == ScreeningState.FAILED, screenings.c.purpose == Purpose.REPORT)


def _aside(condition: Any) -> Any:
    return and_(asides.c.study_id == studies.c.id, condition)


def _promised() -> Any:
    return exists().where(
        series.c.study_id == studies.c.id,
        instances.c.series_id == series.c.id,
        instances.c.sop_instance_uid.in_(protected()),
    )


def _unnoted() -> Any:
    return and_(
        result_versions.c.study_id == studies.c.id,
        withdrawals.c.version_id == result_versions.c.id,
        withdrawals.c.noted_at.is_(None),
    )


def _modalities(connection: Connection, ids: Sequence[int]) -> defaultdict[int, set[str]]:
    query = select(series.c.study_id, series.c.modality).where(series.c.study_id.in_(ids)).distinct()
    found: defaultdict[int, set[str]] = defaultdict(set)
    for row in connection.execute(query):
        found[row.study_id].add(row.modality)
    return found


def _counted(connection: Connection, query: Select[Any]) -> Mapping[int, int]:
    return {row[0]: row[1] for row in connection.execute(query)}


def _deliveries(ids: Sequence[int], states: Collection[DeliveryState]) -> Select[Any]:
    return (
        select(result_objects.c.study_id, func.count())
        .join(deliveries, deliveries.c.object_id == result_objects.c.id)
        .where(result_objects.c.study_id.in_(ids), deliveries.c.state.in_(states))
        .group_by(result_objects.c.study_id)
    )


def _kept_only_here(ids: Sequence[int]) -> Select[Any]:
    arrived = exists().where(
        deliveries.c.object_id == result_objects.c.id, deliveries.c.state == DeliveryState.DELIVERED
    )
    return (
        select(result_objects.c.study_id, func.count())
        .where(result_objects.c.study_id.in_(ids), is_in_force(), ~arrived)
        .group_by(result_objects.c.study_id)
    )


def _versions_in_force(ids: Sequence[int]) -> Select[Any]:
    return (
        select(result_versions.c.study_id, func.count())
        .where(result_versions.c.study_id.in_(ids), result_versions.c.state == ResultState.CURRENT)
        .group_by(result_versions.c.study_id)
    )


def _proven(connection: Connection, ids: Sequence[int]) -> defaultdict[int, dict[str, int]]:
    """Return of how many versions in force each destination is proven to have the report, by study."""
    query = (
        select(
            result_versions.c.study_id,
            deliveries.c.destination,
            func.count(result_versions.c.id.distinct()),
        )
        .join(version_objects, version_objects.c.version_id == result_versions.c.id)
        .join(result_objects, result_objects.c.id == version_objects.c.object_id)
        .join(deliveries, deliveries.c.object_id == result_objects.c.id)
        .where(
            result_versions.c.study_id.in_(ids),
            result_versions.c.state == ResultState.CURRENT,
            result_objects.c.kind == ResultKind.REPORT,
            deliveries.c.state == DeliveryState.DELIVERED,
        )
        .group_by(result_versions.c.study_id, deliveries.c.destination)
    )
    found: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for study, destination, count in connection.execute(query):
        found[study][destination] = count
    return found
