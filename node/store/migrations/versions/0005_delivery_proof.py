"""More kinds of results, deliveries with their proof, withdrawals, breakers and overridden attributes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = {
    "result_objects": "id, study_id, kind, object_index, sop_class_uid, sop_instance_uid, "
    "series_instance_uid, transfer_syntax_uid, object_key, sha256, size",
    "version_objects": "version_id, object_id",
    "deliveries": "id, object_id, destination, state, attempts, due_at, detail, changed_at",
}


def upgrade() -> None:
    """Apply."""
    _rebuild()
    _commitments()
    _breakers()
    _withdrawals()
    _study_overrides()


def _rebuild() -> None:
    # SQLite cannot change a check: the tables are made anew, with those that refer to them.
    for table, columns in COLUMNS.items():
        op.execute(f"CREATE TEMPORARY TABLE former_{table} AS SELECT {columns} FROM {table}")  # noqa: S608 -- names of this file
    for table in reversed(COLUMNS):
        op.drop_table(table)
    _result_objects()
    _version_objects()
    _deliveries()
    for table, columns in COLUMNS.items():
        op.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM former_{table}")  # noqa: S608 -- names of this file
        op.execute(f"DROP TABLE former_{table}")
    # What was called delivered was accepted only: its proof is due.
    op.execute(
        "UPDATE deliveries SET state = 'sent', accepted_at = changed_at, due_at = changed_at, "
        "answer = detail WHERE state = 'delivered'"
    )


def _result_objects() -> None:
    op.create_table(
        "result_objects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("object_index", sa.Integer(), nullable=False),
        sa.Column("sop_class_uid", sa.String(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(), nullable=False),
        sa.Column("object_key", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "\"kind\" IN ('heatmap', 'parametric-map', 'summary', 'report', 'key-objects', 'rejection')",
            name=op.f("ck_result_objects_kind_known"),
        ),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_result_objects_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_result_objects")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_result_objects_sop_instance_uid")),
    )
    op.create_index(op.f("ix_result_objects_object_key"), "result_objects", ["object_key"], unique=False)
    op.create_index(op.f("ix_result_objects_study_id"), "result_objects", ["study_id"], unique=False)


def _version_objects() -> None:
    op.create_table(
        "version_objects",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("object_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["object_id"], ["result_objects.id"], name=op.f("fk_version_objects_object_id")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["result_versions.id"], name=op.f("fk_version_objects_version_id")
        ),
        sa.PrimaryKeyConstraint("version_id", "object_id", name=op.f("pk_version_objects")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_version_objects_object_id"), "version_objects", ["object_id"], unique=False)


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
        sa.Column("proof", sa.String(), server_default="", nullable=False),
        sa.Column("accepted_at", sa.DateTime(), nullable=True),
        sa.Column("answer", sa.Text(), server_default="", nullable=False),
        sa.Column("asked", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tried_before", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("missing", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("losses", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "\"state\" IN ('withheld', 'pending', 'sending', 'sent', 'delivered', 'refused', 'cancelled')",
            name=op.f("ck_deliveries_state_known"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('pending', 'sent') OR due_at IS NOT NULL",
            name=op.f("ck_deliveries_waiting_with_due"),
        ),
        sa.ForeignKeyConstraint(["object_id"], ["result_objects.id"], name=op.f("fk_deliveries_object_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_object_id"), "deliveries", ["object_id"], unique=False)
    op.create_index("ix_deliveries_state", "deliveries", ["state", "destination", "id"], unique=False)
    for name, column in (("ix_deliveries_unproven", "due_at"), ("ix_deliveries_accepted", "accepted_at")):
        op.create_index(
            name,
            "deliveries",
            ["destination", column],
            unique=False,
            sqlite_where=sa.text("state = 'sent'"),
            postgresql_where=sa.text("state = 'sent'"),
        )
    op.create_index(
        "uq_deliveries_once",
        "deliveries",
        ["object_id", "destination"],
        unique=True,
        sqlite_where=sa.text("state != 'cancelled'"),
        postgresql_where=sa.text("state != 'cancelled'"),
    )


def _commitments() -> None:
    op.create_table(
        "commitments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("transaction_uid", sa.String(), nullable=False),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.Column("answered_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitments")),
        sa.UniqueConstraint("transaction_uid", name=op.f("uq_commitments_transaction_uid")),
    )
    op.create_table(
        "commitment_deliveries",
        sa.Column("commitment_id", sa.Integer(), nullable=False),
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["commitment_id"], ["commitments.id"], name=op.f("fk_commitment_deliveries_commitment_id")
        ),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name=op.f("fk_commitment_deliveries_delivery_id")
        ),
        sa.PrimaryKeyConstraint("commitment_id", "delivery_id", name=op.f("pk_commitment_deliveries")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_commitment_deliveries_delivery_id"), "commitment_deliveries", ["delivery_id"], unique=False
    )


def _breakers() -> None:
    op.create_table(
        "breakers",
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("open_until", sa.DateTime(), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_breakers_failures_not_negative")),
        sa.PrimaryKeyConstraint("destination", name=op.f("pk_breakers")),
    )


def _withdrawals() -> None:
    op.create_table(
        "withdrawals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("object_id", sa.Integer(), nullable=True),
        sa.Column("noted_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint("\"by\" != '' AND reason != ''", name=op.f("ck_withdrawals_somebody_with_reason")),
        sa.CheckConstraint(
            "\"title\" IN ('patient-safety', 'quality')", name=op.f("ck_withdrawals_title_known")
        ),
        sa.ForeignKeyConstraint(["object_id"], ["result_objects.id"], name=op.f("fk_withdrawals_object_id")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["result_versions.id"], name=op.f("fk_withdrawals_version_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_withdrawals")),
        sa.UniqueConstraint("version_id", name=op.f("uq_withdrawals_version_id")),
    )
    op.create_index(op.f("ix_withdrawals_object_id"), "withdrawals", ["object_id"], unique=False)
    op.create_index("ix_withdrawals_noted", "withdrawals", ["noted_at", "id"], unique=False)


def _study_overrides() -> None:
    op.create_table(
        "study_overrides",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("keyword", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "\"by\" != '' AND reason != ''", name=op.f("ck_study_overrides_somebody_with_reason")
        ),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_study_overrides_study_id")),
        sa.PrimaryKeyConstraint("study_id", "keyword", name=op.f("pk_study_overrides")),
        sqlite_with_rowid=False,
    )
