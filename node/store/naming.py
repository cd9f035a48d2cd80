"""Which rows name which object files, and how a file goes that no row names any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, select, union_all

from node.store.database import Database
from node.store.object_files import LocalObjectFiles
from node.store.schema import asides, instances, own_objects, result_objects
from node.store.schema_metadata import object_metadata

NAMING_TABLES = (instances, asides, own_objects, result_objects)


def is_named(connection: Connection, key: str) -> bool:
    """Whether any row names the object file."""
    query = union_all(*(select(table.c.id).where(table.c.object_key == key) for table in NAMING_TABLES))
    return connection.execute(query.limit(1)).first() is not None


def named(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Return those among the keys of object files that any row names."""
    queries = (select(table.c.object_key).where(table.c.object_key.in_(keys)) for table in NAMING_TABLES)
    return set(connection.execute(union_all(*queries)).scalars())


def drop_unnamed(database: Database, files: LocalObjectFiles, keys: Iterable[str]) -> int:
    """Remove the files among ``keys`` that no row names, and their metadata; returns how many files.

    Runs after the transaction that took the rows away, so a crash in between leaves a file too many and never
    one too few. The write lock keeps an arrival of the same bytes from being indexed meanwhile; the intake
    looks for the file under the same lock.
    """
    with database.write(after_sync=True) as connection:
        return sum(drop_if_unnamed(connection, files, key) for key in keys)


def drop_if_unnamed(connection: Connection, files: LocalObjectFiles, key: str) -> bool:
    """Remove a file that no row names, and its metadata, inside a write transaction; whether it went."""
    if is_named(connection, key):
        return False
    connection.execute(delete(object_metadata).where(object_metadata.c.object_key == key))
    files.delete(key)
    return True
