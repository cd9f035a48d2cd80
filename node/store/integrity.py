"""Whether the index names what lies on the disk, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Table, select

from node.domain.errors import ObjectMissing
from node.store.naming import NAMING_TABLES, is_named
from node.store.store import Store

BATCH = 500  # rows read at a time


class ProblemKind(StrEnum):
    """What is wrong with one object file."""

    MISSING = "missing"
    """A row names it and it is not there: restore it from a backup."""
    DAMAGED = "damaged"
    """Its bytes have another digest or size than the row says: restore it from a backup."""
    ORPHAN = "orphan"
    """No row names it: it was never acknowledged, or not removed before a crash."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One finding of the check."""

    kind: ProblemKind
    key: str
    """Name of the object file."""
    table: str
    """The table whose row names it; empty for an orphan."""


def check(store: Store) -> list[Problem]:
    """Read every object file and compare it with the rows; takes as long as the disk needs.

    A node may run meanwhile: what it takes away during the check is no problem, and what it is just receiving
    may be listed as an orphan.
    """
    problems = []
    for table in NAMING_TABLES:
        for key, size in _named(store, table):
            kind = _judge(store, key, size)
            if kind is not None and _is_named(store, key):
                problems.append(Problem(kind=kind, key=key, table=table.name))
    problems.extend(
        Problem(kind=ProblemKind.ORPHAN, key=key, table="")
        for key in sorted(store.files.names())
        if not _is_named(store, key)
    )
    return problems


def _judge(store: Store, key: str, size: int) -> ProblemKind | None:
    try:
        whole = store.files.path(key).stat().st_size == size and store.files.verify(key)
    except (ObjectMissing, FileNotFoundError):
        return ProblemKind.MISSING
    return None if whole else ProblemKind.DAMAGED


def _is_named(store: Store, key: str) -> bool:
    with store.database.read() as connection:
        return is_named(connection, key)


def _named(store: Store, table: Table) -> Iterator[tuple[str, int]]:
    """Return names and sizes in batches: a long transaction would keep SQLite's journal from shrinking."""
    last = 0
    query = select(table.c.id, table.c.object_key, table.c.size).order_by(table.c.id).limit(BATCH)
    while True:
        with store.database.read() as connection:
            batch = connection.execute(query.where(table.c.id > last)).all()
        for row in batch:
            yield row.object_key, row.size
        if len(batch) < BATCH:
            return
        last = batch[-1].id
