"""Steps of a study's state, written inside the caller's transaction."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from node.domain.errors import UnknownSubject
from node.domain.study import STUDY, StudyEvent, StudyState
from node.store.schema import studies

REASON_LENGTH = 1000  # of all hold reasons together
MORE_REASONS = "and more reasons"
REASON_SEPARATOR = "; "


def step_study(connection: Connection, study_id: int, event: StudyEvent) -> StudyState:
    """Walk the study's state table by one event and return the new state.

    Raises
    ------
    UnknownSubject, IllegalTransition
    """
    state = connection.execute(select(studies.c.state).where(studies.c.id == study_id)).scalar()
    if state is None:
        raise UnknownSubject(f"there is no study {study_id}; see `studies list`")
    new = STUDY.step(StudyState(state), event)
    if new.value != state:
        connection.execute(update(studies).where(studies.c.id == study_id).values(state=new))
    return new


def hold_study(connection: Connection, study_id: int, reason: str) -> None:
    """Hold the study; of a study held already, the reasons add up.

    Parameters
    ----------
    connection : Connection
        Of a write transaction.
    study_id : int
    reason : str
        One sentence without patient data.
    """
    row = connection.execute(
        select(studies.c.state, studies.c.hold_reason).where(studies.c.id == study_id)
    ).first()
    if row is None:
        raise UnknownSubject(f"there is no study {study_id}; see `studies list`")
    reasons = _added(row.hold_reason, reason)
    connection.execute(
        update(studies)
        .where(studies.c.id == study_id)
        .values(state=STUDY.step(StudyState(row.state), StudyEvent.HOLD), hold_reason=reasons)
    )


def release_study(connection: Connection, study_id: int) -> None:
    """Let a held study go on: it receives again and settles after the quiet time.

    Raises
    ------
    UnknownSubject, IllegalTransition
    """
    step_study(connection, study_id, StudyEvent.RELEASE)
    connection.execute(update(studies).where(studies.c.id == study_id).values(hold_reason=""))


def _added(reasons: str, reason: str) -> str:
    """Return the reasons with one more; one for which there is no room is still told to be there."""
    known = reasons.split(REASON_SEPARATOR) if reasons else []
    if reason in known or MORE_REASONS in known:
        return reasons
    added = REASON_SEPARATOR.join([*known, reason[:REASON_LENGTH]])
    return added if len(added) <= REASON_LENGTH else REASON_SEPARATOR.join([*known, MORE_REASONS])
