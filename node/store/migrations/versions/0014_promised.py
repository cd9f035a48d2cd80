"""What a peer was told to be committed stays so when the peer asks for it again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "asked_instances", sa.Column("promised", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
