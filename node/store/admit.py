"""Where an object belongs that arrived: the rules of the index, inside one transaction.

PS3.3 section A.1.2 gives the model: a SOP instance belongs to one series, a series to one study, a study to
one patient. What contradicts the rows that are there is kept aside and the study is held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, delete, insert, select, update

from node.decide.matching import sought_name
from node.decide.radiographs import RADIOGRAPH_SOP_CLASSES
from node.decide.routing import KINDS
from node.decide.series_facts import CT_SOP_CLASSES
from node.dicom.text import normalised_name
from node.domain.identity import PatientKey
from node.domain.study import (
    INSTANCE_CONFLICT,
    PATIENT_HOLD,
    SERIES,
    SERIES_CONFLICT,
    STUDY,
    STUDY_CONFLICT,
    Arrival,
    AsideReason,
    InstanceHeader,
    Intake,
    SeriesEvent,
    SeriesState,
    StudyEvent,
    StudyState,
)
from node.store.columns import clean_text
from node.store.header_codec import encode_header
from node.store.holds import hold_study
from node.store.inserting import insert_row
from node.store.intake_statements import (
    GROW_SERIES,
    GROW_STUDY,
    INSERT_INSTANCE,
    KNOWN_INSTANCE,
    OPEN_SERIES,
    SERIES_WITH_STUDY,
    STEP_STUDY,
    STUDY_WITH_PATIENT,
)
from node.store.schema import asides, patients, series, studies

Row: TypeAlias = Mapping[str, Any]

STUDY_TEXTS = {
    "patient_name": "patient_name",
    "patient_birth_date": "patient_birth_date",
    "patient_sex": "patient_sex",
    "accession_number": "accession_number",
    "study_date": "study_date",
    "study_time": "study_time",
    "study_description": "study_description",
    "study_id_text": "study_id",
    "referring_physician_name": "referring_physician_name",
    "timezone_offset": "timezone_offset",
}
"""Field of `InstanceHeader` by column of ``studies``."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What became of an object."""

    intake: Intake
    series_id: int | None
    """The series it belongs to; None where it belongs to none."""
    carried_at: datetime | None = None
    """When its association last brought an instance of that series."""


def same_patient(row: Row, key: PatientKey) -> bool:
    """Whether the row's patient is the one of ``key``."""
    return bool(row["patient_id"] == clean_text(key.patient_id) and row["issuer"] == clean_text(key.issuer))


def admit(connection: Connection, arrival: Arrival, known_id: int | None) -> Admission:
    """Give the object its place in the index, or keep it aside.

    Parameters
    ----------
    connection : Connection
        Of a write transaction.
    arrival : Arrival
    known_id : int or None
        The row of ``instances`` that has the SOP Instance UID already.

    Returns
    -------
    Admission
    """
    header = arrival.header
    if known_id is not None:
        return _admit_again(connection, arrival, known_id)
    owner = SERIES_WITH_STUDY.first(
        connection,
        {"series_instance_uid": header.series_instance_uid, "association_id": arrival.association_id},
    )
    if owner is None or owner["study_instance_uid"] != header.study_instance_uid:
        by_uid = {"study_instance_uid": header.study_instance_uid}
        study = STUDY_WITH_PATIENT.first(connection, by_uid)
    else:
        study = owner
    if owner is not None and owner is not study:
        held = [owner["id"]] if study is None else [owner["id"], study["id"]]
        return _conflict(connection, arrival, held, SERIES_CONFLICT)
    if study is not None and not same_patient(study, header.patient):
        return _conflict(connection, arrival, [study["id"]], STUDY_CONFLICT)
    reopens = opens_again(header) or (owner is not None and owner["series_modality"] in KINDS)
    study_id = (
        _new_study(connection, arrival)
        if study is None
        else _grow_study(connection, arrival, study, reopens=reopens)
    )
    series_id = (
        _new_series(connection, arrival, study_id)
        if owner is None
        else _grow_series(connection, arrival, owner)
    )
    _new_instance(connection, arrival, series_id)
    return Admission(
        intake=Intake.NEW,
        series_id=series_id,
        carried_at=None if owner is None else owner["carried_at"],
    )


