"""The statements of the intake, built once: an arrival must not wait for their construction."""

from __future__ import annotations

from sqlalchemy import BindParameter, and_, bindparam, func, insert, literal, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from node.store.prepared import Prepared
from node.store.schema import (
    association_series,
    instances,
    patients,
    result_objects,
    sender_gaps,
    series,
    studies,
)
from node.store.schema_retention import removed_results

SOP_INSTANCE: BindParameter[str] = bindparam("sop_instance_uid")

REMOVED = 0
"""In place of the row of a result that was removed."""

# Whether the UID is that of a result of this node, removed ones too, and which instance has it already.
WHO_HAS_UID = Prepared(
    select(
        func.coalesce(
            select(result_objects.c.id)
            .where(result_objects.c.sop_instance_uid == SOP_INSTANCE)
            .scalar_subquery(),
            select(literal(REMOVED))
            .where(removed_results.c.sop_instance_uid == SOP_INSTANCE)
            .scalar_subquery(),
        ).label("result_id"),
        select(instances.c.id)
        .where(instances.c.sop_instance_uid == SOP_INSTANCE)
        .scalar_subquery()
        .label("instance_id"),
    )
)

KNOWN_INSTANCE = Prepared(
    select(
        instances.c.id,
        instances.c.sha256,
        instances.c.series_id,
        series.c.series_instance_uid,
        series.c.study_id,
        studies.c.study_instance_uid,
        patients.c.patient_id,
        patients.c.issuer,
        association_series.c.last_arrival_at.label("carried_at"),
    )
    .join(series, series.c.id == instances.c.series_id)
    .join(studies, studies.c.id == series.c.study_id)
    .join(patients, patients.c.id == studies.c.patient_key)
    .outerjoin(
        association_series,
        and_(
            association_series.c.series_id == series.c.id,
            association_series.c.association_id == bindparam("association_id"),
        ),
    )
    .where(instances.c.id == bindparam("instance_id"))
)

STUDY_WITH_PATIENT = Prepared(
    select(studies, patients.c.patient_id, patients.c.issuer)
    .join(patients, patients.c.id == studies.c.patient_key)
    .where(studies.c.study_instance_uid == bindparam("study_instance_uid"))
)

SERIES_WITH_STUDY = Prepared(
    select(
        studies,
        patients.c.patient_id,
        patients.c.issuer,
        series.c.id.label("series_id"),
        series.c.state.label("series_state"),
        series.c.modality.label("series_modality"),
        association_series.c.last_arrival_at.label("carried_at"),
    )
    .select_from(series)
    .join(studies, studies.c.id == series.c.study_id)
    .join(patients, patients.c.id == studies.c.patient_key)
    .outerjoin(
        association_series,
        and_(
            association_series.c.series_id == series.c.id,
            association_series.c.association_id == bindparam("association_id"),
        ),
    )
    .where(series.c.series_instance_uid == bindparam("series_instance_uid"))
)

# What does not change is not written: SQLite writes the index of a column again though it has the same value.
GROW_STUDY = Prepared(
    update(studies)
    .where(studies.c.id == bindparam("study_id"))
    .values(revision=studies.c.revision + bindparam("growth"), last_arrival_at=bindparam("received_at"))
)
STEP_STUDY = Prepared(
    update(studies).where(studies.c.id == bindparam("study_id")).values(state=bindparam("next_state"))
)

GROW_SERIES = Prepared(
    update(series)
    .where(series.c.id == bindparam("series_id"))
    .values(
        instance_count=series.c.instance_count + 1,
        last_arrival_at=bindparam("received_at"),
        calling_ae_title=bindparam("sender"),
    )
)
OPEN_SERIES = Prepared(
    update(series)
    .where(series.c.id == bindparam("series_id"))
    .values(state=bindparam("next_state"), verdict=None, verdict_reason="")
)

INSTANCE_COLUMNS = (
    "series_id",
    "sop_instance_uid",
    "sop_class_uid",
    "object_key",
    "sha256",
    "size",
    "received_at",
    "calling_ae_title",
    "header",
)
INSERT_INSTANCE = Prepared(insert(instances), columns=INSTANCE_COLUMNS)

_carrier = upsert(association_series)
CARRY = Prepared(
    _carrier.on_conflict_do_update(
        index_elements=["series_id", "association_id"],
        set_={"last_arrival_at": _carrier.excluded.last_arrival_at},
    ),
    columns=("series_id", "association_id", "last_arrival_at"),
)

COUNT_GAP = Prepared(
    upsert(sender_gaps)
    .values(count=1)
    .on_conflict_do_update(
        index_elements=["calling_ae_title", "bucket"], set_={"count": sender_gaps.c.count + 1}
    )
    .returning(sender_gaps.c.count),
    columns=("calling_ae_title", "bucket"),
)
