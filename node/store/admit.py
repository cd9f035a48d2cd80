"""Where an object belongs that arrived: the rules of the index, inside one transaction.

PS3.3 section A.1.2 gives the model: a SOP instance belongs to one series, a series to one study, a study to
one patient. What contradicts the rows that are there is kept aside and the study is held.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, insert, select, update

from node.dicom.text import normalised_name
from node.domain.identity import PatientKey
from node.domain.study import (
    SERIES,
    STUDY,
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
from node.store.schema import asides, instances, patients, series, studies

STUDY_TEXTS = (
    "patient_name",
    "patient_birth_date",
    "patient_sex",
    "accession_number",
    "study_date",
    "study_description",
)

KNOWN_INSTANCE = (
    select(
        instances.c.id,
        instances.c.sha256,
        instances.c.series_id,
        series.c.series_instance_uid,
        series.c.study_id,
        studies.c.study_instance_uid,
        patients.c.patient_id,
        patients.c.issuer,
    )
    .join(series, series.c.id == instances.c.series_id)
    .join(studies, studies.c.id == series.c.study_id)
    .join(patients, patients.c.id == studies.c.patient_key)
)


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What became of an object."""

    intake: Intake
    series_id: int | None
    """The series it belongs to; None where it belongs to none."""


def same_patient(row: RowMapping, key: PatientKey) -> bool:
    """Whether the row's patient is the one of ``key``."""
    return bool(row["patient_id"] == clean_text(key.patient_id) and row["issuer"] == clean_text(key.issuer))


def admit(connection: Connection, arrival: Arrival) -> Admission:
    """Give the object its place in the index, or keep it aside.

    Parameters
    ----------
    connection : Connection
        Of a write transaction.
    arrival : Arrival

    Returns
    -------
    Admission
    """
    header = arrival.header
    known = (
        connection.execute(KNOWN_INSTANCE.where(instances.c.sop_instance_uid == header.sop_instance_uid))
        .mappings()
        .first()
    )
    if known is not None:
        return _admit_again(connection, arrival, known)
    owner = (
        connection.execute(
            select(series.c.id, series.c.state, series.c.study_id, studies.c.study_instance_uid)
            .join(studies, studies.c.id == series.c.study_id)
            .where(series.c.series_instance_uid == header.series_instance_uid)
        )
        .mappings()
        .first()
    )
    study = (
        connection.execute(
            select(studies, patients.c.patient_id, patients.c.issuer)
            .join(patients, patients.c.id == studies.c.patient_key)
            .where(studies.c.study_instance_uid == header.study_instance_uid)
        )
        .mappings()
        .first()
    )
    if owner is not None and owner["study_instance_uid"] != header.study_instance_uid:
        others = [] if study is None else [study["id"]]
        return _conflict(
            connection, arrival, owner["study_id"], others, "SeriesInstanceUID under two studies"
        )
    if study is not None and not same_patient(study, header.patient):
        return _conflict(connection, arrival, study["id"], [], "StudyInstanceUID under two patients")
    study_id = _new_study(connection, arrival) if study is None else _grow_study(connection, arrival, study)
    series_id = (
        _new_series(connection, arrival, study_id)
        if owner is None
        else _grow_series(connection, arrival, owner)
    )
    _new_instance(connection, arrival, series_id)
    return Admission(intake=Intake.NEW, series_id=series_id)


def set_aside(
    connection: Connection, arrival: Arrival, *, study_id: int, existing_id: int | None, reason: AsideReason
) -> None:
    """Keep an object beside the index; the same bytes again change nothing."""
    present = connection.execute(
        select(asides.c.id).where(asides.c.object_key == arrival.object_key)
    ).scalar()
    if present is not None:
        return
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


