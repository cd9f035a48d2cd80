"""What is fetched from other archives, and what they say they hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _pulls()
    _pull_series()
    _archives()


def _pulls() -> None:
    op.create_table(
        "pulls",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("archive", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("poll", sa.String(), server_default="", nullable=False),
        sa.Column("sought", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("\"cause\" IN ('asked', 'poll', 'missing')", name=op.f("ck_pulls_cause_known")),
        sa.CheckConstraint(
            "\"state\" IN ('searching', 'fetching', 'done', 'short', 'failed', 'cancelled')",
            name=op.f("ck_pulls_state_known"),
        ),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (state IN ('searching', 'fetching'))",
            name=op.f("ck_pulls_ended_with_time"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pulls")),
    )
    op.create_index(
        "ix_pulls_searching",
        "pulls",
        ["archive", "due_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('searching')"),
        postgresql_where=sa.text("state IN ('searching')"),
    )


def _pull_series() -> None:
    op.create_table(
        "pull_series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pull_id", sa.Integer(), nullable=False),
        sa.Column("archive", sa.String(), nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.Column("modality", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("expected", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint(
            "\"state\" IN ('waiting', 'done', 'short', 'cancelled')", name=op.f("ck_pull_series_state_known")
        ),
        sa.ForeignKeyConstraint(["pull_id"], ["pulls.id"], name=op.f("fk_pull_series_pull_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pull_series")),
        sa.UniqueConstraint(
            "pull_id", "series_instance_uid", name=op.f("uq_pull_series_pull_id_series_instance_uid")
        ),
    )
    op.create_index(
        "ix_pull_series_waiting",
        "pull_series",
        ["archive", "due_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('waiting')"),
        postgresql_where=sa.text("state IN ('waiting')"),
    )
    op.create_index("ix_pull_series_series_instance_uid", "pull_series", ["series_instance_uid"])


def _archives() -> None:
    op.create_table(
        "archive_counts",
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.Column("archive", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("polls", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("count >= 0 AND polls >= 1", name=op.f("ck_archive_counts_counted")),
        sa.PrimaryKeyConstraint("series_instance_uid", "archive", name=op.f("pk_archive_counts")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "polled_studies",
        sa.Column("poll", sa.String(), nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=True),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("poll", "study_instance_uid", name=op.f("pk_polled_studies")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_polled_studies_seen_at", "polled_studies", ["seen_at"])
    op.create_table(
        "archive_contacts",
        sa.Column("archive", sa.String(), nullable=False),
        sa.Column("answered_at", sa.DateTime(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_archive_contacts_failures_not_negative")),
        sa.PrimaryKeyConstraint("archive", name=op.f("pk_archive_contacts")),
    )
