"""What archives say: counts of series being received, studies that rules saw, and whether they answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, case, delete, func, literal, or_, select
from sqlalchemy.dialects.sqlite import insert as upsert

from node.domain.archives import ArchiveCount, ArchivedStudy, FetchState, PolledStudy, PullCause
from node.domain.study import SeriesState
from node.store.database import Database
from node.store.schema import association_series, associations, series, studies
from node.store.schema_pulls import archive_contacts, archive_counts, polled_studies, pull_series, pulls

KEPT = timedelta(days=30)
"""What an archive said of a series longer ago is forgotten."""
DETAIL_LENGTH = 500


@dataclass(frozen=True, kw_only=True)
class OpenSeries:
    """A series that may not be whole."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    here: int
    """How many of its instances are here."""
    last_arrival_at: datetime
    carried_now: bool
    """Whether an association that carried it is open."""
    being_fetched: bool
    """Whether something of it waits to be fetched."""
    missed_at: datetime | None
    """When what is missing of it was last asked for."""
    counts: Mapping[str, ArchiveCount]
    """What the archives said last, by name."""


@dataclass(frozen=True, kw_only=True)
class Contact:
    """How an archive answered last."""

    archive: str
    answered_at: datetime | None
    failures: int
    """How often in a row it did not."""
    detail: str
    changed_at: datetime


