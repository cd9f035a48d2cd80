"""Destinations that failed and have not answered since; a restart forgets none of it."""

from __future__ import annotations

from sqlalchemy import Connection, RowMapping, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from node.domain.breaker import Failing
from node.store.database import Database
from node.store.schema_delivery import breakers


class BreakerRecords:
    """How destinations fare."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def failing(self, destination: str) -> Failing | None:
        """Return how a destination fares that failed last; None when it did not."""
        query = select(breakers).where(breakers.c.destination == destination)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _failing(row)

    def all_failing(self) -> dict[str, Failing]:
        """Return every destination that failed last, by name."""
        query = select(breakers).order_by(breakers.c.destination)
        with self._database.read() as connection:
            return {row["destination"]: _failing(row) for row in connection.execute(query).mappings()}

    def failed(self, failing: Failing) -> None:
        """Record one more failure of a destination."""
        values = {
            "failures": failing.failures,
            "open_until": failing.open_until,
            "detail": failing.detail,
            "changed_at": failing.changed_at,
        }
        with self._database.write() as connection:
            connection.execute(
                upsert(breakers)
                .values(destination=failing.destination, **values)
                .on_conflict_do_update(index_elements=["destination"], set_=values)
            )

    def answered(self, destination: str) -> None:
        """Record that a destination answers again."""
        with self._database.write() as connection:
            close_breaker(connection, destination)


def close_breaker(connection: Connection, destination: str) -> None:
    """Let a destination be called at once, whatever it did before."""
    connection.execute(delete(breakers).where(breakers.c.destination == destination))


def _failing(row: RowMapping) -> Failing:
    return Failing(
        destination=row["destination"],
        failures=row["failures"],
        open_until=row["open_until"],
        detail=row["detail"],
        changed_at=row["changed_at"],
    )
