"""What open series are judged by, for many of them at a time: a look at ten thousand is a few statements.

Statements, not the interpreter, leave out what certainly goes on waiting: the driver holds no lock while a
statement runs, so that whoever answers a query meanwhile is not held up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, exists, func, or_, select

from node.domain.announcement import Status
from node.domain.expectation import Source
from node.domain.study import AssociationEnd, AssociationFacts, Series, SeriesState, StudyState
from node.store import rows
from node.store.database import Database
from node.store.gaps import percentile_gap
from node.store.schema import association_series, associations, sender_gaps, series, studies
from node.store.schema_announced import announced_instances, announcements
from node.store.schema_pulls import archive_counts

ENDED = (Status.COMPLETED, Status.DISCONTINUED)
NO_ASSOCIATION = AssociationFacts(open_count=0, last_end=None, last_closed_at=None)


@dataclass(frozen=True, kw_only=True)
class Ripe:
    """A series that may get its verdict."""

    series: Series
    told: bool
    """Whether a procedure step that lists it has ended, or an archive has as many instances as are here."""


class JudgingRecords:
    """Which open series may get a verdict, and what it depends on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ripe(self, *, now: datetime, silent_since: datetime, after: int, limit: int) -> list[Ripe]:
        """Return series without a verdict that may get one, oldest first.

        Left out is what waits whatever else is known of it: what an open association carries; and, unless it
        is told of, what got an image after ``silent_since`` or waits for its time after a restart.

        Parameters
        ----------
        now, silent_since : datetime
        after : int
            Row of the series behind which to go on.
        limit : int
            How many at most.
        """
        carried_now = (
            select(association_series.c.series_id)
            .join(associations, associations.c.id == association_series.c.association_id)
            .where(associations.c.closed_at.is_(None))
        )
        silent = (series.c.last_arrival_at <= silent_since) & (
            series.c.not_before.is_(None) | (series.c.not_before <= now)
        )
        told = _told()
        query = (
            select(series, told.label("told"))
            .where(
                series.c.state == SeriesState.RECEIVING,
                series.c.id > after,
                series.c.id.not_in(carried_now),
                or_(silent, told),
            )
            .order_by(series.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [
                Ripe(series=rows.series_record(row), told=bool(row["told"]))
                for row in connection.execute(query).mappings()
            ]

    def latest(self, since: datetime, quiet: timedelta) -> datetime | None:
        """Return the latest time that is written of what is open, if that is after ``since``.

        Parameters
        ----------
        since : datetime
        quiet : timedelta
            How far ahead of a restart `StudyRecords.defer_after_restart` puts a verdict: that time is taken
            for what it was put ahead of.
        """
        receiving = series.c.state == SeriesState.RECEIVING
        carries = exists().where(
            association_series.c.association_id == associations.c.id,
            exists().where(series.c.id == association_series.c.series_id, receiving),
        )
        arrived, closed, waited_for = series.c.last_arrival_at, associations.c.closed_at, series.c.not_before
        changed, open_study = studies.c.last_arrival_at, studies.c.state == StudyState.RECEIVING
        of_study = series.join(studies, studies.c.id == series.c.study_id)
        query = select(
            select(func.max(waited_for)).where(receiving, waited_for > since + quiet).scalar_subquery(),
            select(func.max(arrived)).where(receiving, arrived > since).scalar_subquery(),
            select(func.max(arrived))
            .select_from(of_study)
            .where(open_study, arrived > since)
            .scalar_subquery(),
            select(func.max(changed)).where(open_study, changed > since).scalar_subquery(),
            select(func.max(closed)).where(closed > since, carries).scalar_subquery(),
        )
        with self._database.read() as connection:
            later, *written = connection.execute(query).one()
        found = [*written, later - quiet if later is not None else None]
        return max((item for item in found if item is not None), default=None)

    def associations(self, of: Collection[int]) -> dict[int, AssociationFacts]:
        """Return what is known of the associations that carried series, by the row of the series.

        One that broke counts as the last one until another that was opened after it is released: one that
        ran beside it does not bring what the broken one had left to send.
        """
        each = [association_series.c.series_id, associations.c.end]
        latest = [associations.c.closed_at.desc(), associations.c.id.desc()]
        ranked = (
            select(
                association_series.c.series_id,
                associations.c.id,
                associations.c.end,
                associations.c.closed_at,
                func.max(associations.c.opened_at).over(partition_by=each).label("opened_last"),
                func.count().over(partition_by=each).label("alike"),
                func.row_number().over(partition_by=each, order_by=latest).label("rank"),
            )
            .join(associations, associations.c.id == association_series.c.association_id)
            .where(association_series.c.series_id.in_(of))
            .subquery("ranked")
        )
        found: defaultdict[int, list[Row[Any]]] = defaultdict(list)
        with self._database.read() as connection:
            for row in connection.execute(select(ranked).where(ranked.c.rank == 1)):
                found[row.series_id].append(row)
        return {number: _facts(found[number]) if number in found else NO_ASSOCIATION for number in of}

    def sender_gaps(self, calling_ae_titles: Collection[str]) -> dict[str, timedelta | None]:
        """Return each sender's 99th percentile gap between two arrivals of a series in one association.

        None while fewer than ``gaps.ENOUGH`` gaps were seen.
        """
        query = select(sender_gaps).where(sender_gaps.c.calling_ae_title.in_(calling_ae_titles))
        counts: dict[str, dict[int, int]] = {title: {} for title in calling_ae_titles}
        with self._database.read() as connection:
            for title, bucket, count in connection.execute(query):
                counts[title][bucket] = count
        return {title: percentile_gap(found) for title, found in counts.items()}


def _told() -> ColumnElement[bool]:
    step_ended = exists().where(
        announced_instances.c.series_instance_uid == series.c.series_instance_uid,
        announcements.c.id == announced_instances.c.announcement_id,
        announcements.c.source == Source.PROCEDURE_STEP,
        announcements.c.status.in_(ENDED),
    )
    counted = exists().where(
        archive_counts.c.series_instance_uid == series.c.series_instance_uid,
        archive_counts.c.count == series.c.instance_count,
    )
    return step_ended | counted


def _facts(last_of_each_end: Sequence[Row[Any]]) -> AssociationFacts:
    """Return the facts of one series from the last of its associations that ended in each way."""
    closed = sorted(
        (row for row in last_of_each_end if row.closed_at is not None),
        key=lambda row: (row.closed_at, row.id),
    )
    resumed_at = next((row.opened_last for row in closed if row.end == AssociationEnd.RELEASED), None)
    broken = [
        row
        for row in closed
        if row.end != AssociationEnd.RELEASED and (resumed_at is None or resumed_at < row.closed_at)
    ]
    decisive = [*closed[-1:], *broken[-1:]]
    return AssociationFacts(
        open_count=sum(row.alike for row in last_of_each_end if row.closed_at is None),
        last_end=AssociationEnd(decisive[-1].end) if decisive else None,
        last_closed_at=closed[-1].closed_at if closed else None,
    )
