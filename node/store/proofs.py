"""What was accepted and is not proven yet: what was asked of the destinations, and what they said."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Update,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from node.domain.delivery import (
    CLASS_NOT_COMMITTED,
    DELIVERY,
    LONGEST_LOOK,
    NO_SUCH_OBJECT,
    Delivery,
    DeliveryEvent,
    DeliveryState,
)
from node.domain.errors import UnknownSubject
from node.store import rows
from node.store.database import Database
from node.store.inserting import insert_row
from node.store.outbox import is_open
from node.store.schema import deliveries, result_objects
from node.store.schema_delivery import commitment_deliveries, commitments
from node.store.versions import may_be_sent

COMMITMENT = "storage commitment"
"""How a delivery was proven of which an event report said that the destination keeps it (PS3.4 annex J)."""


class ProofRecords:
    """Deliveries that a destination accepted, until it is proven that they arrived.

    Two may speak of one delivery at the same time, the courier that asked and an event report that came in:
    the first one counts, and what a delivery has become meanwhile is never changed by the second.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def unproven(self, destination: str, *, limit: int) -> list[Delivery]:
        """Return deliveries whose proof is due, the longest due first, all asked about equally often.

        None for a destination that is not live or is halted.
        """
        due = and_(self._due(destination), ~deliveries.c.missing)
        first = select(deliveries.c.asked).where(due).order_by(deliveries.c.due_at, deliveries.c.id).limit(1)
        with self._database.read() as connection:
            asked = connection.execute(first).scalar()
            if asked is None:
                return []
            return _deliveries(connection, and_(due, deliveries.c.asked == asked), limit)

    def missing(self, destination: str, *, limit: int) -> list[Delivery]:
        """Return deliveries of which an event report said that the destination does not have them."""
        with self._database.read() as connection:
            return _deliveries(connection, and_(self._due(destination), deliveries.c.missing), limit)

    def asking(self, transaction_uid: str, destination: str, delivery_ids: Collection[int]) -> None:
        """Record that a destination is going to be asked; its answer may come at any later time."""
        with self._database.write() as connection:
            commitment_id = insert_row(
                connection,
                commitments,
                transaction_uid=transaction_uid,
                destination=destination,
                asked_at=self._database.clock.now(),
            )
            asked_about = [{"commitment_id": commitment_id, "delivery_id": item} for item in delivery_ids]
            connection.execute(insert(commitment_deliveries), asked_about)

    def asked(self, transaction_uid: str, *, answered: bool, forget: bool) -> None:
        """Record what became of a question.

        Parameters
        ----------
        transaction_uid : str
        answered : bool
            Whether nothing more is to come.
        forget : bool
            The destination could not be asked at all: there was no question.
        """
        of_transaction = commitments.c.transaction_uid == transaction_uid
        about = select(commitments.c.id).where(of_transaction).scalar_subquery()
        with self._database.write() as connection:
            if forget:
                connection.execute(
                    delete(commitment_deliveries).where(commitment_deliveries.c.commitment_id == about)
                )
                connection.execute(delete(commitments).where(of_transaction))
            elif answered:
                connection.execute(
                    update(commitments)
                    .where(of_transaction, commitments.c.answered_at.is_(None))
                    .values(answered_at=self._database.clock.now())
                )

    def is_answered(self, transaction_uid: str) -> bool:
        """Whether a destination has reported on what it was asked under this transaction."""
        query = select(commitments.c.answered_at).where(commitments.c.transaction_uid == transaction_uid)
        with self._database.read() as connection:
            return connection.execute(query).scalar() is not None

    def proven(self, delivery_id: int, method: str, detail: str) -> bool:
        """Record that an object is proven to have arrived; return whether that is new."""
        with self._database.write() as connection:
            return self._prove(connection, delivery_id, method, detail)

    def look_again(self, delivery_id: int, due_at: datetime, detail: str, *, asked: int) -> None:
        """Let a delivery wait for its next proof, unless an event report called it missing meanwhile.

        Parameters
        ----------
        delivery_id : int
        due_at : datetime
        detail : str
            What was answered.
        asked : int
            How often it was asked about without an answer, this time included.
        """
        change = _still_sent(delivery_id).where(~deliveries.c.missing)
        values = {
            "due_at": due_at,
            "detail": detail,
            "asked": asked,
            "changed_at": self._database.clock.now(),
        }
        with self._database.write() as connection:
            connection.execute(change.values(values))

    def give_time(self, delivery_id: int, due_at: datetime, detail: str) -> None:
        """Let a destination look again for what it did not find: it may only be late to know of it.

        Parameters
        ----------
        delivery_id : int
        due_at : datetime
        detail : str
            What was answered.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            connection.execute(
                _still_sent(delivery_id).values(due_at=due_at, detail=detail, missing=False, changed_at=now)
            )

    def lost(self, delivery_id: int, due_at: datetime | None, detail: str) -> None:
        """Record that the destination does not have what it accepted.

        Parameters
        ----------
        delivery_id : int
        due_at : datetime or None
            When it is sent again; None when it was sent often enough and an operator must look.
        detail : str
        """
        query = (
            select(deliveries.c.id, deliveries.c.state, may_be_sent().label("in_force"))
            .join(result_objects, result_objects.c.id == deliveries.c.object_id)
            .where(deliveries.c.id == delivery_id, deliveries.c.state == DeliveryState.SENT)
        )
        event = DeliveryEvent.REFUSE if due_at is None else DeliveryEvent.LOSE
        state = DELIVERY.step(DeliveryState.SENT, event)
        with self._database.write() as connection:
            row = connection.execute(query).first()
            if row is None:
                return
            if not row.in_force:
                state = DELIVERY.step(state, DeliveryEvent.CANCEL)
            _forget_questions(connection, delivery_id)
            connection.execute(
                _still_sent(delivery_id).values(
                    state=state,
                    due_at=due_at if state is DeliveryState.PENDING else None,
                    detail=detail,
                    asked=0,
                    missing=False,
                    losses=deliveries.c.losses + 1,
                    accepted_at=None,
                    changed_at=self._database.clock.now(),
                )
            )

    def committed(
        self,
        transaction_uid: str,
        *,
        destinations: Collection[str],
        succeeded: Collection[str],
        failed: Mapping[str, int],
    ) -> int:
        """Take in an event report of storage commitment (PS3.4 J.3.3); the same one again changes nothing.

        Only what was asked under this transaction, and was not sent again since, is concerned: instances
        that are named besides are ignored. What failed because there is no such object is sent again by the
        courier, in its time; what failed otherwise is asked about again.

        Parameters
        ----------
        transaction_uid : str
        destinations : collection of str
            The names of the destinations that the calling application entity stands for.
        succeeded : collection of str
            SOP Instance UIDs that the destination keeps.
        failed : mapping of str to int
            SOP Instance UIDs with the Failure Reason (0008,1197), PS3.3 C.14.1.1.

        Returns
        -------
        int
            How many deliveries were proven by it.

        Raises
        ------
        UnknownSubject
            These destinations were not asked under this transaction.
        """
        query = select(commitments.c.id).where(
            commitments.c.transaction_uid == transaction_uid, commitments.c.destination.in_(destinations)
        )
        with self._database.write() as connection:
            commitment_id = connection.execute(query).scalar()
            if commitment_id is None:
                raise UnknownSubject(
                    "an event report of storage commitment names a transaction under which this destination "
                    "was not asked; nothing is taken from it"
                )
            connection.execute(
                update(commitments)
                .where(commitments.c.id == commitment_id, commitments.c.answered_at.is_(None))
                .values(answered_at=self._database.clock.now())
            )
            return sum(
                self._answered(connection, row, succeeded, failed)
                for row in _questioned(connection, commitment_id)
            )

    def oldest(self, destination: str) -> datetime | None:
        """Return when the longest unproven delivery was accepted; None when everything accepted is proven."""
        query = select(func.min(deliveries.c.accepted_at)).where(
            deliveries.c.state == DeliveryState.SENT, deliveries.c.destination == destination
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def _due(self, destination: str) -> ColumnElement[bool]:
        now = self._database.clock.now()
        return and_(
            deliveries.c.state == DeliveryState.SENT,
            deliveries.c.destination == destination,
            # What waits longer than anything may waits for a time that the clock was set back from.
            or_(deliveries.c.due_at <= now, deliveries.c.due_at > now + LONGEST_LOOK),
            is_open(),
        )

    def _answered(
        self, connection: Connection, row: RowMapping, succeeded: Collection[str], failed: Mapping[str, int]
    ) -> int:
        """Note what an event report says of one delivery; return 1 when it is proven by it."""
        uid = row["sop_instance_uid"]
        if uid in failed:  # also where it is named as kept: who contradicts himself has proven nothing
            reason = failed[uid]
            now = self._database.clock.now()
            changes: dict[str, object] = {"asked": 0}  # it did answer: a query cannot overrule it
            if reason == NO_SUCH_OBJECT:
                changes = {"missing": True, "due_at": now}
            elif reason == CLASS_NOT_COMMITTED:
                changes = {}
            detail = f"not committed: failure reason {reason:04X}H"
            connection.execute(_still_sent(row["id"]).values(detail=detail, changed_at=now, **changes))
            return 0
        return int(uid in succeeded and self._prove(connection, row["id"], COMMITMENT, "committed"))

    def _prove(self, connection: Connection, delivery_id: int, method: str, detail: str) -> bool:
        changed = connection.execute(
            _still_sent(delivery_id).values(
                state=DELIVERY.step(DeliveryState.SENT, DeliveryEvent.PROVE),
                due_at=None,
                detail=detail,
                proof=method,
                missing=False,
                changed_at=self._database.clock.now(),
            )
        )
        return changed.rowcount == 1


def _deliveries(connection: Connection, condition: ColumnElement[bool], limit: int) -> list[Delivery]:
    query = (
        rows.select_deliveries().where(condition).order_by(deliveries.c.due_at, deliveries.c.id).limit(limit)
    )
    return [rows.delivery(row) for row in connection.execute(query).mappings()]


def _questioned(connection: Connection, commitment_id: int) -> list[RowMapping]:
    """Return the deliveries that a transaction asks about and that wait for their proof."""
    query = (
        select(deliveries.c.id, result_objects.c.sop_instance_uid)
        .join(commitment_deliveries, commitment_deliveries.c.delivery_id == deliveries.c.id)
        .join(result_objects, result_objects.c.id == deliveries.c.object_id)
        .where(
            commitment_deliveries.c.commitment_id == commitment_id,
            deliveries.c.state == DeliveryState.SENT,
        )
    )
    return list(connection.execute(query).mappings())


def _still_sent(delivery_id: int) -> Update:
    """Return the change of a delivery that still waits for its proof."""
    return update(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.state == DeliveryState.SENT)


def _forget_questions(connection: Connection, delivery_id: int) -> None:
    """What was asked about an object before it was lost says nothing of the one that is sent again."""
    connection.execute(
        delete(commitment_deliveries).where(commitment_deliveries.c.delivery_id == delivery_id)
    )
