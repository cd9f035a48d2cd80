"""Forgetting what peers announced, asked and sent by, what was fetched, and how proof was asked for.

A promise is never forgotten: a committed instance that is here keeps the request by which it was committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, delete, exists, func, or_, select, true

from node.domain.commitment import COMMITTED, RequestState
from node.domain.delivery import DeliveryState
from node.domain.pruning import Kept, Pruned
from node.domain.study import SeriesState, StudyState
from node.store.acts import record_act
from node.store.commitment_rows import is_promised
from node.store.database import Database
from node.store.schema import (
    asides,
    association_series,
    associations,
    deliveries,
    instances,
    series,
    studies,
)
from node.store.schema_announced import (
    announced_instances,
    announcements,
    asked_instances,
    commitment_relays,
    commitment_requests,
)
from node.store.schema_delivery import commitment_deliveries, commitments
from node.store.schema_pulls import pull_series, pulls
from node.store.schema_retention import retention_holds

ROWS_AT_A_TIME = 5_000
"""Removed under one hold of the write lock, arrivals waiting for it; more where one thing alone has more."""


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """How one kind is forgotten."""

    table: Table
    ended_at: Column[Any]
    ended: ColumnElement[bool]
    needed: ColumnElement[bool]
    """Whether something here depends on a row."""
    parts: tuple[Column[Any], ...]
    """Columns of other tables that refer to it."""


class PruningRecords:
    """What has been over for long, and nothing depends on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def over(
        self, kind: Kept, *, until: datetime, after: tuple[datetime, int] | None = None, limit: int = 100
    ) -> list[tuple[datetime, int]]:
        """Return end and number of what can be forgotten, oldest end first.

        Parameters
        ----------
        kind : Kept
        until : datetime
            What ended later is kept.
        after : tuple of datetime and int, optional
            The last item of the page before.
        limit : int
        """
        rule = _rule_of(kind)
        query = select(rule.ended_at, rule.table.c.id).where(*_may_go(rule, until))
        if after is not None:
            at, number = after
            later = rule.ended_at > at
            query = query.where(
                rule.ended_at >= at, or_(later, and_(rule.ended_at == at, rule.table.c.id > number))
            )
        query = query.order_by(rule.ended_at, rule.table.c.id).limit(limit)
        with self._database.read() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]

    def weight(self, kind: Kept, numbers: Sequence[int]) -> Pruned:
        """Return what some of a kind are, with all that hangs on them."""
        with self._database.read() as connection:
            return Pruned(kind=kind, count=len(numbers), rows=sum(_rows(connection, kind, numbers).values()))

    def forget(
        self, kind: Kept, numbers: Sequence[int], *, until: datetime, by: str, reason: str
    ) -> list[Pruned]:
        """Forget some of a kind, a few thousand rows at a time; return what was, one item a transaction.

        What something depends on since, or what goes on again, stays.

        Parameters
        ----------
        kind : Kept
        numbers : sequence of int
        until : datetime
            What ended later is kept.
        by, reason : str
            For the audit trail.
        """
        with self._database.read() as connection:
            rows = _rows(connection, kind, numbers)
        done, batch = [], list[int]()
        for number in numbers:
            if batch and sum(rows[item] for item in (*batch, number)) > ROWS_AT_A_TIME:
                done.append(self._forget(kind, batch, until=until, by=by, reason=reason))
                batch = []
            batch.append(number)
        if batch:
            done.append(self._forget(kind, batch, until=until, by=by, reason=reason))
        return [item for item in done if item.count]

    def _forget(self, kind: Kept, numbers: Sequence[int], *, until: datetime, by: str, reason: str) -> Pruned:
        rule = _rule_of(kind)
        still = select(rule.table.c.id).where(rule.table.c.id.in_(numbers), *_may_go(rule, until))
        with self._database.write() as connection:
            doomed = list(connection.execute(still).scalars())
            if not doomed:
                return Pruned(kind=kind, count=0, rows=0)
            rows = sum(
                connection.execute(delete(column.table).where(column.in_(doomed))).rowcount
                for column in (*rule.parts, rule.table.c.id)
            )
            record_act(
                connection,
                at=self._database.clock.now(),
                by=by,
                action="forget",
                subject=f"{len(doomed)} {kind}, {rows} rows",
                reason=reason,
            )
        return Pruned(kind=kind, count=len(doomed), rows=rows)


def _may_go(rule: _Rule, until: datetime) -> tuple[ColumnElement[bool], ...]:
    return rule.ended_at <= until, rule.ended, ~rule.needed


