"""What grows with the years is forgotten by its age, and fetched again or counted by an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_commitments_asked_at", "commitments", ["asked_at"], unique=False)
    op.create_index("ix_screenings_purpose", "screenings", ["purpose", "state"], unique=False)
    incomplete = sa.text("state = 'incomplete'")
    op.create_index(
        "ix_series_incomplete",
        "series",
        ["state", "last_arrival_at"],
        unique=False,
        sqlite_where=incomplete,
        postgresql_where=incomplete,
    )
