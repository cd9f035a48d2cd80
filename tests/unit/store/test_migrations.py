from __future__ import annotations

import sqlite3

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from node.store import schema, schema_models
from node.store.database import Database


def definitions(path) -> dict[str, list[str]]:
    """Every table and index with its clauses; the order of constraints means nothing."""
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {name: sorted(clauses(sql)) for name, sql in found if not name.startswith("alembic")}


def clauses(sql: str) -> list[str]:
    """The parts of a statement between its outermost commas, and what stands about them."""
    parts, depth = [""], 0
    for character in " ".join(sql.split()):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 1:
            parts.append("")
        else:
            parts[-1] += character
    head, _, first = parts[0].partition("(")
    last, _, tail = parts[-1].rpartition(")")
    parts = [first, *parts[1:-1], last] if len(parts) > 1 else [parts[0]]
    return [head.strip(), tail.strip(), *(part.strip() for part in parts)]


def test_the_migrations_make_the_schema(tmp_path, clock):
    database = Database.open(f"sqlite:///{tmp_path / 'migrated.sqlite'}", clock=clock)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    database.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'made.sqlite'}")
    schema_models.metadata.create_all(engine)
    engine.dispose()
    made, migrated = definitions(tmp_path / "made.sqlite"), definitions(tmp_path / "migrated.sqlite")
    assert migrated == made
    assert len(made) > 20


def test_opening_again_changes_nothing(tmp_path, clock):
    path = tmp_path / "index.sqlite"
    for _ in range(2):
        Database.open(f"sqlite:///{path}", clock=clock).close()
        before = definitions(path)
    assert definitions(path) == before
