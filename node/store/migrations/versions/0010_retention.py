"""What is kept for ever, and what was removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _holds()
    _removals()
    _removed_versions()
    _removed_results()


def _holds() -> None:
    op.create_table(
        "retention_holds",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "\"by\" != '' AND reason != ''", name=op.f("ck_retention_holds_somebody_with_reason")
        ),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_retention_holds_study_id")),
        sa.PrimaryKeyConstraint("study_id", name=op.f("pk_retention_holds")),
    )


def _removals() -> None:
    op.create_table(
        "removals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("extent", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("instances", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.CheckConstraint("\"extent\" IN ('images', 'study')", name=op.f("ck_removals_extent_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removals")),
    )
    op.create_index("ix_removals_at", "removals", ["at"], unique=False)
    op.create_index(op.f("ix_removals_study_instance_uid"), "removals", ["study_instance_uid"], unique=False)
    op.create_table(
        "removed_files",
        sa.Column("object_key", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("object_key", name=op.f("pk_removed_files")),
        sqlite_with_rowid=False,
    )


def _removed_versions() -> None:
    op.create_table(
        "removed_versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("model_name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("sop_class_uid", sa.String(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.CheckConstraint(
            "\"state\" IN ('current', 'superseded', 'withdrawn')",
            name=op.f("ck_removed_versions_state_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removed_versions")),
        sa.UniqueConstraint(
            "study_instance_uid",
            "model_name",
            "version",
            name=op.f("uq_removed_versions_study_instance_uid_model_name_version"),
        ),
    )


def _removed_results() -> None:
    op.create_table(
        "removed_results",
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("sop_instance_uid", name=op.f("pk_removed_results")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_removed_results_study_instance_uid"), "removed_results", ["study_instance_uid"], unique=False
    )
