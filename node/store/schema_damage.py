"""The table of object files that were found missing or damaged when they were to be sent."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table

from node.store.columns import UtcDateTime, metadata

damaged_files = Table(
    "damaged_files",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("object_key", String, nullable=False, unique=True),
    Column("found_at", UtcDateTime, nullable=False),
)
