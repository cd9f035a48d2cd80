"""Result versions and the objects in them, as the next screening asks for them."""

from __future__ import annotations

from sqlalchemy import func, select

from node.domain.model import ModelIdentity
from node.domain.result import ResultKind, ResultObject, ResultState, ResultVersion
from node.store import rows
from node.store.database import Database
from node.store.evidence import decode_model
from node.store.schema import findings, result_objects, result_versions, version_objects
from node.store.versions import KIND_RANK


class ResultRecords:
    """What is in force of a study and model, and what was."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def current_version(self, study_id: int, model_name: str) -> ResultVersion | None:
        """Return the version in force of a study and model; None when there is none, or it was withdrawn."""
        query = (
            select(result_versions, result_objects)
            .join(version_objects, version_objects.c.version_id == result_versions.c.id)
            .join(result_objects, result_objects.c.id == version_objects.c.object_id)
            .where(
                result_versions.c.study_id == study_id,
                result_versions.c.model_name == model_name,
                result_versions.c.state == ResultState.CURRENT,
                result_objects.c.kind == ResultKind.REPORT,
            )
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return ResultVersion(
            version=row.version,
            recipe=row.recipe,
            report_sop_instance_uid=row.sop_instance_uid,
            report_sop_class_uid=row.sop_class_uid,
            report_series_instance_uid=row.series_instance_uid,
        )

    def recipes(self, study_id: int, model_name: str) -> list[str]:
        """Return the recipes of all versions of a study and model, withdrawn ones too, oldest first."""
        query = select(result_versions.c.recipe).where(
            result_versions.c.study_id == study_id, result_versions.c.model_name == model_name
        )
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(result_versions.c.version)).scalars())

    def next_version(self, study_id: int, model_name: str) -> int:
        """Return the number that the next version gets; numbers of withdrawn versions are not used again."""
        query = select(func.max(result_versions.c.version)).where(
            result_versions.c.study_id == study_id, result_versions.c.model_name == model_name
        )
        with self._database.read() as connection:
            return (connection.execute(query).scalar() or 0) + 1

    def results(self, screening_id: int) -> list[ResultObject]:
        """Return the objects that a screening put in force, in the order of sending."""
        query = (
            select(result_objects)
            .join(version_objects, version_objects.c.object_id == result_objects.c.id)
            .join(result_versions, result_versions.c.id == version_objects.c.version_id)
            .where(result_versions.c.screening_id == screening_id)
            .order_by(KIND_RANK, result_objects.c.object_index)
        )
        with self._database.read() as connection:
            return [rows.result_object(row) for row in connection.execute(query).mappings()]

    def models_in_force(self, study_id: int) -> list[ModelIdentity]:
        """Return which models made the results in force of a study."""
        query = (
            select(findings.c.model)
            .join(result_versions, result_versions.c.screening_id == findings.c.screening_id)
            .where(result_versions.c.study_id == study_id, result_versions.c.state == ResultState.CURRENT)
            .order_by(result_versions.c.id)
        )
        with self._database.read() as connection:
            return [decode_model(document) for document in connection.execute(query).scalars()]
