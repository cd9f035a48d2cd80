"""What each model made of each study: for comparing models."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select

from node.decide.agreement import StudyScore
from node.domain.job import ACTIVE_VERSION
from node.domain.result import Outcome
from node.store.database import Database
from node.store.schema import findings, screenings, slice_scores, studies


class ScoreRecords:
    """Findings, condensed to one line a study."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(
        self, model_name: str, model_version: int = ACTIVE_VERSION, *, since: datetime | None = None
    ) -> list[StudyScore]:
        """Return the newest answer of a model to each study, shadows and superseded ones too.

        Parameters
        ----------
        model_name : str
        model_version : int
            Only answers of this version; by ``ACTIVE_VERSION``, of any.
        since : datetime, optional
            Only studies that arrived then or later.
        """
        version = findings.c.model["version"].as_integer()
        query = (
            select(
                screenings.c.study_id,
                studies.c.study_instance_uid,
                studies.c.first_arrival_at,
                version.label("version"),
                findings.c.outcome,
                func.avg(slice_scores.c.probability).label("mean"),
            )
            .join(findings, findings.c.screening_id == screenings.c.id)
            .join(studies, studies.c.id == screenings.c.study_id)
            .outerjoin(slice_scores, slice_scores.c.screening_id == screenings.c.id)
            .where(screenings.c.model_name == model_name)
            .group_by(screenings.c.id)
            .order_by(screenings.c.id)
        )
        if model_version != ACTIVE_VERSION:
            query = query.where(version == model_version)
        if since is not None:
            query = query.where(studies.c.first_arrival_at >= since)
        with self._database.read() as connection:
            found = connection.execute(query).all()
        newest = {row.study_id: row for row in found}
        return [
            StudyScore(
                study_id=row.study_id,
                study_instance_uid=row.study_instance_uid,
                arrived_at=row.first_arrival_at,
                version=row.version,
                outcome=Outcome(row.outcome),
                mean_probability=row.mean,
            )
            for row in newest.values()
        ]
