"""What is fetched from other archives: requests, the series they found, and what is still missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from typing import Any, TypeAlias

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from node.domain.archives import (
    PULL,
    ArchivedSeries,
    FetchProgress,
    FetchState,
    Pull,
    PullEvent,
    PullProgress,
    PullRequest,
    PullState,
    SeriesFetch,
)
from node.store.database import Database
from node.store.inserting import insert_row
from node.store.pull_rows import fetch_of, progress_of, pull_of, pull_row
from node.store.schema import asides, instances, own_objects, series
from node.store.schema_pulls import pull_series, pulls

ASKED_AT_ONCE = 500
"""UIDs of one statement; SQLite binds at most 32766 values."""

Pulls: TypeAlias = list[PullProgress]
Fetches: TypeAlias = list[FetchProgress]


class PullRecords:
    """Requests to fetch studies, and how far they are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, request: PullRequest) -> int:
        """Record that studies shall be looked for and fetched; return the number of the pull."""
        with self._database.write() as connection:
            return self._insert(connection, request, PullState.SEARCHING)

    def ask_for(self, request: PullRequest, found: Sequence[ArchivedSeries]) -> int | None:
        """Record that some series shall be fetched that an archive was seen to hold.

        Returns
        -------
        int or None
            Number of the pull; None, and nothing is written, when all of them wait to be fetched already.
        """
        with self._database.write() as connection:
            waiting = select(pull_series.c.series_instance_uid).where(
                pull_series.c.state == FetchState.WAITING, pull_series.c.archive == request.archive
            )
            known = set(connection.execute(waiting).scalars())
            wanted = [item for item in found if item.series_instance_uid not in known]
            if not wanted:
                return None
            pull_id = self._insert(connection, request, PullState.FETCHING)
            self._add(connection, pull_id, request.archive, wanted)
            return pull_id

    def due_search(self, archive: str) -> Pull | None:
        """Return the oldest pull for which an archive is to be searched now."""
        query = (
            select(pulls)
            .where(
                pulls.c.state == PullState.SEARCHING,
                pulls.c.archive == archive,
                pulls.c.due_at <= self._database.clock.now(),
            )
            .order_by(pulls.c.id)
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else pull_of(row)

    def found(self, pull_id: int, found: Sequence[ArchivedSeries]) -> None:
        """Record which series are to be fetched; a pull that was cancelled meanwhile stays so."""
        with self._database.write() as connection:
            row = pull_row(connection, pull_id)
            if not PULL.allows(PullState(row["state"]), PullEvent.FOUND):
                return
            _step(
                connection, row, PullEvent.FOUND, detail="" if found else "the archive shows no such series"
            )
            self._add(connection, pull_id, row["archive"], found)
            self._finish(connection, pull_id)

    def search_failed(self, pull_id: int, detail: str, due_at: datetime | None) -> None:
        """Record that an archive could not be searched.

        Parameters
        ----------
        pull_id : int
        detail : str
            What happened, without patient data.
        due_at : datetime or None
            When it is tried again; None: never.
        """
        with self._database.write() as connection:
            row = pull_row(connection, pull_id)
            state = PullState(row["state"])
            if not PULL.allows(state, PullEvent.FAIL):
                return
            values: dict[str, Any] = {"attempts": row["attempts"] + 1, "detail": detail}
            if due_at is None:
                values |= {
                    "state": PULL.step(state, PullEvent.FAIL),
                    "ended_at": self._database.clock.now(),
                }
            else:
                values |= {"due_at": due_at}
            connection.execute(update(pulls).where(pulls.c.id == pull_id).values(values))

    def due_fetch(self, archive: str) -> SeriesFetch | None:
        """Return the series that is to be fetched now: first what was tried least, then the oldest."""
        query = (
            select(pull_series)
            .where(
                pull_series.c.state == FetchState.WAITING,
                pull_series.c.archive == archive,
                pull_series.c.due_at <= self._database.clock.now(),
            )
            .order_by(pull_series.c.attempts, pull_series.c.id)
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else fetch_of(row)

    def expect(self, fetch_id: int, count: int) -> None:
        """Record how many instances of a series the archive shows."""
        with self._database.write() as connection:
            connection.execute(update(pull_series).where(pull_series.c.id == fetch_id).values(expected=count))

    def fetched(self, fetch_id: int) -> None:
        """Record that everything of a series is here."""
        self._end(fetch_id, FetchState.DONE, "")

    def fell_short(self, fetch_id: int, detail: str) -> None:
        """Record that not everything of a series came, and that it is asked for no more."""
        self._end(fetch_id, FetchState.SHORT, detail)

    def postpone(self, fetch_id: int, detail: str, due_at: datetime) -> None:
        """Record that not everything of a series came, and when it is asked for again."""
        with self._database.write() as connection:
            connection.execute(
                update(pull_series)
                .where(pull_series.c.id == fetch_id, pull_series.c.state == FetchState.WAITING)
                .values(attempts=pull_series.c.attempts + 1, detail=detail, due_at=due_at)
            )

    def cancel(self, pull_id: int) -> None:
        """Fetch nothing more of a pull; what came stays.

        Raises
        ------
        UnknownSubject
        IllegalTransition
            It has ended.
        """
        with self._database.write() as connection:
            row = pull_row(connection, pull_id)
            _step(connection, row, PullEvent.CANCEL, ended_at=self._database.clock.now())
            connection.execute(
                update(pull_series)
                .where(pull_series.c.pull_id == pull_id, pull_series.c.state == FetchState.WAITING)
                .values(state=FetchState.CANCELLED)
            )

    def resume(self, pull_id: int) -> None:
        """Let a pull go on that ended before everything was here; what is here is not fetched again.

        Raises
        ------
        UnknownSubject
        IllegalTransition
            It has not ended, or everything came.
        """
        now = self._database.clock.now()
        of_pull = pull_series.c.pull_id == pull_id
        left = of_pull & pull_series.c.state.in_((FetchState.SHORT, FetchState.CANCELLED))
        with self._database.write() as connection:
            row = pull_row(connection, pull_id)
            was_found = connection.execute(select(pull_series.c.id).where(of_pull).limit(1)).first()
            event = PullEvent.SEARCH_AGAIN if was_found is None else PullEvent.FETCH_AGAIN
            _step(connection, row, event, ended_at=None, due_at=now, attempts=0, detail="")
            again = {"state": FetchState.WAITING, "attempts": 0, "due_at": now, "detail": ""}
            connection.execute(update(pull_series).where(left).values(again))
            if was_found is not None:
                self._finish(connection, pull_id)

    def absent(self, sop_instance_uids: Sequence[str]) -> list[str]:
        """Return which objects are not here, in their order; what lies aside is here."""
        here: set[str] = set()
        with self._database.read() as connection:
            for some in _chunks(sop_instance_uids):
                for table in (instances, asides, own_objects):
                    query = select(table.c.sop_instance_uid).where(table.c.sop_instance_uid.in_(some))
                    here.update(connection.execute(query).scalars())
        return [uid for uid in sop_instance_uids if uid not in here]

    def goes_on(self, pull_id: int) -> bool:
        """Whether a pull has not ended, nor was cancelled."""
        query = select(pulls.c.id).where(pulls.c.id == pull_id, pulls.c.ended_at.is_(None))
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def progress(self, pull_id: int) -> PullProgress:
        """Return how far a pull is.

        Raises
        ------
        UnknownSubject
        """
        with self._database.read() as connection:
            return progress_of(connection, pull_row(connection, pull_id))

    def fetches(self, pull_id: int) -> Fetches:
        """Return how far each series of a pull is, in the order in which they were found.

        Raises
        ------
        UnknownSubject
        """
        query = (
            select(pull_series, func.coalesce(series.c.instance_count, 0).label("here"))
            .outerjoin(series, series.c.series_instance_uid == pull_series.c.series_instance_uid)
            .where(pull_series.c.pull_id == pull_id)
            .order_by(pull_series.c.id)
        )
        with self._database.read() as connection:
            pull_row(connection, pull_id)
            rows = connection.execute(query).mappings().all()
        return [FetchProgress(fetch=fetch_of(row), here=row["here"]) for row in rows]

    def list(self, limit: int = 50) -> Pulls:
        """Return the newest pulls, newest first."""
        query = select(pulls).order_by(pulls.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            return [progress_of(connection, row) for row in connection.execute(query).mappings().all()]

    def recover(self) -> None:
        """Let nothing wait for a later time: the clock may have been set back from it."""
        now = self._database.clock.now()
        with self._database.write() as connection:
            connection.execute(
                update(pulls)
                .where(pulls.c.state == PullState.SEARCHING, pulls.c.due_at > now)
                .values(due_at=now)
            )
            connection.execute(
                update(pull_series)
                .where(pull_series.c.state == FetchState.WAITING, pull_series.c.due_at > now)
                .values(due_at=now)
            )

    def _insert(self, connection: Connection, request: PullRequest, state: PullState) -> int:
        now = self._database.clock.now()
        return insert_row(
            connection,
            pulls,
            archive=request.archive,
            cause=request.cause,
            poll=request.poll,
            sought=asdict(request.sought),
            state=state,
            asked_at=now,
            due_at=now,
        )

    def _add(
        self, connection: Connection, pull_id: int, archive: str, found: Sequence[ArchivedSeries]
    ) -> None:
        now = self._database.clock.now()
        unique = {item.series_instance_uid: item for item in found}
        if unique:
            connection.execute(
                insert(pull_series),
                [
                    {
                        "pull_id": pull_id,
                        "archive": archive,
                        "study_instance_uid": item.study_instance_uid,
                        "series_instance_uid": uid,
                        "modality": item.modality,
                        "state": FetchState.WAITING,
                        "expected": item.instance_count,
                        "due_at": now,
                    }
                    for uid, item in unique.items()
                ],
            )

    def _end(self, fetch_id: int, state: FetchState, detail: str) -> None:
        with self._database.write() as connection:
            changed = connection.execute(
                update(pull_series)
                .where(pull_series.c.id == fetch_id, pull_series.c.state == FetchState.WAITING)
                .values(state=state, detail=detail)
                .returning(pull_series.c.pull_id)
            ).scalar()
            if changed is not None:
                self._finish(connection, changed)

    def _finish(self, connection: Connection, pull_id: int) -> None:
        """End a pull of which no series waits any more."""
        states = set(
            connection.execute(select(pull_series.c.state).where(pull_series.c.pull_id == pull_id)).scalars()
        )
        if FetchState.WAITING in states:
            return
        event = PullEvent.FALL_SHORT if FetchState.SHORT in states else PullEvent.FINISH
        _step(connection, pull_row(connection, pull_id), event, ended_at=self._database.clock.now())


def _step(connection: Connection, row: RowMapping, event: PullEvent, **values: Any) -> None:
    state = PULL.step(PullState(row["state"]), event)
    connection.execute(update(pulls).where(pulls.c.id == row["id"]).values(state=state, **values))


def _chunks(values: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(values)
    while some := list(islice(rest, ASKED_AT_ONCE)):
        yield some