def opens_again(header: InstanceHeader) -> bool:
    """Whether an object makes a settled study worth another look.

    Dose reports, presentation states and key objects come for hours, some of them because of the results of
    this node; none of them changes what it answers.
    """
    read_by_models = CT_SOP_CLASSES | RADIOGRAPH_SOP_CLASSES
    return header.modality in KINDS or header.sop_class_uid in read_by_models


def set_aside(
    connection: Connection, arrival: Arrival, *, study_id: int, existing_id: int | None, reason: AsideReason
) -> None:
    """Keep an object beside the index; the same bytes again change nothing.

    Unless they were replaced by a correction: then the correction is being taken back.
    """
    present = connection.execute(
        select(asides.c.id, asides.c.reason).where(asides.c.object_key == arrival.object_key)
    ).first()
    if present is not None and present.reason != AsideReason.REPLACED:
        return
    if present is not None:
        connection.execute(delete(asides).where(asides.c.id == present.id))
    connection.execute(
        insert(asides).values(
            reason=reason,
            study_id=study_id,
            existing_id=existing_id,
            sop_instance_uid=arrival.header.sop_instance_uid,
            object_key=arrival.object_key,
            sha256=arrival.sha256,
            size=arrival.size,
            received_at=arrival.received_at,
            calling_ae_title=arrival.calling_ae_title,
            header=encode_header(arrival.header),
        )
    )


def contradictions(row: Row, header: InstanceHeader) -> list[str]:
    """Return the keywords of patient attributes in which the header contradicts its study.

    An absent value (they are of type 2, PS3.3 C.7.1.1) contradicts nothing.
    """
    pairs = {
        "PatientName": (
            normalised_name(row["patient_name"]),
            normalised_name(clean_text(header.patient_name)),
        ),
        "PatientBirthDate": (row["patient_birth_date"], clean_text(header.patient_birth_date)),
        "PatientSex": (row["patient_sex"], clean_text(header.patient_sex)),
    }
    return [keyword for keyword, (here, there) in pairs.items() if here and there and here != there]


def study_texts(header: InstanceHeader) -> dict[str, str]:
    """Return what a header says of its study and patient, by column of ``studies``."""
    texts: dict[str, str] = {column: getattr(header, field) for column, field in STUDY_TEXTS.items()}
    return {**texts, "sought_name": sought_name(header.patient_name)}


def ensure_patient(connection: Connection, key: PatientKey) -> int:
    """Return the row of the patient, made if absent."""
    found = connection.execute(
        select(patients.c.id).where(patients.c.patient_id == key.patient_id, patients.c.issuer == key.issuer)
    ).scalar()
    if found is not None:
        return int(found)
    return insert_row(connection, patients, patient_id=key.patient_id, issuer=key.issuer)


def _admit_again(connection: Connection, arrival: Arrival, known_id: int) -> Admission:
    """Handle a SOP Instance UID that the index has already."""
    header = arrival.header
    by_id = {"instance_id": known_id, "association_id": arrival.association_id}
    (known,) = KNOWN_INSTANCE.rows(connection, by_id)
    here = {"series_id": known["series_id"], "carried_at": known["carried_at"]}
    if known["sha256"] == arrival.sha256:
        return Admission(intake=Intake.REPEATED, **here)
    moved = (
        known["series_instance_uid"] != header.series_instance_uid
        or known["study_instance_uid"] != header.study_instance_uid
    )
    reason = AsideReason.PATIENT_CONFLICT if moved else AsideReason.TO_COMPARE
    set_aside(connection, arrival, study_id=known["study_id"], existing_id=known["id"], reason=reason)
    if moved:
        hold_study(connection, known["study_id"], INSTANCE_CONFLICT)
        return Admission(intake=Intake.CONFLICT, series_id=None)
    if not same_patient(known, header.patient):
        # Held at once; the comparison then tells a correction of the PatientID from another image.
        hold_study(connection, known["study_id"], PATIENT_HOLD)
        return Admission(intake=Intake.CONFLICT, **here)
    return Admission(intake=Intake.TO_COMPARE, **here)


