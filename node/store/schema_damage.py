"""The tables of object files that were found missing or damaged, and of how far they are verified."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table

from node.store.columns import UtcDateTime, metadata

damaged_files = Table(
    "damaged_files",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("object_key", String, nullable=False, unique=True),
    Column("found_at", UtcDateTime, nullable=False),
    # Which state of the file had another digest; null where its absence or size told.
    Column("stamp", String),
)
verification = Table(
    "verification",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("position", String, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
)
