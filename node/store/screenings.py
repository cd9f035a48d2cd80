"""Screenings: the queue, and the one transaction that ends each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, exists, func, or_, select, update

from node.domain.delivery import Outlet
from node.domain.errors import StoreError, UnknownSubject
from node.domain.job import (
    SCREENING,
    Assignment,
    Purpose,
    Screening,
    ScreeningCause,
    ScreeningEvent,
    ScreeningState,
)
from node.domain.result import Finding, ResultObject
from node.domain.study import StudyState
from node.store import rows
from node.store.acts import record_act
from node.store.database import Database
from node.store.evidence import read_finding, write_finding
from node.store.jobs import (
    cancel_active,
    hand_over,
    make_due,
    queue_screening,
    screening_row,
    step_screening,
    supersede_older,
    waiting_for_others,
)
from node.store.naming import drop_unnamed
from node.store.object_files import LocalObjectFiles
from node.store.results import ResultRecords
from node.store.retention import refuse_without_images
from node.store.schema import findings, screenings, studies
from node.store.set_back import SetBack
from node.store.versions import ResultSet, put_in_force

MAX_ATTEMPTS = 3  # a screening that took the node down this often is not tried again by itself


class ScreeningRecords(ResultRecords):
    """The jobs and their outcomes."""

    def __init__(self, database: Database, files: LocalObjectFiles) -> None:
        super().__init__(database)
        self._files = files
        self._set_back = SetBack(database.clock)

    def claim(self, worker: str, *, lease: timedelta) -> Screening | None:
        """Take the screening that has been due for longest, of a settled study; no two workers get the same.

        Shadows come when no report is due. A running one whose lease has passed is taken over. Once the
        clock was set back, all that waits for a time is due.

        Parameters
        ----------
        worker : str
            Who takes it, for the operator.
        lease : timedelta
            For how long it is left to this worker.
        """
        now = self._database.clock.now()
        if self._set_back.since_last_asked():
            with self._database.write() as connection:
                make_due(connection, at=now)
        with self._database.read() as connection:
            if connection.execute(_claimable(now)).first() is None:
                return None
        with self._database.write() as connection:
            while (row := connection.execute(_claimable(now)).mappings().first()) is not None:
                if row["attempts"] >= MAX_ATTEMPTS:
                    _give_up(connection, row, now)
                    continue
                events = [ScreeningEvent.CLAIM]
                if row["state"] == ScreeningState.RUNNING:
                    events.insert(0, ScreeningEvent.RESTART)
                step_screening(
                    connection,
                    row,
                    *events,
                    worker=worker,
                    lease_until=now + lease,
                    attempts=row["attempts"] + 1,
                    study_revision=row["revision"],
                )
                return self._read(connection, row["id"])
        return None

    def renew(self, screening: Screening, *, lease: timedelta) -> bool:
        """Leave a running screening to its worker for longer; False when it is not that worker's any more.

        Parameters
        ----------
        screening : Screening
            As it was claimed.
        lease : timedelta
            From now on.
        """
        mine = and_(
            screenings.c.id == screening.id,
            screenings.c.state == ScreeningState.RUNNING,
            screenings.c.attempts == screening.attempts,  # whoever takes it over begins another one
        )
        until = self._database.clock.now() + lease
        with self._database.write() as connection:
            return connection.execute(update(screenings).where(mine).values(lease_until=until)).rowcount == 1

    def recover(self) -> int:
        """Queue again what was running when the node stopped; returns how many screenings that concerned.

        One that was running at ``MAX_ATTEMPTS`` stops in a row fails instead. What was parked is due.
        """
        now = self._database.clock.now()
        count = 0
        query = select(screenings).where(screenings.c.state == ScreeningState.RUNNING)
        with self._database.write() as connection:
            for row in connection.execute(query).mappings().all():
                if row["attempts"] >= MAX_ATTEMPTS:
                    _give_up(connection, row, now)
                else:
                    step_screening(connection, row, ScreeningEvent.RESTART, worker="", lease_until=None)
                    count += 1
            make_due(connection, at=now)
        return count

    def hand_over(self, routed: Collection[Assignment], assign: Callable[[int], Sequence[Assignment]]) -> int:
        """Queue for the models in use what waits for others; returns how many screenings that made.

        Parameters
        ----------
        routed : collection of Assignment
            Everything that a study may be routed to now.
        assign : callable
            Takes the row of a study and returns where it is routed to.
        """
        now = self._database.clock.now()
        with self._database.read() as connection:
            found = waiting_for_others(connection, routed)
        assignments = {row["study_id"]: assign(row["study_id"]) for row in found}
        with self._database.write() as connection:
            return sum(
                hand_over(connection, row, assignments[row["study_id"]], at=now)
                for row in waiting_for_others(connection, routed)
                if row["study_id"] in assignments
            )

    def park(
        self, screening_id: int, until: datetime, reason: str, *, counts_as_attempt: bool = False
    ) -> bool:
        """Let a running screening wait; False when it was cancelled meanwhile.

        Parameters
        ----------
        screening_id : int
        until : datetime
            When it may be claimed again.
        reason : str
            For the operator.
        counts_as_attempt : bool
            False when it waits for the engine, which is no fault of the screening: its attempts count anew.
        """
        with self._database.write() as connection:
            row = screening_row(connection, screening_id)
            if row["state"] != ScreeningState.RUNNING:
                return False
            step_screening(
                connection,
                row,
                ScreeningEvent.PARK,
                due_at=until,
                detail=reason,
                attempts=row["attempts"] if counts_as_attempt else 0,
                lease_until=None,
            )
            return True

    def fail(self, screening_id: int, reason: str) -> bool:
        """End a running screening without an outcome; False when it was cancelled meanwhile."""
        now = self._database.clock.now()
        with self._database.write() as connection:
            row = screening_row(connection, screening_id)
            if row["state"] != ScreeningState.RUNNING:
                return False
            step_screening(
                connection, row, ScreeningEvent.FAIL, detail=reason, ended_at=now, lease_until=None
            )
            return True

    def finish(
        self,
        screening_id: int,
        finding: Finding,
        *,
        recipe: str,
        version: int | None,
        results: Sequence[ResultObject],
        outlets: Sequence[Outlet],
        seconds: Mapping[str, float] | None = None,
    ) -> bool:
        """Write the outcome, its evidence, the result objects and their outbox rows in one transaction.

        Parameters
        ----------
        screening_id : int
        finding : Finding
        recipe : str
            Digest of all that decides the content.
        version : int or None
            None when there is nothing to send: the same recipe again, or a study without a chest CT.
        results : Sequence[ResultObject]
            Durable in the object files; one whose SOP Instance UID exists keeps its first bytes.
        outlets : Sequence[Outlet]
            Where the results go.
        seconds : Mapping[str, float], optional
            How long each stage took.

        Returns
        -------
        bool
            False, and nothing is written, when the study was held or grew since the claim, or the screening
            was ended by somebody else.

        Raises
        ------
        ObjectMissing
            A result's file is not there.
        StoreError
            Results without a version, a version that exists, or a version of a shadow.
        """
        _refuse_loose(version, results)
        now = self._database.clock.now()
        with self._database.write() as connection:
            row = screening_row(connection, screening_id)
            _refuse_shadow(version, row)
            if not _may_finish(connection, row, now):
                return False
            for item in results:
                self._files.path(item.object_key)
            step_screening(connection, row, ScreeningEvent.FINISH, ended_at=now, detail="", lease_until=None)
            write_finding(connection, screening_id, finding, recipe=recipe, seconds=seconds or {})
            supersede_older(connection, row, (ScreeningState.FAILED,))
            if version is not None:
                made = ResultSet(version=version, recipe=recipe, objects=results, outlets=outlets)
                supersede_older(connection, row, (ScreeningState.DONE,))
                put_in_force(connection, row, made, at=now)
        drop_unnamed(self._database, self._files, {item.object_key for item in results})
        return True

    def requeue(self, study_id: int, assignment: Assignment, by: str, reason: str) -> int:
        """Queue a study again by an operator's order; returns the screening's row.

        It runs when the study is settled; what is on its way of the same model and purpose is cancelled.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            if connection.execute(select(studies.c.id).where(studies.c.id == study_id)).first() is None:
                raise UnknownSubject(f"there is no study {study_id}; see `studies list`")
            refuse_without_images(connection, study_id)
            record_act(
                connection, at=now, by=by, action="reprocess", subject=f"study {study_id}", reason=reason
            )
            cancel_active(connection, study_id, assignment, at=now, detail="queued again by hand")
            return queue_screening(
                connection, study_id, assignment, ScreeningCause.REPROCESS, at=now, reason=reason
            )

    def finding(self, screening_id: int) -> Finding:
        """Return the finding of a screening.

        Raises
        ------
        UnknownSubject
            It has none (yet).
        """
        with self._database.read() as connection:
            found = read_finding(connection, screening_id)
        if found is None:
            raise UnknownSubject(f"screening {screening_id} has no finding")
        return found

    def stage_seconds(self, screening_id: int) -> dict[str, float]:
        """Return how long each stage of a finished screening took; empty when it did not finish."""
        query = select(findings.c.seconds).where(findings.c.screening_id == screening_id)
        with self._database.read() as connection:
            return dict(connection.execute(query).scalar() or {})

    def detail(self, screening_id: int) -> str:
        """Return why a screening failed, is parked or was cancelled; empty otherwise."""
        with self._database.read() as connection:
            return str(screening_row(connection, screening_id)["detail"])

    def latest(self, study_id: int) -> tuple[Screening, Finding | None] | None:
        """Return the newest screening of a study with its finding, if it has one; never a shadow."""
        found = self._history(study_id, 1, screenings.c.purpose == Purpose.REPORT)
        return found[0] if found else None

    def history(self, study_id: int, limit: int = 100) -> list[tuple[Screening, Finding | None]]:
        """Return the screenings of a study with their findings, newest first, shadows too."""
        return self._history(study_id, limit)

    def counts(self, purpose: Purpose = Purpose.REPORT) -> dict[ScreeningState, int]:
        """Return how many screenings of a purpose stand in each state."""
        query = select(screenings.c.state, func.count()).where(screenings.c.purpose == purpose)
        query = query.group_by(screenings.c.state)
        with self._database.read() as connection:
            return {ScreeningState(state): count for state, count in connection.execute(query)}

    def _history(
        self, study_id: int, limit: int, *conditions: ColumnElement[bool]
    ) -> list[tuple[Screening, Finding | None]]:
        query = rows.select_screenings().where(screenings.c.study_id == study_id, *conditions)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(screenings.c.id.desc()).limit(limit)).mappings().all()
            return [(rows.screening(row), read_finding(connection, row["id"])) for row in found]

    def _read(self, connection: Connection, screening_id: int) -> Screening:
        query = rows.select_screenings().where(screenings.c.id == screening_id)
        return rows.screening(connection.execute(query).mappings().one())


