"""What peers have announced of instances, and what follows from it for the series that are here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import ColumnElement, Connection, case, delete, exists, func, insert, select, update

from node.domain.announcement import STEP, AnnouncedInstance, Status, StepEvent
from node.domain.errors import AnnouncementKnown, StepEnded, StepOfAnother, UnknownSubject
from node.domain.expectation import Expectation, Source
from node.domain.study import SERIES, Series, SeriesEvent, SeriesState, StudyEvent
from node.store.database import Database
from node.store.holds import step_study
from node.store.inserting import insert_row
from node.store.schema import asides, instances, own_objects, series
from node.store.schema_announced import announced_instances, announcements, asked_instances

Expectations: TypeAlias = list[Expectation]


class AnnouncementRecords:
    """Performed procedure steps and notifications of availability. Times are those of the node's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        source: Source,
        sop_instance_uid: str,
        status: Status,
        listed: Iterable[AnnouncedInstance],
        *,
        calling_ae_title: str,
    ) -> None:
        """Record an announcement that is made (N-CREATE).

        Raises
        ------
        AnnouncementKnown
            There is one of this SOP Instance UID.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            known = select(announcements.c.id).where(announcements.c.sop_instance_uid == sop_instance_uid)
            if connection.execute(known).first() is not None:
                raise AnnouncementKnown("there is an instance of this SOP Instance UID; nothing is changed")
            number = insert_row(
                connection,
                announcements,
                source=source,
                sop_instance_uid=sop_instance_uid,
                status=status,
                calling_ae_title=calling_ae_title,
                created_at=now,
                changed_at=now,
            )
            _list(connection, number, listed)

    def set_step(
        self,
        sop_instance_uid: str,
        event: StepEvent,
        listed: Iterable[AnnouncedInstance] | None,
        *,
        calling_ae_title: str,
    ) -> None:
        """Record a change of a performed procedure step (N-SET).

        Parameters
        ----------
        sop_instance_uid : str
        event : StepEvent
        listed : iterable of AnnouncedInstance or None
            Takes the place of what was listed; None leaves that.
        calling_ae_title : str
            Who changes it.

        Raises
        ------
        UnknownSubject
            There is no such step.
        StepOfAnother
            Another peer has created it.
        StepEnded
            It is completed or discontinued.
        """
        query = select(announcements.c.id, announcements.c.status, announcements.c.calling_ae_title).where(
            announcements.c.sop_instance_uid == sop_instance_uid,
            announcements.c.source == Source.PROCEDURE_STEP,
        )
        with self._database.write() as connection:
            row = connection.execute(query).first()
            if row is None:
                raise UnknownSubject("there is no performed procedure step of this SOP Instance UID")
            if row.calling_ae_title != calling_ae_title:
                raise StepOfAnother("only the peer that created a performed procedure step may change it")
            status = Status(row.status)
            if not STEP.allows(status, event):
                raise StepEnded(f"the performed procedure step is {status}; it may no longer be updated")
            connection.execute(
                update(announcements)
                .where(announcements.c.id == row.id)
                .values(status=STEP.step(status, event), changed_at=self._database.clock.now())
            )
            if listed is not None:
                former = announced_instances.c.announcement_id == row.id
                connection.execute(delete(announced_instances).where(former))
                _list(connection, row.id, listed)
            if event is StepEvent.COMPLETE:
                _reopen(connection, row.id)

    def expectations(self, of: Sequence[Series]) -> dict[int, Expectations]:
        """Return what peers say of how many instances series have, by row of the series."""
        with self._database.read() as connection:
            said = _announced(connection, [item.series_instance_uid for item in of])
            asked = _asked(connection, [item.id for item in of])
        found: dict[int, Expectations] = {}
        for item in of:
            steps = said.get((item.series_instance_uid, Source.PROCEDURE_STEP))
            notified = said.get((item.series_instance_uid, Source.AVAILABILITY))
            found[item.id] = [
                *([_by_steps(steps, item)] if steps is not None else []),
                *([_notified(notified)] if notified is not None else []),
                *([asked[item.id]] if item.id in asked else []),
            ]
        return found

    def missing(self, series_id: int) -> list[str]:
        """Return the SOP Instance UIDs of a series that peers have listed and that are not here."""
        listed = announced_instances.c.sop_instance_uid
        query = (
            select(listed)
            .distinct()
            .join(series, series.c.series_instance_uid == announced_instances.c.series_instance_uid)
            .where(series.c.id == series_id, ~_is_here(listed))
            .order_by(listed)
        )
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())


def _list(connection: Connection, announcement_id: int, listed: Iterable[AnnouncedInstance]) -> None:
    by_uid = {item.sop_instance_uid: item.series_instance_uid for item in listed}
    if by_uid:
        connection.execute(
            insert(announced_instances),
            [
                {"announcement_id": announcement_id, "sop_instance_uid": uid, "series_instance_uid": of}
                for uid, of in by_uid.items()
            ],
        )


def _reopen(connection: Connection, announcement_id: int) -> None:
    """Let series be judged again that were given up and are whole by a step that has ended only now."""
    of_step = select(announced_instances.c.series_instance_uid).where(
        announced_instances.c.announcement_id == announcement_id
    )
    given_up = select(series.c.id, series.c.study_id, series.c.state, series.c.series_instance_uid).where(
        series.c.series_instance_uid.in_(of_step),
        series.c.state.in_(SERIES.sources(SeriesEvent.STEP_ENDED)),
    )
    for row in connection.execute(given_up).all():
        said = _announced(connection, [row.series_instance_uid])
        if said[row.series_instance_uid, Source.PROCEDURE_STEP].missing:
            continue
        state = SERIES.step(SeriesState(row.state), SeriesEvent.STEP_ENDED)
        connection.execute(
            update(series).where(series.c.id == row.id).values(state=state, verdict=None, verdict_reason="")
        )
        step_study(connection, row.study_id, StudyEvent.ARRIVAL)


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What the announcements of one kind say of one series."""

    states: frozenset[str]
    listed: int
    missing: int
    here: int
    """How many of the listed instances lie in the series."""