def _conflict(connection: Connection, arrival: Arrival, held: Sequence[int], reason: str) -> Admission:
    """Keep the object aside, beside the first study, and hold every study that it would touch."""
    set_aside(connection, arrival, study_id=held[0], existing_id=None, reason=AsideReason.PATIENT_CONFLICT)
    for study_id in held:
        hold_study(connection, study_id, reason)
    return Admission(intake=Intake.CONFLICT, series_id=None)


def _new_study(connection: Connection, arrival: Arrival) -> int:
    header = arrival.header
    return insert_row(
        connection,
        studies,
        patient_key=ensure_patient(connection, header.patient),
        study_instance_uid=header.study_instance_uid,
        state=StudyState.RECEIVING,
        revision=1,
        first_arrival_at=arrival.received_at,
        last_arrival_at=arrival.received_at,
        **study_texts(header),
    )


def _grow_study(connection: Connection, arrival: Arrival, study: Row, *, reopens: bool) -> int:
    """Count one more instance; a late image opens a settled study again, a held one stays held."""
    study_id = int(study["id"])
    state = StudyState(study["state"])
    unmoved = state is StudyState.SETTLED and not reopens
    next_state = state if unmoved else STUDY.step(state, StudyEvent.ARRIVAL)
    if next_state is not state:
        STEP_STUDY.rows(connection, {"study_id": study_id, "next_state": next_state})
    grown = {"study_id": study_id, "growth": int(not unmoved), "received_at": arrival.received_at}
    GROW_STUDY.rows(connection, grown)
    missing = {
        column: value for column, value in study_texts(arrival.header).items() if value and not study[column]
    }
    if missing:
        connection.execute(update(studies).where(studies.c.id == study_id).values(missing))
    differing = contradictions(study, arrival.header)
    if differing:
        hold_study(connection, study_id, f"instances of one study differ in {', '.join(differing)}")
    return study_id


def _new_series(connection: Connection, arrival: Arrival, study_id: int) -> int:
    header = arrival.header
    return insert_row(
        connection,
        series,
        study_id=study_id,
        series_instance_uid=header.series_instance_uid,
        modality=header.modality,
        series_number=header.series_number,
        series_description=header.series_description,
        state=SeriesState.RECEIVING,
        instance_count=1,
        first_arrival_at=arrival.received_at,
        last_arrival_at=arrival.received_at,
        calling_ae_title=arrival.calling_ae_title,
    )


def _grow_series(connection: Connection, arrival: Arrival, owner: Row) -> int:
    """Count one more instance; a series with a verdict is open again."""
    series_id = int(owner["series_id"])
    state = SeriesState(owner["series_state"])
    next_state = SERIES.step(state, SeriesEvent.ARRIVAL)
    if next_state is not state:
        OPEN_SERIES.rows(connection, {"series_id": series_id, "next_state": next_state})
    sender = arrival.calling_ae_title
    GROW_SERIES.rows(
        connection, {"series_id": series_id, "received_at": arrival.received_at, "sender": sender}
    )
    return series_id


def _new_instance(connection: Connection, arrival: Arrival, series_id: int) -> None:
    header = arrival.header
    INSERT_INSTANCE.rows(
        connection,
        {
            "series_id": series_id,
            "sop_instance_uid": header.sop_instance_uid,
            "sop_class_uid": header.sop_class_uid,
            "object_key": arrival.object_key,
            "sha256": arrival.sha256,
            "size": arrival.size,
            "received_at": arrival.received_at,
            "calling_ae_title": arrival.calling_ae_title,
            "header": encode_header(header),
        },
    )
