"""What operators decide: which destinations are open, the audit trail, and which models were seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from node.domain.errors import HandshakeFailed
from node.store.acts import record_act
from node.store.breakers import close_breaker
from node.store.database import Database
from node.store.schema import audit, open_destinations
from node.store.schema_models import models


@dataclass(frozen=True, kw_only=True)
class Act:
    """One line of the audit trail."""

    at: datetime
    by: str
    """Who did it: an operator, or the AE title of a source with authority."""
    action: str
    subject: str
    reason: str


class OperationRecords:
    """Destinations that are open, acts of operators, models."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def go_live(self, destination: str, by: str, reason: str) -> None:
        """Open one destination, or open it again after a stop; what was withheld stays withheld.

        A destination that was left alone is called at once.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            record_act(connection, at=now, by=by, action="go-live", subject=destination, reason=reason)
            close_breaker(connection, destination)
            connection.execute(
                upsert(open_destinations)
                .values(destination=destination, halted=False, changed_at=now)
                .on_conflict_do_update(
                    index_elements=["destination"], set_={"halted": False, "changed_at": now}
                )
            )

    def stop(self, by: str, reason: str) -> None:
        """Halt every destination at once; each opens again by its own ``go_live``."""
        now = self._database.clock.now()
        with self._database.write() as connection:
            record_act(connection, at=now, by=by, action="stop", subject="every destination", reason=reason)
            connection.execute(update(open_destinations).values(halted=True, changed_at=now))

    def is_live(self, destination: str) -> bool:
        """Whether results may leave for the destination now."""
        return self.live().get(destination, False)

    def live(self) -> dict[str, bool]:
        """Return every destination that was ever opened, with whether results may leave for it now."""
        query = select(open_destinations).order_by(open_destinations.c.destination)
        with self._database.read() as connection:
            return {row.destination: not row.halted for row in connection.execute(query)}

    def halted(self) -> bool:
        """Whether a stop is in force and no destination has been opened since."""
        known = self.live()
        return bool(known) and not any(known.values())

    def audit(self, by: str, action: str, subject: str, reason: str) -> None:
        """Record an act that changes nothing in the index itself.

        Raises
        ------
        StoreError
            Name or reason is empty.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            record_act(connection, at=now, by=by, action=action, subject=subject, reason=reason)

    def audit_trail(self, limit: int = 100) -> list[Act]:
        """Return the newest acts, newest first."""
        query = select(audit).order_by(audit.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            return [
                Act(at=row.at, by=row.by, action=row.action, subject=row.subject, reason=row.reason)
                for row in connection.execute(query)
            ]

    def registered_models(self) -> list[tuple[str, int, str]]:
        """Return name, version and digest of the weights of every model that ever ran on this store."""
        query = select(models.c.name, models.c.version, models.c.weights_sha256).order_by(
            models.c.name, models.c.version
        )
        with self._database.read() as connection:
            return [(row.name, row.version, row.weights_sha256) for row in connection.execute(query)]

    def register_model(self, name: str, version: int, spec_sha256: str, weights_sha256: str) -> None:
        """Remember the digests of a model; a name and version stand for the same bytes for ever.

        Raises
        ------
        HandshakeFailed
            The name and version are known with other digests.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            query = select(models).where(models.c.name == name, models.c.version == version)
            found = connection.execute(query).first()
            if found is None:
                connection.execute(
                    insert(models).values(
                        name=name,
                        version=version,
                        spec_sha256=spec_sha256,
                        weights_sha256=weights_sha256,
                        first_seen_at=now,
                    )
                )
            elif (found.spec_sha256, found.weights_sha256) != (spec_sha256, weights_sha256):
                raise HandshakeFailed(
                    f"model {name} version {version} was seen with other bytes before; "
                    "a change of input needs a new name, a change of weights a new version"
                )
