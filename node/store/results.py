"""Result versions and the objects in them, as the next screening asks for them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, exists, func, select, union_all

from node.domain.model import ModelIdentity
from node.domain.result import Finding, ResultKind, ResultObject, ResultState, ResultVersion
from node.store import rows
from node.store.database import Database
from node.store.evidence import decode_model, read_finding
from node.store.schema import findings, result_objects, result_versions, studies, version_objects
from node.store.schema_retention import removals, removed_versions
from node.store.versions import KIND_RANK


class ResultRecords:
    """What is in force of a study and model, and what was."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def current_version(self, study_id: int, model_name: str) -> ResultVersion | None:
        """Return the version in force of a study and model; None when there is none, or it was withdrawn.

        One that was in force when the study was removed has no recipe: what comes after it replaces it at the
        archive, but nothing of it is here.
        """
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
            recipe = "" if row is None else row.recipe
            if row is None:
                row = connection.execute(_last_removed(study_id, model_name)).first()
        if row is None:
            return None
        return ResultVersion(
            version=row.version,
            recipe=recipe,
            report_sop_instance_uid=row.sop_instance_uid,
            report_sop_class_uid=row.sop_class_uid,
            report_series_instance_uid=row.series_instance_uid,
        )

    def finding_without_images(self, study_id: int, model_name: str) -> Finding | None:
        """Return what the version in force says, where the images that it rests on were removed since."""
        uid = select(studies.c.study_instance_uid).where(studies.c.id == study_id).scalar_subquery()
        removed_since = exists().where(
            removals.c.study_instance_uid == uid, removals.c.at >= result_versions.c.made_at
        )
        query = select(result_versions.c.screening_id).where(
            result_versions.c.study_id == study_id,
            result_versions.c.model_name == model_name,
            result_versions.c.state == ResultState.CURRENT,
            removed_since,
        )
        with self._database.read() as connection:
            screening_id = connection.execute(query).scalar()
            return None if screening_id is None else read_finding(connection, screening_id)

    def recipes(self, study_id: int, model_name: str) -> list[str]:
        """Return the recipes of all versions of a study and model, withdrawn or removed too, oldest first."""
        known = _versions(study_id, model_name).subquery()
        with self._database.read() as connection:
            return list(connection.execute(select(known.c.recipe).order_by(known.c.version)).scalars())

    def next_version(self, study_id: int, model_name: str) -> int:
        """Return the number that the next version gets; no number is used again."""
        known = _versions(study_id, model_name).subquery()
        with self._database.read() as connection:
            return (connection.execute(select(func.max(known.c.version))).scalar() or 0) + 1

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


def _removed(study_id: int, model_name: str) -> list[ColumnElement[bool]]:
    """Return the conditions of the versions that a study had before it was removed and came again."""
    uid = select(studies.c.study_instance_uid).where(studies.c.id == study_id).scalar_subquery()
    return [removed_versions.c.study_instance_uid == uid, removed_versions.c.model_name == model_name]


def _versions(study_id: int, model_name: str) -> CompoundSelect[tuple[int, str]]:
    return union_all(
        select(removed_versions.c.version, removed_versions.c.recipe).where(*_removed(study_id, model_name)),
        select(result_versions.c.version, result_versions.c.recipe).where(
            result_versions.c.study_id == study_id, result_versions.c.model_name == model_name
        ),
    )


def _last_removed(study_id: int, model_name: str) -> Select[Any]:
    """Return the query of the last version, where it was removed while it was in force."""
    known = _versions(study_id, model_name).subquery()
    return select(removed_versions).where(
        *_removed(study_id, model_name),
        removed_versions.c.version == select(func.max(known.c.version)).scalar_subquery(),
        removed_versions.c.state == ResultState.CURRENT,
        removed_versions.c.sop_instance_uid != "",
    )
