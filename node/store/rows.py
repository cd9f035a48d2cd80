"""From rows of the index to records of the domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, select

from node.domain.delivery import Delivery, DeliveryState
from node.domain.identity import PatientKey
from node.domain.job import Purpose, Screening, ScreeningCause, ScreeningState
from node.domain.result import ResultKind, ResultObject
from node.domain.study import (
    AsideReason,
    Instance,
    InstanceHeader,
    Series,
    SeriesState,
    Study,
    StudyState,
    Verdict,
)
from node.store.header_codec import decode_header
from node.store.schema import deliveries, patients, result_objects, screenings, studies


@dataclass(frozen=True, kw_only=True)
class Aside:
    """An object that lies beside the index, waiting for a comparison or for a person."""

    id: int
    reason: AsideReason
    detail: str
    """What was found when it was compared: keywords, never values."""
    study_id: int
    """The study it would change."""
    existing: Instance | None
    """The instance in force under the same SOP Instance UID; None when there is none."""
    header: InstanceHeader
    object_key: str
    sha256: str
    size: int
    calling_ae_title: str
    received_at: datetime


def select_studies() -> Select[Any]:
    """Return the query of studies with their patients."""
    return select(studies, patients.c.patient_id, patients.c.issuer).join(
        patients, patients.c.id == studies.c.patient_key
    )


def select_screenings() -> Select[Any]:
    """Return the query of screenings with their Study Instance UIDs."""
    return select(screenings, studies.c.study_instance_uid).join(
        studies, studies.c.id == screenings.c.study_id
    )


def select_deliveries() -> Select[Any]:
    """Return the query of deliveries with what they carry."""
    return (
        select(
            deliveries,
            result_objects.c.sop_class_uid,
            result_objects.c.sop_instance_uid,
            result_objects.c.series_instance_uid,
            result_objects.c.transfer_syntax_uid,
            result_objects.c.kind,
            result_objects.c.object_key,
            studies.c.study_instance_uid,
        )
        .join(result_objects, result_objects.c.id == deliveries.c.object_id)
        .join(studies, studies.c.id == result_objects.c.study_id)
    )


def instance(row: RowMapping) -> Instance:
    """Return one row of ``instances``."""
    return Instance(
        id=row["id"],
        series_id=row["series_id"],
        object_key=row["object_key"],
        sha256=row["sha256"],
        size=row["size"],
        received_at=row["received_at"],
        calling_ae_title=row["calling_ae_title"],
        header=decode_header(row["header"]),
    )


def series_record(row: RowMapping) -> Series:
    """Return one row of ``series``."""
    return Series(
        id=row["id"],
        study_id=row["study_id"],
        series_instance_uid=row["series_instance_uid"],
        modality=row["modality"],
        series_number=row["series_number"],
        series_description=row["series_description"],
        state=SeriesState(row["state"]),
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
        verdict_reason=row["verdict_reason"],
        instance_count=row["instance_count"],
        first_arrival_at=row["first_arrival_at"],
        last_arrival_at=row["last_arrival_at"],
        calling_ae_title=row["calling_ae_title"],
        not_before=row["not_before"],
        whole_lungs=row["whole_lungs"],
    )


def study_record(row: RowMapping, members: Sequence[Series]) -> Study:
    """Return one row of ``select_studies`` with its series."""
    return Study(
        id=row["id"],
        study_instance_uid=row["study_instance_uid"],
        state=StudyState(row["state"]),
        hold_reason=row["hold_reason"],
        patient=PatientKey(patient_id=row["patient_id"], issuer=row["issuer"]),
        patient_name=row["patient_name"],
        patient_birth_date=row["patient_birth_date"],
        patient_sex=row["patient_sex"],
        accession_number=row["accession_number"],
        study_date=row["study_date"],
        study_description=row["study_description"],
        first_arrival_at=row["first_arrival_at"],
        last_arrival_at=row["last_arrival_at"],
        series=tuple(members),
    )


def aside(row: RowMapping, existing: Instance | None) -> Aside:
    """Return one row of ``asides``."""
    return Aside(
        id=row["id"],
        reason=AsideReason(row["reason"]),
        detail=row["detail"],
        study_id=row["study_id"],
        existing=existing,
        header=decode_header(row["header"]),
        object_key=row["object_key"],
        sha256=row["sha256"],
        size=row["size"],
        calling_ae_title=row["calling_ae_title"],
        received_at=row["received_at"],
    )


def screening(row: RowMapping) -> Screening:
    """Return one row of ``select_screenings``."""
    return Screening(
        id=row["id"],
        study_id=row["study_id"],
        study_instance_uid=row["study_instance_uid"],
        model_name=row["model_name"],
        model_version=row["model_version"],
        purpose=Purpose(row["purpose"]),
        state=ScreeningState(row["state"]),
        cause=ScreeningCause(row["cause"]),
        reason=row["reason"],
        attempts=row["attempts"],
        queued_at=row["queued_at"],
    )


def result_object(row: RowMapping) -> ResultObject:
    """Return one row of ``result_objects``."""
    return ResultObject(
        kind=ResultKind(row["kind"]),
        index=row["object_index"],
        sop_class_uid=row["sop_class_uid"],
        sop_instance_uid=row["sop_instance_uid"],
        series_instance_uid=row["series_instance_uid"],
        transfer_syntax_uid=row["transfer_syntax_uid"],
        object_key=row["object_key"],
        sha256=row["sha256"],
        size=row["size"],
    )


def delivery(row: RowMapping) -> Delivery:
    """Return one row of ``select_deliveries``."""
    return Delivery(
        id=row["id"],
        destination=row["destination"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        due_at=row["due_at"],
        detail=row["detail"],
        sop_class_uid=row["sop_class_uid"],
        sop_instance_uid=row["sop_instance_uid"],
        transfer_syntax_uid=row["transfer_syntax_uid"],
        kind=ResultKind(row["kind"]),
        object_key=row["object_key"],
        study_instance_uid=row["study_instance_uid"],
        series_instance_uid=row["series_instance_uid"],
        proof=row["proof"],
        accepted_at=row["accepted_at"],
        answer=row["answer"],
        asked=row["asked"],
        losses=row["losses"],
    )
