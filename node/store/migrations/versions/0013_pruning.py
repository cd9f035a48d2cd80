"""What is forgotten after a while is found by its end; how a study grew whose archive does not count."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_announcements_changed_at", "announcements", ["changed_at"], unique=False)
    op.create_index("ix_commitment_requests_changed_at", "commitment_requests", ["changed_at"], unique=False)
    ended = sa.text("ended_at IS NOT NULL")
    op.create_index(
        "ix_pulls_ended", "pulls", ["ended_at"], unique=False, sqlite_where=ended, postgresql_where=ended
    )
    op.add_column("polled_studies", sa.Column("counted", sa.Integer(), nullable=True))
    op.add_column("polled_studies", sa.Column("grown_at", sa.DateTime(), nullable=True))
