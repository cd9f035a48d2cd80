"""Performed procedure steps, and storage commitments asked of this node; the verdicts that rest on them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COLUMNS = {
    "series": "id, study_id, series_instance_uid, modality, series_number, series_description, state, "
    "verdict, verdict_reason, instance_count, first_arrival_at, last_arrival_at, calling_ae_title, "
    "not_before",
    "series_choices": "screening_id, ordinal, series_instance_uid, series_number, series_description, "
    "modality, instance_count, state, verdict, verdict_reason, chosen, eligible, reason",
}
VERDICTS = (
    "\"verdict\" IN ('procedure-step', 'archive', 'geometry', 'quiet', 'by-hand', 'cap', 'discontinued')"
)
STATES = "\"state\" IN ('receiving', 'complete', 'incomplete')"


def upgrade() -> None:
    """Apply."""
    _rebuild()
    _announcements()
    _requests()
    # What was set aside is looked up by the instance that it is like.
    op.create_index(op.f("ix_asides_sop_instance_uid"), "asides", ["sop_instance_uid"], unique=False)


def _rebuild() -> None:
    # SQLite cannot change a check: the tables are made anew. What refers to a series finds it again before
    # the transaction ends.
    op.execute("PRAGMA defer_foreign_keys = ON")
    for table, make in (("series", _series), ("series_choices", _series_choices)):
        columns = COLUMNS[table]
        op.execute(f"CREATE TEMPORARY TABLE former_{table} AS SELECT {columns} FROM {table}")  # noqa: S608 -- names of this file
        op.drop_table(table)
        make()
        op.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM former_{table}")  # noqa: S608 -- names of this file
        op.execute(f"DROP TABLE former_{table}")


def _series() -> None:
    op.create_table(
        "series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.Column("modality", sa.String(), nullable=False),
        sa.Column("series_number", sa.Integer(), nullable=True),
        sa.Column("series_description", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("verdict_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.Column("first_arrival_at", sa.DateTime(), nullable=False),
        sa.Column("last_arrival_at", sa.DateTime(), nullable=False),
        sa.Column("calling_ae_title", sa.String(), nullable=False),
        sa.Column("not_before", sa.DateTime(), nullable=True),
        sa.Column("whole_lungs", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.CheckConstraint(
            "(state = 'receiving') = (verdict IS NULL) AND (verdict IS NULL OR verdict_reason != '')",
            name=op.f("ck_series_verdict_with_reason"),
        ),
        sa.CheckConstraint(STATES, name=op.f("ck_series_state_known")),
        sa.CheckConstraint(VERDICTS, name=op.f("ck_series_verdict_known")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_series_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint("series_instance_uid", name=op.f("uq_series_series_instance_uid")),
    )
    op.create_index("ix_series_state", "series", ["state"], unique=False)
    op.create_index(op.f("ix_series_study_id"), "series", ["study_id"], unique=False)


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
        sa.CheckConstraint(STATES, name=op.f("ck_series_choices_state_known")),
        sa.CheckConstraint(VERDICTS, name=op.f("ck_series_choices_verdict_known")),
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


def _announcements() -> None:
    op.create_table(
        "announcements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("calling_ae_title", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "\"source\" IN ('procedure-step', 'discontinued', 'availability', 'archive', 'commitment')",
            name=op.f("ck_announcements_source_known"),
        ),
        sa.CheckConstraint(
            "\"status\" IN ('in-progress', 'completed', 'discontinued', 'available')",
            name=op.f("ck_announcements_status_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcements")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_announcements_sop_instance_uid")),
    )
    op.create_table(
        "announced_instances",
        sa.Column("announcement_id", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["announcement_id"], ["announcements.id"], name=op.f("fk_announced_instances_announcement_id")
        ),
        sa.PrimaryKeyConstraint("announcement_id", "sop_instance_uid", name=op.f("pk_announced_instances")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_announced_instances_series_instance_uid"),
        "announced_instances",
        ["series_instance_uid"],
        unique=False,
    )


def _requests() -> None:
    op.create_table(
        "commitment_requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("transaction_uid", sa.String(), nullable=False),
        sa.Column("calling_ae_title", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "\"state\" IN ('open', 'decided', 'reported', 'abandoned')",
            name=op.f("ck_commitment_requests_state_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment_requests")),
    )
    for name, columns, unique in (
        ("uq_commitment_requests_asked", ["calling_ae_title", "transaction_uid"], True),
        ("ix_commitment_requests_state", ["state", "due_at"], False),
    ):
        op.create_index(name, "commitment_requests", columns, unique=unique)
    op.create_table(
        "asked_instances",
        sa.Column("request_id", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("sop_class_uid", sa.String(), nullable=False),
        sa.Column("verified_key", sa.String(), nullable=True),
        sa.Column("outcome", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "outcome IS NULL OR outcome != 0 OR verified_key IS NOT NULL",
            name=op.f("ck_asked_instances_committed_is_verified"),
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["commitment_requests.id"], name=op.f("fk_asked_instances_request_id")
        ),
        sa.PrimaryKeyConstraint("request_id", "sop_instance_uid", name=op.f("pk_asked_instances")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_asked_instances_sop_instance_uid"), "asked_instances", ["sop_instance_uid"], unique=False
    )
    op.create_table(
        "commitment_relays",
        sa.Column("transaction_uid", sa.String(), nullable=False),
        sa.Column("request_id", sa.Integer(), nullable=False),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.Column("answered_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["request_id"], ["commitment_requests.id"], name=op.f("fk_commitment_relays_request_id")
        ),
        sa.PrimaryKeyConstraint("transaction_uid", name=op.f("pk_commitment_relays")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_commitment_relays_request_id"), "commitment_relays", ["request_id"], unique=False
    )