def _claimable(now: datetime) -> Select[Any]:
    """Return the query of the next screening that may be claimed, with its study's revision."""
    waiting = screenings.c.state.in_([ScreeningState.QUEUED, ScreeningState.PARKED])
    # What was queued later than now, and never tried, waits for a time that the clock was set back from.
    untried = and_(
        screenings.c.state == ScreeningState.QUEUED,
        screenings.c.attempts == 0,
        screenings.c.queued_at > now,
    )
    due = or_(and_(waiting, screenings.c.due_at <= now), untried)
    abandoned = and_(screenings.c.state == ScreeningState.RUNNING, screenings.c.lease_until <= now)
    # Subqueries, not a join: nearly every study is settled, few screenings are on their way.
    settled = exists().where(studies.c.id == screenings.c.study_id, studies.c.state == StudyState.SETTLED)
    revision = select(studies.c.revision).where(studies.c.id == screenings.c.study_id).scalar_subquery()
    return (
        select(screenings, revision.label("revision"))
        .where(
            screenings.c.state.in_(SCREENING.sources(ScreeningEvent.CANCEL)),
            or_(due, abandoned),
            settled,
        )
        # By the time since when it is due: what waits for a broken model again and again must not take every
        # turn from what waits for a sound one. "report" < "shadow".
        .order_by(screenings.c.purpose, screenings.c.due_at, screenings.c.queued_at, screenings.c.id)
        .limit(1)
    )


