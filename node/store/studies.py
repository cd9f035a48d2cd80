"""Series and studies: what completeness is judged by, and the steps of their states."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, exists, func, select, update

from node.decide.routing import KINDS
from node.domain.errors import UnknownSubject
from node.domain.job import Assignment
from node.domain.study import (
    SERIES,
    AsideReason,
    AssociationEnd,
    Instance,
    Series,
    SeriesEvent,
    SeriesState,
    Study,
    StudyEvent,
    StudyState,
    Verdict,
)
from node.store import rows
from node.store.acts import record_act
from node.store.database import Database
from node.store.holds import hold_study, release_study, step_study
from node.store.jobs import queue_settled
from node.store.schema import (
    asides,
    association_series,
    associations,
    instances,
    series,
    studies,
)

Studies: TypeAlias = list[Study]
SeriesList: TypeAlias = list[Series]
Instances: TypeAlias = list[Instance]


class StudyRecords:
    """Studies, their series and instances."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def receiving_series(self, of: Collection[int] | None = None) -> SeriesList:
        """Return series without a verdict, oldest first: every one, or those of some rows."""
        query = select(series).where(series.c.state == SeriesState.RECEIVING).order_by(series.c.id)
        if of is not None:
            query = query.where(series.c.id.in_(of))
        with self._database.read() as connection:
            return [rows.series_record(row) for row in connection.execute(query).mappings()]

    def instances(self, series_id: int) -> Instances:
        """Return the instances of a series in the order of arrival."""
        query = select(instances).where(instances.c.series_id == series_id).order_by(instances.c.id)
        with self._database.read() as connection:
            return [rows.instance(row) for row in connection.execute(query).mappings()]

    def first_instance(self, series_id: int) -> Instance | None:
        """Return the instance of a series that arrived first."""
        query = select(instances).where(instances.c.series_id == series_id).order_by(instances.c.id).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else rows.instance(row)

    def conclude_series(
        self,
        series_id: int,
        event: SeriesEvent,
        verdict: Verdict,
        reason: str,
        *,
        instance_count: int,
        whole_lungs: bool = False,
    ) -> bool:
        """Write the verdict on a series.

        Parameters
        ----------
        series_id : int
        event : SeriesEvent
        verdict : Verdict
        reason : str
            One sentence with the evidence.
        instance_count : int
            How many instances the verdict rests on.
        whole_lungs : bool
            Whether the slices were seen to hold the whole lungs.

        Returns
        -------
        bool
            False, and nothing is written, when the series grew or was concluded meanwhile.

        Raises
        ------
        UnknownSubject
        """
        with self._database.write() as connection:
            query = select(series.c.state, series.c.instance_count).where(series.c.id == series_id)
            row = connection.execute(query).first()
            if row is None:
                raise UnknownSubject(f"there is no series {series_id}")
            state = SeriesState(row.state)
            if row.instance_count != instance_count or not SERIES.allows(state, event):
                return False
            connection.execute(
                update(series)
                .where(series.c.id == series_id)
                .values(
                    state=SERIES.step(state, event),
                    verdict=verdict,
                    verdict_reason=reason,
                    whole_lungs=whole_lungs,
                )
            )
            return True

    def unsettled(self, *, after: int = 0, limit: int = 1000) -> Studies:
        """Return receiving studies that wait for nothing but quiet, with their series, oldest first.

        None of their series that models read is open, or none at all where models read none; and nothing of
        them waits for a comparison.

        Parameters
        ----------
        after : int
            Row of the study behind which to go on.
        limit : int
            How many at most.
        """
        query = (
            rows.select_studies()
            .where(
                studies.c.state == StudyState.RECEIVING,
                studies.c.id > after,
                exists().where(series.c.study_id == studies.c.id),
                ~_is_growing(studies.c.id),
                ~_waits_for_comparison(studies.c.id),
            )
            .order_by(studies.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return _load(connection, query)

    def settle(self, study_id: int, assignments: Sequence[Assignment], *, last_arrival_at: datetime) -> bool:
        """Settle a study and queue its screenings; waiting or running ones are void and cancelled.

        Parameters
        ----------
        study_id : int
        assignments : sequence of Assignment
            One screening is queued for each.
        last_arrival_at : datetime
            Of the study as it was judged.

        Returns
        -------
        bool
            False, and nothing is written, when something arrived, the study was held, or a series that models
            read was opened again meanwhile; and while something of it waits for a comparison.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            query = select(studies.c.state, studies.c.last_arrival_at).where(studies.c.id == study_id)
            row = connection.execute(query).first()
            if row is None:
                raise UnknownSubject(f"there is no study {study_id}; see `studies list`")
            if row.state != StudyState.RECEIVING or row.last_arrival_at != last_arrival_at:
                return False
            if connection.execute(
                select(_is_growing(study_id) | _waits_for_comparison(study_id))
            ).scalar_one():
                return False
            step_study(connection, study_id, StudyEvent.SETTLE)
            queue_settled(connection, study_id, assignments, at=now)
            return True

    def defer_after_restart(self, quiet: timedelta) -> None:
        """Let no series be judged before ``quiet`` has passed, for nobody knows what was missed.

        Associations that were open when the node stopped are closed as ``AssociationEnd.RESTART``. A time in
        the future is one that the clock was set back from; nothing waits for it.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            connection.execute(
                update(associations)
                .where(associations.c.closed_at.is_(None))
                .values(closed_at=now, end=AssociationEnd.RESTART)
            )
            _bring_back(connection, now)
            receiving, later = series.c.state == SeriesState.RECEIVING, now + quiet
            connection.execute(
                update(series)
                .where(receiving, series.c.not_before.is_(None) | (series.c.not_before < later))
                .values(not_before=later)
            )

    def bring_back(self, quiet: timedelta) -> None:
        """Let nothing that is open wait for a time that the clock was set back from: its silence begins now.

        Parameters
        ----------
        quiet : timedelta
            As `defer_after_restart` takes it.
        """
        with self._database.write() as connection:
            now = self._database.clock.now()
            _bring_back(connection, now)
            too_late = (series.c.state == SeriesState.RECEIVING) & (series.c.not_before > now + quiet)
            connection.execute(update(series).where(too_late).values(not_before=now + quiet))

    def get(self, study_instance_uid: str) -> Study:
        """Return the study with this StudyInstanceUID.

        Raises
        ------
        UnknownSubject
        """
        return self._one(studies.c.study_instance_uid == study_instance_uid)

    def by_id(self, study_id: int) -> Study:
        """Return the study of this row.

        Raises
        ------
        UnknownSubject
        """
        return self._one(studies.c.id == study_id)

    def hold(self, study_id: int, by: str, reason: str) -> None:
        """Hold a study: nothing of it is screened or sent."""
        now = self._database.clock.now()
        with self._database.write() as connection:
            hold_study(connection, study_id, f"held by {by}: {reason}")
            _act(connection, study_id, at=now, by=by, action="hold", reason=reason)

    def release(self, study_id: int, by: str, reason: str) -> None:
        """Let a held study go on as it is.

        Raises
        ------
        IllegalTransition
            The study is not held.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            release_study(connection, study_id)
            _act(connection, study_id, at=now, by=by, action="release", reason=reason)

    def complete(self, study_id: int, by: str, reason: str) -> None:
        """Take every open or incomplete series as complete; the study settles at the next sweep."""
        now = self._database.clock.now()
        with self._database.write() as connection:
            _act(connection, study_id, at=now, by=by, action="complete", reason=reason)
            changed = connection.execute(
                update(series)
                .where(series.c.study_id == study_id, series.c.state.in_(SERIES.sources(SeriesEvent.BY_HAND)))
                .values(
                    state=SeriesState.COMPLETE,
                    verdict=Verdict.BY_HAND,
                    verdict_reason=f"{by}: {reason}",
                    whole_lungs=False,
                    not_before=None,
                )
            ).rowcount
            state = connection.execute(select(studies.c.state).where(studies.c.id == study_id)).scalar()
            if state is None:
                raise UnknownSubject(f"there is no study {study_id}; see `studies list`")
            if changed and state == StudyState.SETTLED:
                # An incomplete series counts now: the study is judged again, by the table's own steps.
                hold_study(connection, study_id, "completed by hand")
                release_study(connection, study_id)

    def pending_comparisons(self, study_id: int) -> int:
        """Return how many objects of the study wait for a comparison."""
        query = select(func.count()).where(
            asides.c.study_id == study_id, asides.c.reason == AsideReason.TO_COMPARE
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def list(self, limit: int = 100, offset: int = 0) -> Studies:
        """Return studies with their series, newest arrival first."""
        query = (
            rows.select_studies()
            .order_by(studies.c.last_arrival_at.desc(), studies.c.id.desc())
            .limit(limit)
            .offset(offset)
        )
        with self._database.read() as connection:
            return _load(connection, query)

    def _one(self, condition: Any) -> Study:
        with self._database.read() as connection:
            found = _load(connection, rows.select_studies().where(condition))
        if not found:
            raise UnknownSubject("there is no such study; see `studies list`")
        return found[0]


def _bring_back(connection: Connection, now: datetime) -> None:
    """Move what is written of open series and studies after ``now`` to it."""
    receiving = series.c.state == SeriesState.RECEIVING
    carriers = select(association_series.c.association_id).where(
        association_series.c.series_id.in_(select(series.c.id).where(receiving))
    )
    connection.execute(
        update(associations)
        .where(associations.c.id.in_(carriers), associations.c.closed_at > now)
        .values(opened_at=now, closed_at=now)
    )
    open_studies = select(studies.c.id).where(studies.c.state == StudyState.RECEIVING)
    connection.execute(
        update(series)
        .where(receiving | series.c.study_id.in_(open_studies), series.c.last_arrival_at > now)
        .values(last_arrival_at=now, not_before=None)
    )
    connection.execute(
        update(studies)
        .where(studies.c.state == StudyState.RECEIVING, studies.c.last_arrival_at > now)
        .values(last_arrival_at=now)
    )


def _load(connection: Connection, query: Select[Any]) -> Studies:
    found = connection.execute(query).mappings().all()
    members: defaultdict[int, SeriesList] = defaultdict(list)
    chosen = select(series).where(series.c.study_id.in_([row["id"] for row in found])).order_by(series.c.id)
    for row in connection.execute(chosen).mappings():
        members[row["study_id"]].append(rows.series_record(row))
    return [rows.study_record(row, members[row["id"]]) for row in found]


def _act(connection: Connection, study_id: int, *, at: datetime, by: str, action: str, reason: str) -> None:
    record_act(connection, at=at, by=by, action=action, subject=f"study {study_id}", reason=reason)


def _is_growing(study_id: ColumnElement[int] | int) -> ColumnElement[bool]:
    """Whether a series of a study is open that counts: that models read, or any where they read none."""
    member = series.alias("member")
    read = exists().where(member.c.study_id == series.c.study_id, member.c.modality.in_(KINDS))
    return exists().where(
        series.c.study_id == study_id,
        series.c.state == SeriesState.RECEIVING,
        series.c.modality.in_(KINDS) | ~read,
    )


def _waits_for_comparison(study_id: ColumnElement[int] | int) -> ColumnElement[bool]:
    return exists().where(asides.c.study_id == study_id, asides.c.reason == AsideReason.TO_COMPARE)
