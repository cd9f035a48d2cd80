"""Which version of a model is the active one, by whose decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select

from node.store.acts import record_act
from node.store.database import Database
from node.store.schema_models import promotions


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """One decision."""

    name: str
    version: int
    by: str
    reason: str
    at: datetime


class PromotionRecords:
    """Promotions of model versions; the last one of a name is in force."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def promote(self, name: str, version: int, by: str, reason: str) -> None:
        """Make a version the active one of its name, from the next screening on; audited.

        Raises
        ------
        StoreError
            Name or reason is empty.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            record_act(
                connection, at=now, by=by, action="promote", subject=f"{name}:{version}", reason=reason
            )
            connection.execute(
                insert(promotions).values(
                    name=name, version=version, by=by.strip(), reason=reason.strip(), at=now
                )
            )

    def active(self, name: str) -> int | None:
        """Return the version that was promoted last; None when none ever was."""
        query = select(promotions.c.version).where(promotions.c.name == name)
        with self._database.read() as connection:
            return connection.execute(query.order_by(promotions.c.id.desc()).limit(1)).scalar()

    def history(self, name: str) -> list[Promotion]:
        """Return the promotions of a name, newest first."""
        query = select(promotions).where(promotions.c.name == name).order_by(promotions.c.id.desc())
        with self._database.read() as connection:
            return [
                Promotion(name=row.name, version=row.version, by=row.by, reason=row.reason, at=row.at)
                for row in connection.execute(query)
            ]
