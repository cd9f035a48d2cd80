"""Steps of a screening's state, written inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, select, update

from node.domain.errors import UnknownSubject
from node.domain.job import (
    ACTIVE_VERSION,
    SCREENING,
    Assignment,
    Purpose,
    ScreeningCause,
    ScreeningEvent,
    ScreeningState,
)
from node.store.inserting import insert_row
from node.store.schema import screenings

ACTIVE = SCREENING.sources(ScreeningEvent.CANCEL)
"""Where a screening is on its way."""


def screening_row(connection: Connection, screening_id: int) -> RowMapping:
    """Return the row of a screening.

    Raises
    ------
    UnknownSubject
    """
    query = select(screenings).where(screenings.c.id == screening_id)
    found = connection.execute(query).mappings().first()
    if found is None:
        raise UnknownSubject(f"there is no screening {screening_id}")
    return found


def step_screening(connection: Connection, row: RowMapping, *events: ScreeningEvent, **values: Any) -> None:
    """Walk the screening's state table by ``events`` and write the last state with ``values``.

    Raises
    ------
    IllegalTransition
    """
    state = ScreeningState(row["state"])
    for event in events:
        state = SCREENING.step(state, event)
    connection.execute(update(screenings).where(screenings.c.id == row["id"]).values(state=state, **values))


def queue_screening(
    connection: Connection,
    study_id: int,
    assignment: Assignment,
    cause: ScreeningCause,
    *,
    at: datetime,
    reason: str = "",
    queued_at: datetime | None = None,
) -> int:
    """Queue a study for a model and return the screening's row.

    Parameters
    ----------
    connection : Connection
        Of a write transaction.
    study_id : int
    assignment : Assignment
    cause : ScreeningCause
    at : datetime
        From when on it may be claimed.
    reason : str
        Of an operator.
    queued_at : datetime, optional
        Its place in the queue, where it keeps that of another one.
    """
    return insert_row(
        connection,
        screenings,
        study_id=study_id,
        model_name=assignment.model_name,
        model_version=assignment.model_version,
        purpose=assignment.purpose,
        state=ScreeningState.QUEUED,
        cause=cause,
        reason=reason,
        queued_at=queued_at or at,
        due_at=min(at, queued_at or at),
    )


def cancel_active(
    connection: Connection, study_id: int, assignment: Assignment, *, at: datetime, detail: str
) -> None:
    """Cancel what is queued, parked or running of a study, model and purpose; a running one learns it late.

    Whatever version waits for a report is overtaken by another one; shadows of several versions go on side
    by side.
    """
    connection.execute(
        update(screenings)
        .where(*_in_place(study_id, assignment))
        .values(state=ScreeningState.CANCELLED, ended_at=at, detail=detail)
    )


def queue_settled(
    connection: Connection, study_id: int, assignments: Sequence[Assignment], *, at: datetime
) -> None:
    """Queue a study that settled; what is on its way is void, for it may have begun with fewer images.

    An operator's order for one version outlasts it and stands in the place of the model's own assignment.
    """
    query = select(screenings).where(screenings.c.study_id == study_id, screenings.c.state.in_(ACTIVE))
    found = connection.execute(query.order_by(screenings.c.id)).mappings().all()
    for row in found:
        step_screening(connection, row, ScreeningEvent.CANCEL, ended_at=at, detail="the study settled anew")
    orders = {
        _place(_assignment(row)): row
        for row in found
        if row["cause"] == ScreeningCause.REPROCESS and row["model_version"] != ACTIVE_VERSION
    }
    for row in orders.values():
        order = _assignment(row)
        queue_screening(connection, study_id, order, ScreeningCause.REPROCESS, at=at, reason=row["reason"])
    for assignment in assignments:
        if _place(assignment) not in orders:
            queue_screening(connection, study_id, assignment, ScreeningCause.SETTLED, at=at)


def waiting_for_others(connection: Connection, routed: Collection[Assignment]) -> list[RowMapping]:
    """Return the waiting screenings that nothing asks for any more.

    These are reports by the active version of a model that no route leads to, and shadows that are not
    wanted any more. An operator's order for one version stands.
    """
    waiting = screenings.c.state.in_([ScreeningState.QUEUED, ScreeningState.PARKED])
    asked = {(item.model_name, item.model_version, item.purpose) for item in routed}
    found = connection.execute(select(screenings).where(waiting).order_by(screenings.c.id)).mappings()
    return [
        row
        for row in found
        if (row["model_name"], row["model_version"], Purpose(row["purpose"])) not in asked
        and (row["cause"] == ScreeningCause.SETTLED or row["model_version"] == ACTIVE_VERSION)
    ]


def hand_over(
    connection: Connection, row: RowMapping, assignments: Sequence[Assignment], *, at: datetime
) -> int:
    """Cancel a waiting screening, and queue its study for the models that it is routed to now.

    Returns how many screenings that made; a study that waits for one of them already gets no second one.
    """
    names = ", ".join(item.model_name for item in assignments) or "nobody"
    detail = f"model {row['model_name']} is not asked for any more; handed over to {names}"
    step_screening(connection, row, ScreeningEvent.CANCEL, ended_at=at, detail=detail)
    count = 0
    for assignment in assignments:
        present = select(screenings.c.id).where(*_in_place(row["study_id"], assignment))
        if row["purpose"] != assignment.purpose or connection.execute(present).first() is not None:
            continue
        queue_screening(
            connection,
            row["study_id"],
            assignment,
            ScreeningCause(row["cause"]),
            at=at,
            reason=row["reason"],
            queued_at=row["queued_at"],
        )
        count += 1
    return count


def make_due(connection: Connection, *, at: datetime) -> None:
    """Let nothing wait for a later time: the clock may have been set back from it."""
    waiting = screenings.c.state.in_([ScreeningState.QUEUED, ScreeningState.PARKED])
    connection.execute(update(screenings).where(waiting, screenings.c.due_at > at).values(due_at=at))


def supersede_older(connection: Connection, row: RowMapping, states: tuple[ScreeningState, ...]) -> None:
    """Mark older screenings of the same study, model and purpose, that ended in ``states``, as superseded."""
    for state in states:
        SCREENING.step(state, ScreeningEvent.SUPERSEDE)
    connection.execute(
        update(screenings)
        .where(
            screenings.c.study_id == row["study_id"],
            screenings.c.model_name == row["model_name"],
            screenings.c.purpose == row["purpose"],
            screenings.c.id < row["id"],
            screenings.c.state.in_(states),
        )
        .values(state=ScreeningState.SUPERSEDED)
    )


def _place(assignment: Assignment) -> tuple[str, Purpose, int]:
    """Return what only one screening of a study may wait for: any version's report, one version's shadow."""
    version = assignment.model_version if assignment.purpose is Purpose.SHADOW else ACTIVE_VERSION
    return assignment.model_name, assignment.purpose, version


def _in_place(study_id: int, assignment: Assignment) -> list[ColumnElement[bool]]:
    """Return the conditions of what is on its way in the place of an assignment."""
    chosen = [
        screenings.c.study_id == study_id,
        screenings.c.model_name == assignment.model_name,
        screenings.c.purpose == assignment.purpose,
        screenings.c.state.in_(ACTIVE),
    ]
    if assignment.purpose is Purpose.SHADOW:
        chosen.append(screenings.c.model_version == assignment.model_version)
    return chosen


def _assignment(row: RowMapping) -> Assignment:
    return Assignment(
        model_name=row["model_name"], model_version=row["model_version"], purpose=Purpose(row["purpose"])
    )
