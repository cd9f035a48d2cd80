"""The tables of the index. The migrations make the same ones; a test holds the two together.

Invariants that must never be bypassed stand here: unique keys, partial unique indexes, checks of states and
foreign keys. Times are UTC; text of peers is cleaned, never interpreted.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from node.domain.delivery import DeliveryState
from node.domain.job import Purpose, ScreeningCause, ScreeningState
from node.domain.preparation_spec import InputModality
from node.domain.result import Outcome, ResultKind, ResultState, RunOutcome
from node.domain.study import AsideReason, AssociationEnd, SeriesState, StudyState, Verdict
from node.store.columns import RemoteText, UtcDateTime, in_states, metadata, one_of, partial_index

patients = Table(
    "patients",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("patient_id", RemoteText, nullable=False),
    Column("issuer", RemoteText, nullable=False),
    UniqueConstraint("patient_id", "issuer"),
)

studies = Table(
    "studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("patient_key", ForeignKey("patients.id"), nullable=False, index=True),
    Column("study_instance_uid", String, nullable=False, unique=True),
    Column("state", String, nullable=False),
    Column("hold_reason", Text, nullable=False, server_default=""),
    # Counts every change of content; a screening whose study moved on is void.
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("patient_name", RemoteText, nullable=False),
    Column("patient_birth_date", RemoteText, nullable=False),
    Column("patient_sex", RemoteText, nullable=False),
    Column("accession_number", RemoteText, nullable=False),
    Column("study_date", RemoteText, nullable=False),
    Column("study_description", RemoteText, nullable=False),
    Column("first_arrival_at", UtcDateTime, nullable=False),
    Column("last_arrival_at", UtcDateTime, nullable=False, index=True),
    Column("study_time", RemoteText, nullable=False, server_default=""),
    Column("study_id_text", RemoteText, nullable=False, server_default=""),
    Column("referring_physician_name", RemoteText, nullable=False, server_default=""),
    Column("timezone_offset", RemoteText, nullable=False, server_default=""),
    # The patient's name as names are sought: every spelling of one name is one text.
    Column("sought_name", RemoteText, nullable=False, server_default=""),
    one_of("state", StudyState),
    CheckConstraint("state != 'held' OR hold_reason != ''", name="held_with_reason"),
    Index("ix_studies_state", "state"),
    Index("ix_studies_study_date", "study_date"),
    Index("ix_studies_accession_number", "accession_number"),
    Index("ix_studies_sought_name", "sought_name"),
)

series = Table(
    "series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False, index=True),
    Column("series_instance_uid", String, nullable=False, unique=True),
    Column("modality", RemoteText, nullable=False),
    Column("series_number", Integer),
    Column("series_description", RemoteText, nullable=False),
    Column("state", String, nullable=False),
    Column("verdict", String),
    Column("verdict_reason", Text, nullable=False, server_default=""),
    Column("instance_count", Integer, nullable=False),
    Column("first_arrival_at", UtcDateTime, nullable=False),
    Column("last_arrival_at", UtcDateTime, nullable=False),
    Column("calling_ae_title", RemoteText, nullable=False),
    Column("not_before", UtcDateTime),
    Column("whole_lungs", Boolean, nullable=False, server_default=false()),
    one_of("state", SeriesState),
    one_of("verdict", Verdict),
    # There is no "complete" without a reason.
    CheckConstraint(
        "(state = 'receiving') = (verdict IS NULL) AND (verdict IS NULL OR verdict_reason != '')",
        name="verdict_with_reason",
    ),
    Index("ix_series_state", "state"),
    # Few are incomplete for good, yet they stay: only those of the last time are fetched again.
    partial_index("ix_series_incomplete", "state", "last_arrival_at", where="state = 'incomplete'"),
)

instances = Table(
    "instances",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("series_id", ForeignKey("series.id"), nullable=False, index=True),
    Column("sop_instance_uid", String, nullable=False, unique=True),
    Column("sop_class_uid", String, nullable=False),
    Column("object_key", String, nullable=False, unique=True),
    Column("sha256", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("calling_ae_title", RemoteText, nullable=False),
    Column("header", Text, nullable=False),
)

asides = Table(
    "asides",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reason", String, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Column("study_id", ForeignKey("studies.id"), nullable=False, index=True),
    Column("existing_id", ForeignKey("instances.id"), index=True),
    Column("sop_instance_uid", String, nullable=False, index=True),
    Column("object_key", String, nullable=False, unique=True),
    Column("sha256", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("calling_ae_title", RemoteText, nullable=False),
    Column("header", Text, nullable=False),
    one_of("reason", AsideReason),
    CheckConstraint("existing_id IS NOT NULL OR reason = 'patient-conflict'", name="compared_with_something"),
    Index("ix_asides_reason", "reason", "id"),
)

own_objects = Table(
    "own_objects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sop_instance_uid", String, nullable=False, unique=True),
    Column("sop_class_uid", String, nullable=False),
    Column("study_instance_uid", String, nullable=False, index=True),
    Column("object_key", String, nullable=False, index=True),
    Column("sha256", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("calling_ae_title", RemoteText, nullable=False),
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("arrivals", Integer, nullable=False),
)

associations = Table(
    "associations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("calling_ae_title", RemoteText, nullable=False),
    Column("address", RemoteText, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
    Column("end", String),
    one_of("end", AssociationEnd),
    CheckConstraint('(closed_at IS NULL) = ("end" IS NULL)', name="closed_with_end"),
    Index("ix_associations_closed_at", "closed_at"),
)

association_series = Table(
    "association_series",
    metadata,
    Column("series_id", ForeignKey("series.id"), primary_key=True),
    Column("association_id", ForeignKey("associations.id"), primary_key=True),
    Column("last_arrival_at", UtcDateTime, nullable=False),
    Index("ix_association_series_association_id", "association_id"),
    sqlite_with_rowid=False,
)

sender_gaps = Table(
    "sender_gaps",
    metadata,
    Column("calling_ae_title", RemoteText, primary_key=True),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)

refused_callers = Table(
    "refused_callers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("calling_ae_title", RemoteText, nullable=False),
    Column("address", RemoteText, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_at", UtcDateTime, nullable=False, index=True),
    UniqueConstraint("calling_ae_title", "address"),
)

screenings = Table(
    "screenings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False, index=True),
    Column("model_name", String, nullable=False),
    Column("state", String, nullable=False),
    Column("cause", String, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("queued_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("worker", String, nullable=False, server_default=""),
    Column("lease_until", UtcDateTime),
    Column("study_revision", Integer),
    Column("ended_at", UtcDateTime),
    Column("model_version", Integer, nullable=False, server_default="0"),
    Column("purpose", String, one_of("purpose", Purpose), nullable=False, server_default="report"),
    one_of("state", ScreeningState),
    one_of("cause", ScreeningCause),
    # At most one screening of a study, model version and purpose is on its way.
    partial_index(
        "uq_screenings_active",
        "study_id",
        "model_name",
        "model_version",
        "purpose",
        unique=True,
        where=in_states("state", ScreeningState.QUEUED, ScreeningState.RUNNING, ScreeningState.PARKED),
    ),
    Index("ix_screenings_state", "state", "queued_at"),
    Index("ix_screenings_purpose", "purpose", "state"),
)

findings = Table(
    "findings",
    metadata,
    Column("screening_id", ForeignKey("screenings.id"), primary_key=True),
    Column("outcome", String, nullable=False),
    Column("run_outcome", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("warnings", JSON, nullable=False),
    Column("series_instance_uid", String),
    Column("selection_rule", Text, nullable=False),
    Column("selection_threshold", Text, nullable=False),
    Column("operating_point", JSON(none_as_null=True)),
    Column("model", JSON, nullable=False),
    Column("recipe", String, nullable=False),
    Column("seconds", JSON, nullable=False),
    Column("modality", String, one_of("modality", InputModality), nullable=False, server_default="CT"),
    one_of("outcome", Outcome),
    one_of("run_outcome", RunOutcome),
)

series_choices = Table(
    "series_choices",
    metadata,
    Column("screening_id", ForeignKey("findings.screening_id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("series_instance_uid", String, nullable=False),
    Column("series_number", Integer),
    Column("series_description", RemoteText, nullable=False),
    Column("modality", RemoteText, nullable=False),
    Column("instance_count", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("verdict", String),
    Column("verdict_reason", Text, nullable=False),
    Column("chosen", Boolean, nullable=False),
    Column("eligible", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    one_of("state", SeriesState),
    one_of("verdict", Verdict),
    partial_index("uq_series_choices_chosen", "screening_id", unique=True, where="chosen"),
    sqlite_with_rowid=False,
)

slice_scores = Table(
    "slice_scores",
    metadata,
    Column("screening_id", ForeignKey("findings.screening_id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("sop_class_uid", String, nullable=False),
    Column("sop_instance_uid", String, nullable=False),
    Column("frame", Integer, nullable=False),
    Column("instance_number", Integer),
    Column("position", Float, nullable=False),
    Column("dark_count", Integer, nullable=False),
    Column("selected", Boolean, nullable=False),
    Column("probability", Float),
    Column("positive", Boolean, nullable=False),
    CheckConstraint("probability BETWEEN 0 AND 1", name="probability_range"),
    CheckConstraint("NOT positive OR selected", name="positive_is_selected"),
    sqlite_with_rowid=False,
)

result_versions = Table(
    "result_versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("model_name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("recipe", String, nullable=False),
    Column("state", String, nullable=False),
    Column("screening_id", ForeignKey("screenings.id"), nullable=False, unique=True),
    Column("made_at", UtcDateTime, nullable=False),
    UniqueConstraint("study_id", "model_name", "version"),
    CheckConstraint("version >= 1", name="version_from_one"),
    one_of("state", ResultState),
    # At most one version is in force.
    partial_index(
        "uq_result_versions_current",
        "study_id",
        "model_name",
        unique=True,
        where=in_states("state", ResultState.CURRENT),
    ),
)

result_objects = Table(
    "result_objects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("object_index", Integer, nullable=False),
    Column("sop_class_uid", String, nullable=False),
    Column("sop_instance_uid", String, nullable=False, unique=True),
    Column("series_instance_uid", String, nullable=False, index=True),
    Column("transfer_syntax_uid", String, nullable=False),
    Column("object_key", String, nullable=False, index=True),
    Column("sha256", String, nullable=False),
    Column("size", Integer, nullable=False),
    one_of("kind", ResultKind),
)

# An object belongs to more than one version when a recipe comes back: its stored bytes are in force again.
version_objects = Table(
    "version_objects",
    metadata,
    Column("version_id", ForeignKey("result_versions.id"), primary_key=True),
    Column("object_id", ForeignKey("result_objects.id"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("object_id", ForeignKey("result_objects.id"), nullable=False, index=True),
    Column("destination", String, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", UtcDateTime),
    Column("detail", Text, nullable=False, server_default=""),
    Column("changed_at", UtcDateTime, nullable=False),
    # How it was proven to have arrived; empty before.
    Column("proof", String, nullable=False, server_default=""),
    # When the destination last answered with success, with what, and how often it was asked since.
    Column("accepted_at", UtcDateTime),
    Column("answer", Text, nullable=False, server_default=""),
    Column("asked", Integer, nullable=False, server_default="0"),
    # It was tried before its attempts counted anew: the destination may have it.
    Column("tried_before", Boolean, nullable=False, server_default=false()),
    # The destination said that it does not have what it had accepted.
    Column("missing", Boolean, nullable=False, server_default=false()),
    # How often it had to be sent again for that.
    Column("losses", Integer, nullable=False, server_default="0"),
    one_of("state", DeliveryState),
    # What is sent is due for its proof.
    CheckConstraint("state NOT IN ('pending', 'sent') OR due_at IS NOT NULL", name="waiting_with_due"),
    Index("ix_deliveries_state", "state", "destination", "id"),
    # What no destination can prove stays sent for ever: only what is due, or oldest, is looked at.
    partial_index("ix_deliveries_unproven", "destination", "due_at", where="state = 'sent'"),
    partial_index("ix_deliveries_accepted", "destination", "accepted_at", where="state = 'sent'"),
    # Never twice to one destination.
    partial_index(
        "uq_deliveries_once", "object_id", "destination", unique=True, where="state != 'cancelled'"
    ),
)

open_destinations = Table(
    "open_destinations",
    metadata,
    Column("destination", String, primary_key=True),
    Column("halted", Boolean, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("by", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint("\"by\" != '' AND reason != ''", name="somebody_with_reason"),
)
