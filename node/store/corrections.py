"""What a confirmed correction changes, inside one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from node.domain.errors import UnknownSubject
from node.domain.result import Withdrawal
from node.domain.study import (
    CORRECTION_HOLD,
    SERIES_CONFLICT,
    STUDY_CONFLICT,
    Arrival,
    AsideReason,
    Instance,
    InstanceHeader,
)
from node.store import rows
from node.store.admit import admit, ensure_patient, study_texts
from node.store.differences import STUDY_ATTRIBUTES, differing_keywords, uncorrected
from node.store.header_codec import decode_header, encode_header
from node.store.holds import hold_study, release_study
from node.store.overrides import drop_overridden
from node.store.schema import asides, instances, series, studies
from node.store.withdrawals import withdraw_versions

OBJECT_FIELDS = ("object_key", "sha256", "size", "received_at", "calling_ae_title")


def apply_corrections(connection: Connection, study_id: int, *, by: str, reason: str, at: datetime) -> None:
    """Put every compared correction of a held study in force, withdraw its results, admit what fits now.

    A correction that has not reached every instance leaves the study held: a result would take its patient
    from whichever instance comes first. So does an object that is in conflict still.

    Raises
    ------
    UnknownSubject
        There is no correction.
    IllegalTransition
        The study is not held.
    """
    held_for = connection.execute(select(studies.c.hold_reason).where(studies.c.id == study_id)).scalar()
    release_study(connection, study_id)
    query = select(asides).where(asides.c.study_id == study_id, asides.c.reason == AsideReason.CORRECTION)
    found = connection.execute(query.order_by(asides.c.id)).mappings().all()
    if not found:
        raise UnknownSubject(f"study {study_id} has no correction to confirm; see `studies show`")
    header = decode_header(found[-1]["header"])
    changed: set[str] = set()
    for row in found:
        changed |= _replace(connection, row)
    connection.execute(
        update(studies)
        .where(studies.c.id == study_id)
        .values(
            patient_key=ensure_patient(connection, header.patient),
            revision=studies.c.revision + 1,
            **study_texts(header),
        )
    )
    withdraw_versions(
        connection, study_id, None, title=Withdrawal.PATIENT_SAFETY, by=by, reason=reason, at=at
    )
    named = {keyword for row in found for keyword in row["detail"].split(", ")}
    drop_overridden(connection, study_id, changed | named, by=by, at=at)
    _admit_fitting(connection, study_id, header)
    _hold_if_in_conflict(connection, study_id, held_for or "")
    _hold_if_uncorrected(connection, study_id, header, sorted(changed))


def _hold_if_in_conflict(connection: Connection, study_id: int, held_for: str) -> None:
    """Hold the study while an object of it contradicts what it is now."""
    if SERIES_CONFLICT in held_for:  # what is in conflict may lie beside the other study
        hold_study(connection, study_id, SERIES_CONFLICT)
    left = select(func.count()).where(
        asides.c.study_id == study_id, asides.c.reason == AsideReason.PATIENT_CONFLICT
    )
    if connection.execute(left).scalar():
        hold_study(connection, study_id, STUDY_CONFLICT)


def _hold_if_uncorrected(
    connection: Connection, study_id: int, header: InstanceHeader, keywords: Sequence[str]
) -> None:
    """Hold the study while some of its instances still bear what the correction changed."""
    query = (
        select(instances.c.header)
        .join(series, series.c.id == instances.c.series_id)
        .where(series.c.study_id == study_id)
    )
    headers = [decode_header(found) for found in connection.execute(query).scalars()]
    left = sum(uncorrected(item, header, keywords) for item in headers)
    if left:
        named = ", ".join(keywords)
        reason = f"{CORRECTION_HOLD}: {named}, but {left} of {len(headers)} instances are not corrected"
        hold_study(connection, study_id, reason)


def _replace(connection: Connection, row: RowMapping) -> set[str]:
    """Let the instance's row name the corrected object, and keep the replaced one aside.

    Returns the keywords of the patient and study attributes that changed by it.
    """
    query = select(instances).where(instances.c.id == row["existing_id"])
    before: Instance = rows.instance(connection.execute(query).mappings().one())
    header = decode_header(row["header"])
    connection.execute(delete(asides).where(asides.c.id == row["id"]))
    connection.execute(
        update(instances)
        .where(instances.c.id == before.id)
        .values(
            sop_class_uid=header.sop_class_uid,
            header=row["header"],
            **{name: row[name] for name in OBJECT_FIELDS},
        )
    )
    connection.execute(
        update(series)
        .where(series.c.id == before.series_id)
        .values(
            modality=header.modality,
            series_number=header.series_number,
            series_description=header.series_description,
        )
    )
    connection.execute(
        insert(asides).values(
            reason=AsideReason.REPLACED,
            detail="replaced by a confirmed correction",
            study_id=row["study_id"],
            existing_id=before.id,
            sop_instance_uid=before.header.sop_instance_uid,
            header=encode_header(before.header),
            **{name: getattr(before, name) for name in OBJECT_FIELDS},
        )
    )
    return set(differing_keywords(before.header, header, STUDY_ATTRIBUTES))


def _admit_fitting(connection: Connection, study_id: int, header: InstanceHeader) -> None:
    """Admit objects whose only conflict was the patient that the correction has put right."""
    query = select(asides).where(
        asides.c.study_id == study_id,
        asides.c.reason == AsideReason.PATIENT_CONFLICT,
        asides.c.existing_id.is_(None),
    )
    for row in connection.execute(query.order_by(asides.c.id)).mappings().all():
        waiting = decode_header(row["header"])
        if (waiting.study_instance_uid, waiting.patient) != (header.study_instance_uid, header.patient):
            continue
        connection.execute(delete(asides).where(asides.c.id == row["id"]))
        arrival = Arrival(header=waiting, association_id=None, **{name: row[name] for name in OBJECT_FIELDS})
        known = select(instances.c.id).where(instances.c.sop_instance_uid == waiting.sop_instance_uid)
        admit(connection, arrival, connection.execute(known).scalar())
