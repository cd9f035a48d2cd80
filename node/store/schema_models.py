"""The tables of the models: which were seen, which version is active, which server may answer with it."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, String, Table, Text

from node.store.columns import UtcDateTime, metadata

models = Table(
    "models",
    metadata,
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("spec_sha256", String, nullable=False),
    Column("weights_sha256", String, nullable=False),
    Column("first_seen_at", UtcDateTime, nullable=False),
)

# The last row of a name says which version of it is active.
promotions = Table(
    "promotions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("by", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    CheckConstraint("version >= 1", name="version_from_one"),
    CheckConstraint("\"by\" != '' AND reason != ''", name="somebody_with_reason"),
    Index("ix_promotions_name", "name", "id"),
)

acceptances = Table(
    "acceptances",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("url", String, nullable=False),
    Column("server_version", String, nullable=False),
    Column("model_name", String, nullable=False),
    Column("model_version", Integer, nullable=False),
    Column("spec_sha256", String, nullable=False),
    Column("weights_sha256", String, nullable=False),
    Column("precision", String, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("by", String, nullable=False),
    CheckConstraint("\"by\" != ''", name="somebody"),
    Index("ix_acceptances_model", "url", "model_name", "model_version"),
)
