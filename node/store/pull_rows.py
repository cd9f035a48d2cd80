"""The rows of what is fetched from archives, as records."""

from __future__ import annotations

from sqlalchemy import Connection, RowMapping, case, func, select

from node.domain.archives import (
    FetchState,
    Pull,
    PullCause,
    PullProgress,
    PullRequest,
    PullState,
    SeriesFetch,
    Sought,
)
from node.domain.errors import UnknownSubject
from node.store.schema import series
from node.store.schema_pulls import pull_series, pulls


def pull_row(connection: Connection, pull_id: int) -> RowMapping:
    """Return the row of a pull.

    Raises
    ------
    UnknownSubject
    """
    row = connection.execute(select(pulls).where(pulls.c.id == pull_id)).mappings().first()
    if row is None:
        raise UnknownSubject(f"there is no pull {pull_id}; see `groundglass pulls`")
    return row


def progress_of(connection: Connection, row: RowMapping) -> PullProgress:
    """Return how far the pull of a row is."""
    here = func.coalesce(series.c.instance_count, 0)
    expected = func.coalesce(pull_series.c.expected, 0)
    query = (
        select(
            func.count(),
            func.count().filter(pull_series.c.state != FetchState.WAITING),
            func.coalesce(func.sum(expected), 0),
            func.coalesce(func.sum(case((here < expected, here), else_=expected)), 0),
            func.count(pull_series.c.study_instance_uid.distinct()),
            func.max(pull_series.c.detail),
            func.min(pull_series.c.due_at).filter(pull_series.c.state == FetchState.WAITING),
        )
        .select_from(pull_series)
        .outerjoin(series, series.c.series_instance_uid == pull_series.c.series_instance_uid)
        .where(pull_series.c.pull_id == row["id"])
    )
    found = connection.execute(query).one()
    return PullProgress(
        pull=pull_of(row),
        series=found[0],
        series_ended=found[1],
        expected=found[2],
        here=found[3],
        studies=found[4],
        problem=found[5] or "",
        next_at=row["due_at"] if row["state"] == PullState.SEARCHING else found[6],
    )


def pull_of(row: RowMapping) -> Pull:
    """Return the pull of a row."""
    sought = row["sought"]
    return Pull(
        id=row["id"],
        request=PullRequest(
            archive=row["archive"],
            cause=PullCause(row["cause"]),
            sought=Sought(**{**sought, "study_instance_uids": tuple(sought["study_instance_uids"])}),
            poll=row["poll"],
        ),
        state=PullState(row["state"]),
        asked_at=row["asked_at"],
        due_at=row["due_at"],
        attempts=row["attempts"],
        ended_at=row["ended_at"],
        detail=row["detail"],
    )


def fetch_of(row: RowMapping) -> SeriesFetch:
    """Return the fetching of the series of a row."""
    return SeriesFetch(
        id=row["id"],
        pull_id=row["pull_id"],
        archive=row["archive"],
        study_instance_uid=row["study_instance_uid"],
        series_instance_uid=row["series_instance_uid"],
        modality=row["modality"],
        state=FetchState(row["state"]),
        expected=row["expected"],
        attempts=row["attempts"],
        due_at=row["due_at"],
        detail=row["detail"],
    )
