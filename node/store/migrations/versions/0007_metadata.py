"""Metadata of instances for DICOMweb, written beside them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "object_metadata",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("object_key", sa.String(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_object_metadata")),
        sa.UniqueConstraint("object_key", name=op.f("uq_object_metadata_object_key")),
    )
    op.create_table(
        "metadata_progress",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("last_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_metadata_progress")),
        sqlite_with_rowid=False,
    )