def contradictions(row: RowMapping, header: InstanceHeader) -> list[str]:
    """Return the keywords of patient attributes in which the header contradicts its study.

    An absent value (they are of type 2, PS3.3 C.7.1.1) contradicts nothing.
    """
    pairs = {
        "PatientName": (
            normalised_name(row["patient_name"]),
            normalised_name(clean_text(header.patient_name)),
        ),
        "PatientBirthDate": (row["patient_birth_date"], header.patient_birth_date),
        "PatientSex": (row["patient_sex"], header.patient_sex),
    }
    return [keyword for keyword, (here, there) in pairs.items() if here and there and here != there]


def ensure_patient(connection: Connection, key: PatientKey) -> int:
    """Return the row of the patient, made if absent."""
    found = connection.execute(
        select(patients.c.id).where(patients.c.patient_id == key.patient_id, patients.c.issuer == key.issuer)
    ).scalar()
    if found is not None:
        return int(found)
    return insert_row(connection, patients, patient_id=key.patient_id, issuer=key.issuer)


def _admit_again(connection: Connection, arrival: Arrival, known: RowMapping) -> Admission:
    """Handle a SOP Instance UID that the index has already."""
    header = arrival.header
    if known["sha256"] == arrival.sha256:
        return Admission(intake=Intake.REPEATED, series_id=known["series_id"])
    moved = (
        known["series_instance_uid"] != header.series_instance_uid
        or known["study_instance_uid"] != header.study_instance_uid
    )
    reason = AsideReason.PATIENT_CONFLICT if moved else AsideReason.TO_COMPARE
    set_aside(connection, arrival, study_id=known["study_id"], existing_id=known["id"], reason=reason)
    if moved:
        hold_study(connection, known["study_id"], "SOPInstanceUID under two series or studies")
        return Admission(intake=Intake.CONFLICT, series_id=None)
    if not same_patient(known, header.patient):
        # Held at once; the comparison then tells a correction of the PatientID from another image.
        hold_study(connection, known["study_id"], "StudyInstanceUID under two patients")
        return Admission(intake=Intake.CONFLICT, series_id=known["series_id"])
    return Admission(intake=Intake.TO_COMPARE, series_id=known["series_id"])


def _conflict(
    connection: Connection, arrival: Arrival, study_id: int, others: list[int], reason: str
) -> Admission:
    set_aside(connection, arrival, study_id=study_id, existing_id=None, reason=AsideReason.PATIENT_CONFLICT)
    for held in (study_id, *others):
        hold_study(connection, held, reason)
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
        **{name: getattr(header, name) for name in STUDY_TEXTS},
    )


def _grow_study(connection: Connection, arrival: Arrival, study: RowMapping) -> int:
    """Count one more instance; a late image opens a settled study again, a held one stays held."""
    study_id = int(study["id"])
    missing = {name: getattr(arrival.header, name) for name in STUDY_TEXTS if not study[name]}
    connection.execute(
        update(studies)
        .where(studies.c.id == study_id)
        .values(
            state=STUDY.step(StudyState(study["state"]), StudyEvent.ARRIVAL),
            revision=studies.c.revision + 1,
            last_arrival_at=arrival.received_at,
            **missing,
        )
    )
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


def _grow_series(connection: Connection, arrival: Arrival, owner: RowMapping) -> int:
    series_id = int(owner["id"])
    connection.execute(
        update(series)
        .where(series.c.id == series_id)
        .values(
            state=SERIES.step(SeriesState(owner["state"]), SeriesEvent.ARRIVAL),
            verdict=None,
            verdict_reason="",
            instance_count=series.c.instance_count + 1,
            last_arrival_at=arrival.received_at,
            calling_ae_title=arrival.calling_ae_title,
        )
    )
    return series_id


def _new_instance(connection: Connection, arrival: Arrival, series_id: int) -> None:
    header = arrival.header
    connection.execute(
        insert(instances).values(
            series_id=series_id,
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            object_key=arrival.object_key,
            sha256=arrival.sha256,
            size=arrival.size,
            received_at=arrival.received_at,
            calling_ae_title=arrival.calling_ae_title,
            header=encode_header(header),
        )
    )
