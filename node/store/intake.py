"""What peers did: associations, arrivals, refused callers."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from node.domain.network import RefusedCaller
from node.domain.study import Arrival, AssociationEnd, Intake
from node.store.admit import Admission, admit
from node.store.database import Database
from node.store.gaps import HALVE_AT, bucket_of
from node.store.inserting import insert_row
from node.store.intake_statements import CARRY, COUNT_GAP, WHO_HAS_UID
from node.store.naming import drop_unnamed
from node.store.object_files import LocalObjectFiles
from node.store.schema import (
    associations,
    own_objects,
    refused_callers,
    sender_gaps,
)
from node.store.together import Together

REFUSED_KEPT = 1000  # newest refused callers; anybody on the network can make a row


class IntakeRecords:
    """Arrivals and the associations they came by."""

    def __init__(self, database: Database, files: LocalObjectFiles) -> None:
        self._database = database
        self._files = files
        self._adding = Together(database, self._add)

    def association_opened(self, calling_ae_title: str, address: str) -> int:
        """Record an accepted association; returns its row.

        It becomes durable with what comes by it: nothing is acknowledged before, and the peer waits for no
        disk.
        """
        with self._database.commit() as transaction:
            return insert_row(
                transaction.connection,
                associations,
                calling_ae_title=calling_ae_title,
                address=address,
                opened_at=self._database.clock.now(),
            )

    def association_closed(self, association_id: int, end: AssociationEnd) -> None:
        """Record how an association ended; the first end counts."""
        with self._database.write() as connection:
            connection.execute(
                update(associations)
                .where(associations.c.id == association_id, associations.c.closed_at.is_(None))
                .values(closed_at=self._database.clock.now(), end=end)
            )

    def caller_refused(self, calling_ae_title: str, address: str, reason: str) -> None:
        """Record a caller that was not let in; the newest ``REFUSED_KEPT`` are kept."""
        now = self._database.clock.now()
        newest = upsert(refused_callers).values(
            calling_ae_title=calling_ae_title, address=address, reason=reason, attempts=1, last_at=now
        )
        with self._database.write() as connection:
            connection.execute(
                newest.on_conflict_do_update(
                    index_elements=["calling_ae_title", "address"],
                    set_={
                        "reason": reason,
                        "attempts": refused_callers.c.attempts + 1,
                        "last_at": now,
                    },
                )
            )
            kept = (
                select(refused_callers.c.id)
                .order_by(refused_callers.c.last_at.desc(), refused_callers.c.id.desc())
                .limit(REFUSED_KEPT)
            )
            count = connection.execute(select(func.count()).select_from(refused_callers)).scalar_one()
            if count > REFUSED_KEPT:
                connection.execute(delete(refused_callers).where(refused_callers.c.id.not_in(kept)))

    def refused_callers(self) -> list[RefusedCaller]:
        """Return who was not let in, newest first."""
        query = select(refused_callers).order_by(
            refused_callers.c.last_at.desc(), refused_callers.c.id.desc()
        )
        with self._database.read() as connection:
            return [
                RefusedCaller(
                    calling_ae_title=row["calling_ae_title"],
                    address=row["address"],
                    reason=row["reason"],
                    attempts=row["attempts"],
                    last_at=row["last_at"],
                )
                for row in connection.execute(query).mappings()
            ]

    def add(self, arrival: Arrival, *, own_device_uids: frozenset[str] = frozenset()) -> Intake:
        """Index an object whose bytes are durable; when this returns, the row is durable too.

        Parameters
        ----------
        arrival : Arrival
        own_device_uids : frozenset[str]
            Device UIDs (0018,1002) that this node writes into its results: the loop guard.

        Returns
        -------
        Intake

        Raises
        ------
        ObjectMissing
            The bytes are gone; the sender must send again.
        OutOfSpace, StoreError
        """
        intake = self._adding.do((arrival, own_device_uids))
        if intake is Intake.OWN:
            drop_unnamed(self._database, self._files, [arrival.object_key])
        return intake

    def _add(self, connection: Connection, work: tuple[Arrival, frozenset[str]]) -> Intake:
        arrival, own_device_uids = work
        self._files.path(arrival.object_key)  # nothing can remove it while the write lock is held
        (holder,) = WHO_HAS_UID.rows(connection, {"sop_instance_uid": arrival.header.sop_instance_uid})
        ours = holder["result_id"] is not None or not own_device_uids.isdisjoint(arrival.header.device_uids)
        if ours:
            _record_own(connection, arrival)
            return Intake.OWN
        admission = admit(connection, arrival, holder["instance_id"])
        _record_carrier(connection, arrival, admission)
        return admission.intake


def _record_own(connection: Connection, arrival: Arrival) -> None:
    """Count an own object that came back; one row and one file a SOP instance, however often it returns."""
    connection.execute(
        upsert(own_objects)
        .values(
            sop_instance_uid=arrival.header.sop_instance_uid,
            sop_class_uid=arrival.header.sop_class_uid,
            study_instance_uid=arrival.header.study_instance_uid,
            object_key=arrival.object_key,
            sha256=arrival.sha256,
            size=arrival.size,
            calling_ae_title=arrival.calling_ae_title,
            first_at=arrival.received_at,
            last_at=arrival.received_at,
            arrivals=1,
        )
        .on_conflict_do_update(
            index_elements=["sop_instance_uid"],
            set_={"last_at": arrival.received_at, "arrivals": own_objects.c.arrivals + 1},
        )
    )


def _record_carrier(connection: Connection, arrival: Arrival, admission: Admission) -> None:
    """Note by which association the series grows, and learn the sender's rhythm from it."""
    if admission.series_id is None or arrival.association_id is None:
        return
    CARRY.rows(
        connection,
        {
            "series_id": admission.series_id,
            "association_id": arrival.association_id,
            "last_arrival_at": arrival.received_at,
        },
    )
    if admission.carried_at is None:
        return
    sender = arrival.calling_ae_title
    bucket = bucket_of(arrival.received_at - admission.carried_at)
    (gap,) = COUNT_GAP.rows(connection, {"calling_ae_title": sender, "bucket": bucket})
    if gap["count"] >= HALVE_AT:
        connection.execute(
            update(sender_gaps)
            .where(sender_gaps.c.calling_ae_title == sender)
            .values(count=sender_gaps.c.count // 2)
        )
