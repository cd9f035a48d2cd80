"""Whether the index names what lies on the disk, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select

from node.domain.errors import ObjectMissing
from node.store.naming import NAMING_TABLES
from node.store.store import Store


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
    """Read every object file and compare it with the rows; takes as long as the disk needs."""
    problems: list[Problem] = []
    named: set[str] = set()
    for table, key, sha256, size in _named(store):
        named.add(key)
        try:
            whole = store.files.path(key).stat().st_size == size and sha256 == key and store.files.verify(key)
        except ObjectMissing:
            problems.append(Problem(kind=ProblemKind.MISSING, key=key, table=table))
            continue
        if not whole:
            problems.append(Problem(kind=ProblemKind.DAMAGED, key=key, table=table))
    problems.extend(
        Problem(kind=ProblemKind.ORPHAN, key=key, table="")
        for key in sorted(store.files.names())
        if key not in named
    )
    return problems


def _named(store: Store) -> Iterator[tuple[str, str, str, int]]:
    with store.database.read() as connection:
        for table in NAMING_TABLES:
            query = select(table.c.object_key, table.c.sha256, table.c.size).order_by(table.c.id)
            for row in connection.execute(query):
                yield table.name, row.object_key, row.sha256, row.size
