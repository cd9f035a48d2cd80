"""Deliveries, open destinations, the audit trail and known models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _deliveries()
    _open_destinations()
    _audit()
    _models()


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("object_id", sa.Integer(), nullable=False),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "state != 'pending' OR due_at IS NOT NULL", name=op.f("ck_deliveries_pending_with_due")
        ),
        sa.CheckConstraint(
            "\"state\" IN ('withheld', 'pending', 'sending', 'delivered', 'refused', 'cancelled')",
            name=op.f("ck_deliveries_state_known"),
        ),
        sa.ForeignKeyConstraint(["object_id"], ["result_objects.id"], name=op.f("fk_deliveries_object_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_object_id"), "deliveries", ["object_id"], unique=False)
    op.create_index("ix_deliveries_state", "deliveries", ["state", "destination", "id"], unique=False)
    op.create_index(
        "uq_deliveries_once",
        "deliveries",
        ["object_id", "destination"],
        unique=True,
        sqlite_where=sa.text("state != 'cancelled'"),
        postgresql_where=sa.text("state != 'cancelled'"),
    )


def _open_destinations() -> None:
    op.create_table(
        "open_destinations",
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("halted", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("destination", name=op.f("pk_open_destinations")),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint("\"by\" != '' AND reason != ''", name=op.f("ck_audit_somebody_with_reason")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("spec_sha256", sa.String(), nullable=False),
        sa.Column("weights_sha256", sa.String(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_models")),
    )
