"""Patients, studies, series, instances, and how they arrived."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _patients()
    _studies()
    _series()
    _instances()
    _asides()
    _own_objects()
    _associations()
    _association_series()
    _sender_gaps()
    _refused_callers()


def _patients() -> None:
    op.create_table(
        "patients",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patients")),
        sa.UniqueConstraint("patient_id", "issuer", name=op.f("uq_patients_patient_id_issuer")),
    )


def _studies() -> None:
    op.create_table(
        "studies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("patient_key", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("hold_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("patient_name", sa.String(), nullable=False),
        sa.Column("patient_birth_date", sa.String(), nullable=False),
        sa.Column("patient_sex", sa.String(), nullable=False),
        sa.Column("accession_number", sa.String(), nullable=False),
        sa.Column("study_date", sa.String(), nullable=False),
        sa.Column("study_description", sa.String(), nullable=False),
        sa.Column("first_arrival_at", sa.DateTime(), nullable=False),
        sa.Column("last_arrival_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("state != 'held' OR hold_reason != ''", name=op.f("ck_studies_held_with_reason")),
        sa.CheckConstraint(
            "\"state\" IN ('receiving', 'settled', 'held')", name=op.f("ck_studies_state_known")
        ),
        sa.ForeignKeyConstraint(["patient_key"], ["patients.id"], name=op.f("fk_studies_patient_key")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studies")),
        sa.UniqueConstraint("study_instance_uid", name=op.f("uq_studies_study_instance_uid")),
    )
    op.create_index(op.f("ix_studies_last_arrival_at"), "studies", ["last_arrival_at"], unique=False)
    op.create_index(op.f("ix_studies_patient_key"), "studies", ["patient_key"], unique=False)
    op.create_index("ix_studies_state", "studies", ["state"], unique=False)


def _series() -> None:
    op.create_table(
        "series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.Column("modality", sa.String(), nullable=False),
        sa.Column("series_number", sa.Integer(), nullable=True),
        sa.Column("series_description", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("verdict_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.Column("first_arrival_at", sa.DateTime(), nullable=False),
        sa.Column("last_arrival_at", sa.DateTime(), nullable=False),
        sa.Column("calling_ae_title", sa.String(), nullable=False),
        sa.Column("not_before", sa.DateTime(), nullable=True),
        sa.CheckConstraint(
            "(state = 'receiving') = (verdict IS NULL) AND (verdict IS NULL OR verdict_reason != '')",
            name=op.f("ck_series_verdict_with_reason"),
        ),
        sa.CheckConstraint(
            "\"state\" IN ('receiving', 'complete', 'incomplete')", name=op.f("ck_series_state_known")
        ),
        sa.CheckConstraint(
            "\"verdict\" IN ('geometry', 'quiet', 'by-hand', 'cap')", name=op.f("ck_series_verdict_known")
        ),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_series_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint("series_instance_uid", name=op.f("uq_series_series_instance_uid")),
    )
    op.create_index("ix_series_state", "series", ["state"], unique=False)
    op.create_index(op.f("ix_series_study_id"), "series", ["study_id"], unique=False)


def _instances() -> None:
    op.create_table(
        "instances",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("sop_class_uid", sa.String(), nullable=False),
        sa.Column("object_key", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(), nullable=False),
        sa.Column("calling_ae_title", sa.String(), nullable=False),
        sa.Column("header", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name=op.f("fk_instances_series_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances")),
        sa.UniqueConstraint("object_key", name=op.f("uq_instances_object_key")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_instances_sop_instance_uid")),
    )
    op.create_index(op.f("ix_instances_series_id"), "instances", ["series_id"], unique=False)


def _asides() -> None:
    op.create_table(
        "asides",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("existing_id", sa.Integer(), nullable=True),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("object_key", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(), nullable=False),
        sa.Column("calling_ae_title", sa.String(), nullable=False),
        sa.Column("header", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "existing_id IS NOT NULL OR reason = 'patient-conflict'",
            name=op.f("ck_asides_compared_with_something"),
        ),
        sa.CheckConstraint(
            "\"reason\" IN ('to-compare', 'correction', 'other-pixels', 'patient-conflict', "
            "'unreadable', 'replaced')",
            name=op.f("ck_asides_reason_known"),
        ),
        sa.ForeignKeyConstraint(["existing_id"], ["instances.id"], name=op.f("fk_asides_existing_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_asides_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asides")),
        sa.UniqueConstraint("object_key", name=op.f("uq_asides_object_key")),
    )
    op.create_index(op.f("ix_asides_existing_id"), "asides", ["existing_id"], unique=False)
    op.create_index("ix_asides_reason", "asides", ["reason", "id"], unique=False)
    op.create_index(op.f("ix_asides_study_id"), "asides", ["study_id"], unique=False)


def _own_objects() -> None:
    op.create_table(
        "own_objects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("sop_class_uid", sa.String(), nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("object_key", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("calling_ae_title", sa.String(), nullable=False),
        sa.Column("first_at", sa.DateTime(), nullable=False),
        sa.Column("last_at", sa.DateTime(), nullable=False),
        sa.Column("arrivals", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_own_objects")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_own_objects_sop_instance_uid")),
    )
    op.create_index(op.f("ix_own_objects_object_key"), "own_objects", ["object_key"], unique=False)
    op.create_index(
        op.f("ix_own_objects_study_instance_uid"), "own_objects", ["study_instance_uid"], unique=False
    )


def _associations() -> None:
    op.create_table(
        "associations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("calling_ae_title", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(), nullable=False),
        sa.Column("closed_at", sa.DateTime(), nullable=True),
        sa.Column("end", sa.String(), nullable=True),
        sa.CheckConstraint(
            "\"end\" IN ('released', 'aborted', 'timeout', 'restart')", name=op.f("ck_associations_end_known")
        ),
        sa.CheckConstraint(
            '(closed_at IS NULL) = ("end" IS NULL)', name=op.f("ck_associations_closed_with_end")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_associations")),
    )
    op.create_index(
        "ix_associations_open",
        "associations",
        ["id"],
        unique=False,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )


def _association_series() -> None:
    op.create_table(
        "association_series",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("association_id", sa.Integer(), nullable=False),
        sa.Column("last_arrival_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["association_id"], ["associations.id"], name=op.f("fk_association_series_association_id")
        ),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name=op.f("fk_association_series_series_id")),
        sa.PrimaryKeyConstraint("series_id", "association_id", name=op.f("pk_association_series")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_association_series_association_id", "association_series", ["association_id"], unique=False
    )


def _sender_gaps() -> None:
    op.create_table(
        "sender_gaps",
        sa.Column("calling_ae_title", sa.String(), nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("calling_ae_title", "bucket", name=op.f("pk_sender_gaps")),
        sqlite_with_rowid=False,
    )


def _refused_callers() -> None:
    op.create_table(
        "refused_callers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("calling_ae_title", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_callers")),
        sa.UniqueConstraint(
            "calling_ae_title", "address", name=op.f("uq_refused_callers_calling_ae_title_address")
        ),
    )
    op.create_index(op.f("ix_refused_callers_last_at"), "refused_callers", ["last_at"], unique=False)