def _announced(connection: Connection, series_instance_uids: Sequence[str]) -> dict[tuple[str, str], _Said]:
    """Return what is announced of series that are here, by Series Instance UID and kind of announcement."""
    uid, kind = announced_instances.c.series_instance_uid, announcements.c.source
    joined = announcements.c.id == announced_instances.c.announcement_id
    chosen = uid.in_(series_instance_uids)
    states = select(uid, kind, announcements.c.status).distinct().join(announcements, joined).where(chosen)
    those = (
        select(uid, kind, announced_instances.c.sop_instance_uid, series.c.id.label("series_id"))
        .distinct()
        .join(announcements, joined)
        .join(series, series.c.series_instance_uid == uid)
        .where(chosen)
        .subquery("those")
    )
    listed = those.c.sop_instance_uid
    in_series = exists().where(
        instances.c.sop_instance_uid == listed, instances.c.series_id == those.c.series_id
    )
    counts = select(
        those.c.series_instance_uid,
        those.c.source,
        func.count(),
        func.count(case((~_is_here(listed), 1))),
        func.count(case((in_series, 1))),
    ).group_by(those.c.series_instance_uid, those.c.source)
    known: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for of, source, status in connection.execute(states):
        known[of, source].add(status)
    return {
        (of, source): _Said(states=frozenset(known[of, source]), listed=count, missing=missing, here=here)
        for of, source, count, missing, here in connection.execute(counts)
    }


def _by_steps(said: _Said, of: Series) -> Expectation:
    """Return what procedure steps say of a series; it has its end when every step that lists it has.

    A list that names less than is here, or what lies in another series, is a mistake or a forger's: nothing
    waits for more by it, but it is no count of the whole series.
    """
    broken_off = Status.DISCONTINUED in said.states and Status.COMPLETED not in said.states
    whole = said.here == of.instance_count == said.listed - said.missing
    return Expectation(
        source=Source.DISCONTINUED if broken_off else Source.PROCEDURE_STEP,
        listed=said.listed,
        missing=said.missing,
        final=Status.IN_PROGRESS not in said.states and whole,
    )


def _notified(said: _Said) -> Expectation:
    return Expectation(source=Source.AVAILABILITY, listed=said.listed, missing=said.missing, final=False)


def _asked(connection: Connection, series_ids: Sequence[int]) -> dict[int, Expectation]:
    """Return what the requests for commitment list that name an instance of a series, by its row."""
    naming = (
        select(instances.c.series_id, asked_instances.c.request_id)
        .distinct()
        .join(asked_instances, asked_instances.c.sop_instance_uid == instances.c.sop_instance_uid)
        .where(instances.c.series_id.in_(series_ids))
        .subquery("naming")
    )
    those = (
        select(naming.c.series_id, asked_instances.c.sop_instance_uid)
        .distinct()
        .join(asked_instances, asked_instances.c.request_id == naming.c.request_id)
        .subquery("those")
    )
    query = select(
        those.c.series_id, func.count(), func.count(case((~_is_here(those.c.sop_instance_uid), 1)))
    ).group_by(those.c.series_id)
    return {
        number: Expectation(source=Source.COMMITMENT, listed=listed, missing=missing, final=False)
        for number, listed, missing in connection.execute(query)
    }


def _is_here(uid: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether an object of a SOP Instance UID has arrived, wherever it lies now."""
    return (
        exists().where(instances.c.sop_instance_uid == uid)
        | exists().where(asides.c.sop_instance_uid == uid)
        | exists().where(own_objects.c.sop_instance_uid == uid)
    )