def _rows(connection: Connection, kind: Kept, numbers: Sequence[int]) -> dict[int, int]:
    """Return how many rows hang on each of some of a kind, itself among them."""
    found = dict.fromkeys(numbers, 1)
    for column in _rule_of(kind).parts:
        query = select(column, func.count()).where(column.in_(numbers)).group_by(column)
        for number, count in connection.execute(query):
            found[number] += count
    return found


def _rule_of(kind: Kept) -> _Rule:
    match kind:
        case Kept.ANNOUNCEMENTS:
            of_one = announced_instances.c.announcement_id == announcements.c.id
            return _Rule(
                table=announcements,
                ended_at=announcements.c.changed_at,
                # A step that is left in progress has ended with its last change: nobody will end it.
                ended=true(),
                needed=exists().where(of_one, _is_open(announced_instances.c.series_instance_uid)),
                parts=(announced_instances.c.announcement_id,),
            )
        case Kept.COMMITMENTS:
            return _Rule(
                table=commitment_requests,
                ended_at=commitment_requests.c.changed_at,
                ended=commitment_requests.c.state.not_in((RequestState.OPEN, RequestState.DECIDED)),
                needed=or_(_promises(), _is_evidence()),
                parts=(commitment_relays.c.request_id, asked_instances.c.request_id),
            )
        case Kept.PULLS:
            of_one = pull_series.c.pull_id == pulls.c.id
            return _Rule(
                table=pulls,
                ended_at=pulls.c.ended_at,
                ended=pulls.c.ended_at.is_not(None),
                needed=or_(
                    exists().where(of_one, _is_open(pull_series.c.series_instance_uid)),
                    # Its number would be given to the next one, and an operator knows it by that.
                    pulls.c.id == select(func.max(pulls.c.id)).scalar_subquery(),
                ),
                parts=(pull_series.c.pull_id,),
            )
        case Kept.ASSOCIATIONS:
            return _of_associations()
        case Kept.QUESTIONS:
            return _of_questions()


def _of_associations() -> _Rule:
    # How an association ended is evidence of what came by it, until that is judged for good.
    carried = exists().where(
        association_series.c.association_id == associations.c.id,
        series.c.id == association_series.c.series_id,
        studies.c.id == series.c.study_id,
        _is_undecided(),
    )
    return _Rule(
        table=associations,
        ended_at=associations.c.closed_at,
        ended=associations.c.closed_at.is_not(None),
        needed=carried,
        parts=(association_series.c.association_id,),
    )


def _of_questions() -> _Rule:
    waits = exists().where(
        commitment_deliveries.c.commitment_id == commitments.c.id,
        deliveries.c.id == commitment_deliveries.c.delivery_id,
        deliveries.c.state == DeliveryState.SENT,
    )
    return _Rule(
        table=commitments,
        ended_at=commitments.c.asked_at,
        # Its answer may come at any later time, and counts while a delivery waits for it.
        ended=true(),
        needed=waits,
        parts=(commitment_deliveries.c.commitment_id,),
    )


def _is_open(series_instance_uid: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a series is here that may still be judged again, or of a study that somebody decides about."""
    return exists().where(
        series.c.series_instance_uid == series_instance_uid,
        studies.c.id == series.c.study_id,
        _is_undecided(),
    )


def _is_undecided() -> ColumnElement[bool]:
    return or_(
        series.c.state != SeriesState.COMPLETE,
        studies.c.state != StudyState.SETTLED,
        exists().where(retention_holds.c.study_id == studies.c.id),
    )


def _promises() -> ColumnElement[bool]:
    """Whether a request is the last proof of a promise to its peer about an instance that is here.

    The same peer may have asked again for the same instance: the newest request stays.
    """
    again, later = asked_instances.alias("again"), commitment_requests.alias("later")
    uid = asked_instances.c.sop_instance_uid
    proven_since = (
        exists()
        .where(
            again.c.sop_instance_uid == uid,
            again.c.outcome == COMMITTED,
            again.c.request_id > asked_instances.c.request_id,
            later.c.id == again.c.request_id,
            later.c.calling_ae_title == commitment_requests.c.calling_ae_title,
        )
        .correlate(asked_instances, commitment_requests)
    )
    here = exists().where(instances.c.sop_instance_uid == uid) | exists().where(
        asides.c.sop_instance_uid == uid
    )
    return exists().where(
        asked_instances.c.request_id == commitment_requests.c.id,
        is_promised(),
        here,
        ~proven_since,
    )


def _is_evidence() -> ColumnElement[bool]:
    """Whether a request lists an instance of a series that may still be judged again."""
    return exists().where(
        asked_instances.c.request_id == commitment_requests.c.id,
        instances.c.sop_instance_uid == asked_instances.c.sop_instance_uid,
        series.c.id == instances.c.series_id,
        studies.c.id == series.c.study_id,
        _is_undecided(),
    )
