"""The tables of retention: what stays by order, what was removed, and what must stay known of it."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from node.domain.result import ResultState
from node.domain.retention import Extent
from node.store.columns import UtcDateTime, metadata, one_of

# An operator's order that no rule removes a study.
retention_holds = Table(
    "retention_holds",
    metadata,
    Column("study_id", ForeignKey("studies.id"), primary_key=True),
    Column("by", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    CheckConstraint("\"by\" != '' AND reason != ''", name="somebody_with_reason"),
)

# What was removed, by StudyInstanceUID: its row may be gone. Nothing of the patient stands here.
removals = Table(
    "removals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_instance_uid", String, nullable=False, index=True),
    Column("extent", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("instances", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    one_of("extent", Extent),
    Index("ix_removals_at", "at"),
)

# Object files whose rows are gone and which are to go themselves; written with the transaction that took the
# rows, so that a stop in between leaves nothing behind.
removed_files = Table(
    "removed_files",
    metadata,
    Column("object_key", String, primary_key=True),
    sqlite_with_rowid=False,
)

# Versions of removed studies: a study that comes again goes on from them.
removed_versions = Table(
    "removed_versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_instance_uid", String, nullable=False),
    Column("model_name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("recipe", String, nullable=False),
    Column("state", String, nullable=False),
    # Of its report; a version that comes later names it as its predecessor.
    Column("sop_class_uid", String, nullable=False),
    Column("sop_instance_uid", String, nullable=False),
    Column("series_instance_uid", String, nullable=False),
    UniqueConstraint("study_instance_uid", "model_name", "version"),
    one_of("state", ResultState),
)

# UIDs that were issued with certain bytes and are never issued with others.
removed_results = Table(
    "removed_results",
    metadata,
    Column("sop_instance_uid", String, primary_key=True),
    Column("study_instance_uid", String, nullable=False, index=True),
    Column("sha256", String, nullable=False),
    sqlite_with_rowid=False,
)