class ArchiveRecords:
    """What archives say."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_series(self, *, since: datetime, limit: int) -> list[OpenSeries]:
        """Return series without a verdict, and incomplete ones that got their last image after ``since``.

        Parameters
        ----------
        since : datetime
        limit : int
            How many at most, the newest.
        """
        open_now = (
            select(func.count())
            .select_from(association_series.join(associations))
            .where(association_series.c.series_id == series.c.id, associations.c.closed_at.is_(None))
            .scalar_subquery()
        )
        query = (
            select(series, studies.c.study_instance_uid, open_now.label("open_now"))
            .join(studies, studies.c.id == series.c.study_id)
            .where(
                or_(
                    _is(SeriesState.RECEIVING),
                    and_(_is(SeriesState.INCOMPLETE), series.c.last_arrival_at >= since),
                )
            )
            .order_by(series.c.last_arrival_at.desc(), series.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
            uids = [row["series_instance_uid"] for row in rows]
            counts, fetches = _counts(connection, uids), _fetches(connection, uids)
        return [
            OpenSeries(
                study_instance_uid=row["study_instance_uid"],
                series_instance_uid=uid,
                modality=row["modality"],
                here=row["instance_count"],
                last_arrival_at=row["last_arrival_at"],
                carried_now=row["open_now"] > 0,
                being_fetched=uid in fetches and fetches[uid]["waiting"] > 0,
                missed_at=fetches[uid]["missed_at"] if uid in fetches else None,
                counts=counts[uid],
            )
            for row, uid in zip(rows, uids, strict=True)
        ]

    def largest_counts(
        self, series_instance_uids: Collection[str], names: Collection[str]
    ) -> dict[str, ArchiveCount]:
        """Return the largest count that one of some archives gave for each series, by Series Instance UID."""
        query = (
            select(archive_counts)
            .where(
                archive_counts.c.series_instance_uid.in_(series_instance_uids),
                archive_counts.c.archive.in_(names),
            )
            .order_by(archive_counts.c.count, archive_counts.c.polls)
        )
        with self._database.read() as connection:
            found = connection.execute(query).mappings().all()
        return {row["series_instance_uid"]: _count(row) for row in found}

    def counted(self, archive: str, counts: Mapping[str, int]) -> None:
        """Record how many instances of some series an archive holds, by Series Instance UID."""
        now = self._database.clock.now()
        with self._database.write() as connection:
            connection.execute(delete(archive_counts).where(archive_counts.c.asked_at < now - KEPT))
            for uid, count in counts.items():
                made = upsert(archive_counts).values(
                    series_instance_uid=uid, archive=archive, count=count, polls=1, asked_at=now
                )
                again = func.iif(archive_counts.c.count == made.excluded.count, archive_counts.c.polls + 1, 1)
                connection.execute(
                    made.on_conflict_do_update(
                        index_elements=["series_instance_uid", "archive"],
                        set_={"polls": again, "count": made.excluded.count, "asked_at": now},
                    )
                )

    def polled(self, poll: str) -> dict[str, PolledStudy]:
        """Return what a rule saw of the studies that it has looked at, by Study Instance UID."""
        query = select(polled_studies).where(polled_studies.c.poll == poll)
        with self._database.read() as connection:
            return {
                row.study_instance_uid: PolledStudy(
                    instance_count=row.instance_count,
                    counted=row.counted,
                    seen_at=row.seen_at,
                    grown_at=row.grown_at,
                )
                for row in connection.execute(query)
            }

    def saw(self, poll: str, study: ArchivedStudy, *, counted: int | None, forget_before: datetime) -> None:
        """Record that a rule has looked at a study, and forget what it saw long ago.

        Parameters
        ----------
        poll : str
        study : ArchivedStudy
        counted : int or None
            Instances of the series that the rule asks for, where they had to be counted.
        forget_before : datetime
            What was seen earlier is out of the rule's reach by now.
        """
        now = self._database.clock.now()
        seen = {"instance_count": study.instance_count, "seen_at": now, "counted": counted}
        with self._database.write() as connection:
            connection.execute(
                delete(polled_studies).where(
                    polled_studies.c.poll == poll, polled_studies.c.seen_at < forget_before
                )
            )
            made = upsert(polled_studies).values(
                poll=poll, study_instance_uid=study.study_instance_uid, grown_at=now, **seen
            )
            same = polled_studies.c.counted == made.excluded.counted
            grown_at = case((same, polled_studies.c.grown_at), else_=made.excluded.grown_at)
            connection.execute(
                made.on_conflict_do_update(
                    index_elements=["poll", "study_instance_uid"], set_={**seen, "grown_at": grown_at}
                )
            )

    def answered(self, archive: str) -> None:
        """Record that an archive answers."""
        now = self._database.clock.now()
        self._contact(archive, {"answered_at": now, "failures": 0, "detail": "", "changed_at": now})

    def failed(self, archive: str, detail: str) -> None:
        """Record that an archive could not be asked."""
        now = self._database.clock.now()
        self._contact(
            archive,
            {
                "failures": archive_contacts.c.failures + 1,
                "detail": detail[:DETAIL_LENGTH],
                "changed_at": now,
            },
        )

    def contacts(self) -> list[Contact]:
        """Return how every archive that was ever asked answered last, by name."""
        query = select(archive_contacts).order_by(archive_contacts.c.archive)
        with self._database.read() as connection:
            return [Contact(**row) for row in connection.execute(query).mappings()]

    def _contact(self, archive: str, values: Mapping[str, object]) -> None:
        first = {**values, "failures": 1 if "answered_at" not in values else 0}
        with self._database.write() as connection:
            connection.execute(
                upsert(archive_contacts)
                .values(archive=archive, **first)
                .on_conflict_do_update(index_elements=["archive"], set_=dict(values))
            )


def _is(state: SeriesState) -> ColumnElement[bool]:
    """Return the condition on a state, which stands in the text: a partial index is found by that."""
    return series.c.state == literal(state.value, literal_execute=True)


def _counts(connection: Connection, uids: Sequence[str]) -> dict[str, dict[str, ArchiveCount]]:
    """Return what the archives said of series, by Series Instance UID and archive."""
    counts: dict[str, dict[str, ArchiveCount]] = {uid: {} for uid in uids}
    query = select(archive_counts).where(archive_counts.c.series_instance_uid.in_(uids))
    for row in connection.execute(query).mappings():
        counts[row["series_instance_uid"]][row["archive"]] = _count(row)
    return counts


def _fetches(connection: Connection, uids: Sequence[str]) -> dict[str, RowMapping]:
    """Return, of the series that were ever fetched, how many fetches wait and when one was last missed."""
    query = (
        select(
            pull_series.c.series_instance_uid,
            func.count().filter(pull_series.c.state == FetchState.WAITING).label("waiting"),
            func.max(pulls.c.asked_at).filter(pulls.c.cause == PullCause.MISSING).label("missed_at"),
        )
        .join(pulls, pulls.c.id == pull_series.c.pull_id)
        .where(pull_series.c.series_instance_uid.in_(uids))
        .group_by(pull_series.c.series_instance_uid)
    )
    return {row["series_instance_uid"]: row for row in connection.execute(query).mappings()}


def _count(row: RowMapping) -> ArchiveCount:
    return ArchiveCount(
        archive=row["archive"], count=row["count"], polls=row["polls"], asked_at=row["asked_at"]
    )
