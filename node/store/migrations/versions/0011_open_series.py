"""Associations are found by their end: what is open, and what ended at a time to come."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_associations_closed_at", "associations", ["closed_at"])
    op.drop_index("ix_associations_open", "associations")
