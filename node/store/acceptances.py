"""Which inference server has shown that it answers as the export did."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import insert, select

from node.domain.model import Acceptance
from node.store.acts import record_act
from node.store.database import Database
from node.store.schema_models import acceptances


class AcceptanceRecords:
    """Golden replays that a site's own server has passed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, acceptance: Acceptance, by: str, reason: str) -> None:
        """Remember a passed replay; audited.

        Raises
        ------
        StoreError
            Name or reason is empty.
        """
        now = self._database.clock.now()
        subject = f"{acceptance.model_name}:{acceptance.model_version} at {acceptance.url}"
        with self._database.write() as connection:
            record_act(connection, at=now, by=by, action="accept", subject=subject, reason=reason)
            connection.execute(insert(acceptances).values(**asdict(acceptance), by=by.strip(), at=now))

    def accepted(
        self,
        url: str,
        model_name: str,
        model_version: int,
        *,
        spec_sha256: str,
        weights_sha256: str,
        precision: str,
    ) -> bool:
        """Whether this server has passed the replay of just these bytes at this precision."""
        query = select(acceptances.c.id).where(
            acceptances.c.url == url,
            acceptances.c.model_name == model_name,
            acceptances.c.model_version == model_version,
            acceptances.c.spec_sha256 == spec_sha256,
            acceptances.c.weights_sha256 == weights_sha256,
            acceptances.c.precision == precision,
        )
        with self._database.read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def history(self) -> list[Acceptance]:
        """Return what was accepted, newest first."""
        names = [acceptances.c[name] for name in Acceptance.__dataclass_fields__]
        with self._database.read() as connection:
            found = connection.execute(select(*names).order_by(acceptances.c.id.desc())).mappings()
            return [Acceptance(**row) for row in found]
