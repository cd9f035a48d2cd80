"""The tables of proof and withdrawal: what was asked of destinations, how they fare, what was taken back."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text

from node.domain.result import Withdrawal
from node.store.columns import RemoteText, UtcDateTime, metadata, one_of

# One storage commitment transaction (PS3.4 annex J): written before the destination is asked, for its answer
# may come on another association at once.
commitments = Table(
    "commitments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("transaction_uid", String, nullable=False, unique=True),
    Column("destination", String, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
    Index("ix_commitments_asked_at", "asked_at"),
)

commitment_deliveries = Table(
    "commitment_deliveries",
    metadata,
    Column("commitment_id", ForeignKey("commitments.id"), primary_key=True),
    Column("delivery_id", ForeignKey("deliveries.id"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)

# How a destination fares: after several failures in a row it is left alone until a time.
breakers = Table(
    "breakers",
    metadata,
    Column("destination", String, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("open_until", UtcDateTime),
    Column("detail", Text, nullable=False, server_default=""),
    Column("changed_at", UtcDateTime, nullable=False),
    CheckConstraint("failures >= 0", name="failures_not_negative"),
)

# A version that was taken back; a rejection note goes to whoever may have its objects.
withdrawals = Table(
    "withdrawals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version_id", ForeignKey("result_versions.id"), nullable=False, unique=True),
    Column("title", String, nullable=False),
    Column("by", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    # The rejection note; NULL until it is made, or where no object had left.
    Column("object_id", ForeignKey("result_objects.id"), index=True),
    Column("noted_at", UtcDateTime),
    one_of("title", Withdrawal),
    CheckConstraint("\"by\" != '' AND reason != ''", name="somebody_with_reason"),
    Index("ix_withdrawals_noted", "noted_at", "id"),
)

# Patient and study attributes under which the results of a study are issued, by an operator's order.
study_overrides = Table(
    "study_overrides",
    metadata,
    Column("study_id", ForeignKey("studies.id"), primary_key=True),
    Column("keyword", String, primary_key=True),
    Column("value", RemoteText, nullable=False),
    Column("by", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    CheckConstraint("\"by\" != '' AND reason != ''", name="somebody_with_reason"),
    sqlite_with_rowid=False,
)
