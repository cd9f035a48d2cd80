"""Steps of a screening's state, written inside the caller's transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from node.domain.errors import UnknownSubject
from node.domain.job import SCREENING, ScreeningEvent, ScreeningState
from node.store.schema import screenings


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


def cancel_active(
    connection: Connection, study_id: int, model_name: str, *, at: datetime, detail: str
) -> None:
    """Cancel what is queued, parked or running of a study and model; a running one learns it at its end."""
    connection.execute(
        update(screenings)
        .where(
            screenings.c.study_id == study_id,
            screenings.c.model_name == model_name,
            screenings.c.state.in_(SCREENING.sources(ScreeningEvent.CANCEL)),
        )
        .values(state=ScreeningState.CANCELLED, ended_at=at, detail=detail)
    )


def hand_over(connection: Connection, model_name: str, *, at: datetime) -> int:
    """Queue for one model what waits for any other; returns how many studies that concerned.

    A study that waits for the model already has one screening of it, and no more.
    """
    waiting = screenings.c.state.in_([ScreeningState.QUEUED, ScreeningState.PARKED])
    served = select(screenings.c.study_id).where(waiting, screenings.c.model_name == model_name)
    others = select(screenings).where(waiting, screenings.c.model_name != model_name)
    present = set(connection.execute(served).scalars())
    count = 0
    for row in connection.execute(others.order_by(screenings.c.id)).mappings().all():
        detail = f"handed over to the active model {model_name}"
        step_screening(connection, row, ScreeningEvent.CANCEL, ended_at=at, detail=detail)
        if row["study_id"] in present:
            continue
        present.add(row["study_id"])
        count += 1
        connection.execute(
            insert(screenings).values(
                study_id=row["study_id"],
                model_name=model_name,
                state=ScreeningState.QUEUED,
                cause=row["cause"],
                reason=row["reason"],
                queued_at=row["queued_at"],
                due_at=at,
            )
        )
    return count


def make_due(connection: Connection, *, at: datetime) -> None:
    """Let nothing wait for a later time: the clock may have been set back from it."""
    waiting = screenings.c.state.in_([ScreeningState.QUEUED, ScreeningState.PARKED])
    connection.execute(update(screenings).where(waiting, screenings.c.due_at > at).values(due_at=at))


def supersede_older(connection: Connection, row: RowMapping, states: tuple[ScreeningState, ...]) -> None:
    """Mark older screenings of the same study and model, that ended in one of ``states``, as superseded."""
    for state in states:
        SCREENING.step(state, ScreeningEvent.SUPERSEDE)
    connection.execute(
        update(screenings)
        .where(
            screenings.c.study_id == row["study_id"],
            screenings.c.model_name == row["model_name"],
            screenings.c.id < row["id"],
            screenings.c.state.in_(states),
        )
        .values(state=ScreeningState.SUPERSEDED)
    )
