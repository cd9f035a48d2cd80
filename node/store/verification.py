"""How far the object files are verified: in the order of their names, round after round."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from node.store.database import Database
from node.store.naming import NAMING_TABLES
from node.store.schema import instances
from node.store.schema_damage import verification

ONLY: Final = 1
"""Number of the one row."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One reading of all files."""

    position: str
    """Name of the file that was read last; empty at the beginning."""
    began_at: datetime

    @property
    def share(self) -> float:
        """How much is read: names are digests, so files lie evenly between the first and the last name."""
        return int(self.position[:8] or "0", 16) / (1 << 32)


class VerificationRecords:
    """Remembers where a round is, so that a restart goes on there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def current(self) -> Round | None:
        """Return the round; None before the first one."""
        with self._database.read() as connection:
            row = connection.execute(select(verification).where(verification.c.id == ONLY)).first()
        return Round(position=row.position, began_at=row.began_at) if row is not None else None

    def save(self, current: Round) -> None:
        """Remember how far it is."""
        values = {"position": current.position, "began_at": current.began_at}
        with self._database.write() as connection:
            connection.execute(
                upsert(verification)
                .values(id=ONLY, **values)
                .on_conflict_do_update(index_elements=[verification.c.id], set_=values)
            )

    def following(self, position: str, limit: int) -> list[tuple[str, int]]:
        """Return names and sizes of the files after a name, in their order."""
        found: dict[str, int] = {}
        with self._database.read() as connection:
            for table in NAMING_TABLES:
                key = table.c.object_key
                query = select(key, table.c.size).where(key > position).order_by(key).limit(limit)
                found |= {row.object_key: row.size for row in connection.execute(query)}
        return sorted(found.items())[:limit]

    def newest(self) -> int:
        """Return the number of the instance that came last."""
        with self._database.read() as connection:
            return connection.execute(select(func.max(instances.c.id))).scalar() or 0
