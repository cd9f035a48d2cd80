"""Screenings of a version and a purpose, findings of a modality, promotions and accepted servers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _screenings()
    _findings()
    _promotions()
    _acceptances()


def _screenings() -> None:
    # Checks stand beside their columns: SQLite adds those without copying the table.
    op.add_column("screenings", sa.Column("model_version", sa.Integer(), server_default="0", nullable=False))
    op.add_column(
        "screenings",
        sa.Column(
            "purpose",
            sa.String(),
            sa.CheckConstraint(
                "\"purpose\" IN ('report', 'shadow')", name=op.f("ck_screenings_purpose_known")
            ),
            server_default="report",
            nullable=False,
        ),
    )
    op.drop_index("uq_screenings_active", table_name="screenings")
    op.create_index(
        "uq_screenings_active",
        "screenings",
        ["study_id", "model_name", "model_version", "purpose"],
        unique=True,
        sqlite_where=sa.text("state IN ('queued', 'running', 'parked')"),
        postgresql_where=sa.text("state IN ('queued', 'running', 'parked')"),
    )


def _findings() -> None:
    op.add_column(
        "findings",
        sa.Column(
            "modality",
            sa.String(),
            sa.CheckConstraint("\"modality\" IN ('CT', 'CR')", name=op.f("ck_findings_modality_known")),
            server_default="CT",
            nullable=False,
        ),
    )


def _promotions() -> None:
    op.create_table(
        "promotions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_promotions_version_from_one")),
        sa.CheckConstraint("\"by\" != '' AND reason != ''", name=op.f("ck_promotions_somebody_with_reason")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
    )
    op.create_index("ix_promotions_name", "promotions", ["name", "id"], unique=False)


def _acceptances() -> None:
    op.create_table(
        "acceptances",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("server_version", sa.String(), nullable=False),
        sa.Column("model_name", sa.String(), nullable=False),
        sa.Column("model_version", sa.Integer(), nullable=False),
        sa.Column("spec_sha256", sa.String(), nullable=False),
        sa.Column("weights_sha256", sa.String(), nullable=False),
        sa.Column("precision", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.CheckConstraint("\"by\" != ''", name=op.f("ck_acceptances_somebody")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acceptances")),
    )
    op.create_index(
        "ix_acceptances_model", "acceptances", ["url", "model_name", "model_version"], unique=False
    )
