"""Screenings, findings, result versions and their objects."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _screenings()
    _findings()
    _series_choices()
    _slice_scores()
    _result_versions()
    _result_objects()
    _version_objects()


def _screenings() -> None:
    op.create_table(
        "screenings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("model_name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("queued_at", sa.DateTime(), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("worker", sa.String(), server_default="", nullable=False),
        sa.Column("lease_until", sa.DateTime(), nullable=True),
        sa.Column("study_revision", sa.Integer(), nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint("\"cause\" IN ('settled', 'reprocess')", name=op.f("ck_screenings_cause_known")),
        sa.CheckConstraint(
            "\"state\" IN ('queued', 'running', 'parked', 'done', 'failed', 'superseded', 'cancelled')",
            name=op.f("ck_screenings_state_known"),
        ),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_screenings_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_screenings")),
    )
    op.create_index("ix_screenings_state", "screenings", ["state", "queued_at"], unique=False)
    op.create_index(op.f("ix_screenings_study_id"), "screenings", ["study_id"], unique=False)
    op.create_index(
        "uq_screenings_active",
        "screenings",
        ["study_id", "model_name"],
        unique=True,
        sqlite_where=sa.text("state IN ('queued', 'running', 'parked')"),
        postgresql_where=sa.text("state IN ('queued', 'running', 'parked')"),
    )


def _findings() -> None:
    op.create_table(
        "findings",
        sa.Column("screening_id", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("run_outcome", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=True),
        sa.Column("selection_rule", sa.Text(), nullable=False),
        sa.Column("selection_threshold", sa.Text(), nullable=False),
        sa.Column("operating_point", sa.JSON(), nullable=True),
        sa.Column("model", sa.JSON(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("seconds", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "\"outcome\" IN ('positive', 'negative', 'undetermined', 'not-analysed')",
            name=op.f("ck_findings_outcome_known"),
        ),
        sa.CheckConstraint(
            "\"run_outcome\" IN ('succeeded', 'partially-succeeded', 'failed', 'not-attempted')",
            name=op.f("ck_findings_run_outcome_known"),
        ),
        sa.ForeignKeyConstraint(["screening_id"], ["screenings.id"], name=op.f("fk_findings_screening_id")),
        sa.PrimaryKeyConstraint("screening_id", name=op.f("pk_findings")),
    )


def _series_choices() -> None:
    op.create_table(
        "series_choices",
        sa.Column("screening_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.Column("series_number", sa.Integer(), nullable=True),
        sa.Column("series_description", sa.String(), nullable=False),
        sa.Column("modality", sa.String(), nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("verdict_reason", sa.Text(), nullable=False),
        sa.Column("chosen", sa.Boolean(), nullable=False),
        sa.Column("eligible", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "\"state\" IN ('receiving', 'complete', 'incomplete')", name=op.f("ck_series_choices_state_known")
        ),
        sa.CheckConstraint(
            "\"verdict\" IN ('geometry', 'quiet', 'by-hand', 'cap')",
            name=op.f("ck_series_choices_verdict_known"),
        ),
        sa.ForeignKeyConstraint(
            ["screening_id"], ["findings.screening_id"], name=op.f("fk_series_choices_screening_id")
        ),
        sa.PrimaryKeyConstraint("screening_id", "ordinal", name=op.f("pk_series_choices")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "uq_series_choices_chosen",
        "series_choices",
        ["screening_id"],
        unique=True,
        sqlite_where=sa.text("chosen"),
        postgresql_where=sa.text("chosen"),
    )


def _slice_scores() -> None:
    op.create_table(
        "slice_scores",
        sa.Column("screening_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sop_class_uid", sa.String(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("instance_number", sa.Integer(), nullable=True),
        sa.Column("position", sa.Float(), nullable=False),
        sa.Column("dark_count", sa.Integer(), nullable=False),
        sa.Column("selected", sa.Boolean(), nullable=False),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("positive", sa.Boolean(), nullable=False),
        sa.CheckConstraint("NOT positive OR selected", name=op.f("ck_slice_scores_positive_is_selected")),
        sa.CheckConstraint("probability BETWEEN 0 AND 1", name=op.f("ck_slice_scores_probability_range")),
        sa.ForeignKeyConstraint(
            ["screening_id"], ["findings.screening_id"], name=op.f("fk_slice_scores_screening_id")
        ),
        sa.PrimaryKeyConstraint("screening_id", "ordinal", name=op.f("pk_slice_scores")),
        sqlite_with_rowid=False,
    )


def _result_versions() -> None:
    op.create_table(
        "result_versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("model_name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("screening_id", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "\"state\" IN ('current', 'superseded', 'withdrawn')", name=op.f("ck_result_versions_state_known")
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_result_versions_version_from_one")),
        sa.ForeignKeyConstraint(
            ["screening_id"], ["screenings.id"], name=op.f("fk_result_versions_screening_id")
        ),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_result_versions_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_result_versions")),
        sa.UniqueConstraint("screening_id", name=op.f("uq_result_versions_screening_id")),
        sa.UniqueConstraint(
            "study_id", "model_name", "version", name=op.f("uq_result_versions_study_id_model_name_version")
        ),
    )
    op.create_index(
        "uq_result_versions_current",
        "result_versions",
        ["study_id", "model_name"],
        unique=True,
        sqlite_where=sa.text("state IN ('current')"),
        postgresql_where=sa.text("state IN ('current')"),
    )


def _result_objects() -> None:
    op.create_table(
        "result_objects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("object_index", sa.Integer(), nullable=False),
        sa.Column("sop_class_uid", sa.String(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(), nullable=False),
        sa.Column("object_key", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.CheckConstraint("\"kind\" IN ('report', 'heatmap')", name=op.f("ck_result_objects_kind_known")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_result_objects_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_result_objects")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_result_objects_sop_instance_uid")),
    )
    op.create_index(op.f("ix_result_objects_object_key"), "result_objects", ["object_key"], unique=False)
    op.create_index(op.f("ix_result_objects_study_id"), "result_objects", ["study_id"], unique=False)


def _version_objects() -> None:
    op.create_table(
        "version_objects",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("object_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["object_id"], ["result_objects.id"], name=op.f("fk_version_objects_object_id")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["result_versions.id"], name=op.f("fk_version_objects_version_id")
        ),
        sa.PrimaryKeyConstraint("version_id", "object_id", name=op.f("pk_version_objects")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_version_objects_object_id"), "version_objects", ["object_id"], unique=False)