def _give_up(connection: Connection, row: RowMapping, now: datetime) -> None:
    detail = f"the node stopped, or the lease passed, {row['attempts']} times during this screening"
    events = [ScreeningEvent.FAIL]
    if row["state"] != ScreeningState.RUNNING:
        events.insert(0, ScreeningEvent.CLAIM)
    step_screening(connection, row, *events, detail=detail, ended_at=now, lease_until=None)


def _may_finish(connection: Connection, row: RowMapping, now: datetime) -> bool:
    """Whether an outcome still counts; one of a study that was held or grew is void and gets cancelled."""
    if row["state"] != ScreeningState.RUNNING:
        return False
    query = select(studies.c.id).where(
        studies.c.id == row["study_id"],
        studies.c.state == StudyState.SETTLED,
        studies.c.revision == row["study_revision"],
    )
    if connection.execute(query).first() is not None:
        return True
    detail = "the study was held or grew while it was screened"
    step_screening(connection, row, ScreeningEvent.CANCEL, ended_at=now, detail=detail)
    return False


def _refuse_loose(version: int | None, results: Sequence[ResultObject]) -> None:
    if version is None and results:
        raise StoreError("result objects without a version cannot be put in force")


def _refuse_shadow(version: int | None, row: RowMapping) -> None:
    if version is not None and row["purpose"] != Purpose.REPORT:
        raise StoreError("a shadow puts nothing in force")
