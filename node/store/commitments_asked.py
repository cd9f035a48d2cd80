"""Storage commitment that peers ask of this node: what is asked, what is decided, what is reported."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, case, delete, exists, func, insert, or_, select, update

from node.domain.commitment import (
    COMMITTED,
    PROCESSING_FAILURE,
    REQUEST,
    AskedInstance,
    InstanceFacts,
    OpenRequest,
    RequestEvent,
    RequestState,
)
from node.domain.errors import TooManyRequests, TransactionInUse, UnknownSubject
from node.domain.study import AsideReason
from node.store.commitment_rows import (
    change,
    commit,
    decide_if_all,
    facts_of,
    is_promised,
    listed,
    put,
    reopen,
    request_of,
)
from node.store.database import Database
from node.store.inserting import insert_row
from node.store.schema import asides, instances
from node.store.schema_announced import asked_instances, commitment_relays, commitment_requests

LONGEST_PAUSE = timedelta(hours=1)
"""A request is looked at again after this long at the latest."""
MOST_OPEN = 256
"""Requests of one peer that may wait at a time: a scanner asks once for a study."""


def protected() -> Select[Any]:
    """Return the query of the SOP Instance UIDs that must not be removed from here.

    Peers delete what this node has committed itself to, and what is asked for may be committed any moment.
    """
    return select(asked_instances.c.sop_instance_uid).where(
        or_(asked_instances.c.outcome.is_(None), is_promised())
    )


class CommitmentRecords:
    """Requests for storage commitment, each until the peer has acknowledged its report."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, transaction_uid: str, calling_ae_title: str, asked: Collection[AskedInstance]) -> int:
        """Record a request; return its number. The same request again is decided on and reported again.

        Raises
        ------
        TransactionInUse
            The peer has asked for other instances under this transaction.
        TooManyRequests
            Too many of its requests wait already.
        """
        now = self._database.clock.now()
        by_uid = {item.sop_instance_uid: item.sop_class_uid for item in asked}
        query = select(commitment_requests.c.id, commitment_requests.c.state).where(
            commitment_requests.c.transaction_uid == transaction_uid,
            commitment_requests.c.calling_ae_title == calling_ae_title,
        )
        with self._database.write() as connection:
            row = connection.execute(query).first()
            if row is not None:
                if listed(connection, row.id) != by_uid:
                    raise TransactionInUse("this transaction was asked for with other instances")
                reopen(connection, row.id, RequestState(row.state), now)
                return int(row.id)
            self._require_room(connection, calling_ae_title)
            number = insert_row(
                connection,
                commitment_requests,
                transaction_uid=transaction_uid,
                calling_ae_title=calling_ae_title,
                state=RequestState.OPEN,
                received_at=now,
                due_at=now,
                changed_at=now,
            )
            rows = [
                {"request_id": number, "sop_instance_uid": uid, "sop_class_uid": sop_class}
                for uid, sop_class in by_uid.items()
            ]
            connection.execute(insert(asked_instances), rows)
            return number

    def due(self, state: RequestState, *, limit: int) -> list[OpenRequest]:
        """Return the requests in a state whose time has come, the longest due first."""
        now = self._database.clock.now()
        query = (
            select(commitment_requests)
            # What was received later than now, or waits longer than anything may, was so before the clock was
            # set back.
            .where(
                commitment_requests.c.state == state,
                or_(
                    commitment_requests.c.due_at <= now,
                    commitment_requests.c.due_at > now + LONGEST_PAUSE,
                    commitment_requests.c.received_at > now,
                ),
            )
            .order_by(commitment_requests.c.due_at, commitment_requests.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [request_of(row) for row in connection.execute(query)]

    def get(self, request_id: int) -> OpenRequest:
        """Return one request.

        Raises
        ------
        UnknownSubject
        """
        query = select(commitment_requests).where(commitment_requests.c.id == request_id)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise UnknownSubject(f"there is no request for storage commitment {request_id}")
        return request_of(row)

    def undecided(self, request_id: int) -> list[InstanceFacts]:
        """Return what the decisions on the instances of a request depend on that are still to be made."""
        uid = asked_instances.c.sop_instance_uid
        beside = exists().where(asides.c.sop_instance_uid == uid)
        judged = asides.c.reason.not_in((AsideReason.TO_COMPARE, AsideReason.REPLACED))
        query = (
            select(
                uid,
                asked_instances.c.sop_class_uid.label("asked_class"),
                asked_instances.c.verified_key,
                instances.c.sop_class_uid,
                instances.c.object_key,
                beside.where(asides.c.reason == AsideReason.TO_COMPARE).label("waiting"),
                beside.where(judged).label("judged"),
            )
            .outerjoin(instances, instances.c.sop_instance_uid == uid)
            .where(asked_instances.c.request_id == request_id, asked_instances.c.outcome.is_(None))
            .order_by(uid)
        )
        with self._database.read() as connection:
            return [facts_of(row) for row in connection.execute(query)]

    def verified(self, request_id: int, keys: Mapping[str, str]) -> None:
        """Record which object files were read and found whole, by SOP Instance UID."""
        with self._database.write() as connection:
            for uid, key in keys.items():
                put(connection, request_id, [uid], verified_key=key)

    def fail(self, request_id: int, reasons: Mapping[str, int]) -> None:
        """Record that instances are not committed, by SOP Instance UID with the Failure Reason (0008,1197).

        With the last decision the report is due.
        """
        with self._database.write() as connection:
            for reason in set(reasons.values()):
                failed = [uid for uid, why in reasons.items() if why == reason]
                put(connection, request_id, failed, outcome=reason)
            decide_if_all(connection, request_id, self._database.clock.now())

    def commit(self, request_id: int, uids: Collection[str]) -> int:
        """Record that this node commits itself to instances; return to how many.

        None whose verified file is in force no more, or in doubt. With the last decision the report is due.
        """
        with self._database.write() as connection:
            kept = commit(connection, request_id, uids)
            decide_if_all(connection, request_id, self._database.clock.now())
            return kept

    def bring_back(self, request_id: int) -> None:
        """Let a request wait from now on that was received later, before the clock was set back."""
        now = self._database.clock.now()
        with self._database.write() as connection:
            change(connection, request_id, now, received_at=now, due_at=now)

    def wait(self, request_id: int, due_at: datetime, detail: str = "") -> None:
        """Look at a request again later."""
        with self._database.write() as connection:
            change(connection, request_id, self._database.clock.now(), due_at=due_at, detail=detail)

    def state(self, request_id: int) -> RequestState:
        """Return where a request stands."""
        query = select(commitment_requests.c.state).where(commitment_requests.c.id == request_id)
        with self._database.read() as connection:
            return RequestState(connection.execute(query).scalar_one())

    def number(self, transaction_uid: str, calling_ae_title: str) -> int:
        """Return the number of a request.

        Raises
        ------
        UnknownSubject
        """
        query = select(commitment_requests.c.id).where(
            commitment_requests.c.transaction_uid == transaction_uid,
            commitment_requests.c.calling_ae_title == calling_ae_title,
        )
        with self._database.read() as connection:
            found = connection.execute(query).scalar()
        if found is None:
            raise UnknownSubject("this peer has asked for no commitment under this transaction")
        return int(found)

    def outcomes(self, request_id: int) -> dict[AskedInstance, int]:
        """Return what is to be reported of each instance of a request; nothing unless all are decided on.

        What was committed to and is no more in force, because an operator has put another object in its
        place, has failed: the peer must not take that one for its own.
        """
        uid = asked_instances.c.sop_instance_uid
        stands = or_(
            asked_instances.c.outcome != COMMITTED, asked_instances.c.verified_key == instances.c.object_key
        )
        query = (
            select(
                uid,
                asked_instances.c.sop_class_uid,
                case((stands, asked_instances.c.outcome), else_=PROCESSING_FAILURE).label("outcome"),
            )
            .join(commitment_requests, commitment_requests.c.id == asked_instances.c.request_id)
            .outerjoin(instances, instances.c.sop_instance_uid == uid)
            .where(
                asked_instances.c.request_id == request_id,
                commitment_requests.c.state == RequestState.DECIDED,
            )
            .order_by(uid)
        )
        with self._database.read() as connection:
            return {
                AskedInstance(
                    sop_class_uid=row.sop_class_uid, sop_instance_uid=row.sop_instance_uid
                ): row.outcome
                for row in connection.execute(query)
            }

    def not_reported(self, request_id: int, due_at: datetime, detail: str) -> None:
        """Record that the peer did not acknowledge its report."""
        with self._database.write() as connection:
            change(
                connection,
                request_id,
                self._database.clock.now(),
                due_at=due_at,
                detail=detail,
                attempts=commitment_requests.c.attempts + 1,
            )

    def ended(
        self, request_id: int, event: RequestEvent, detail: str, *, received_at: datetime | None = None
    ) -> None:
        """Record that a decided request was reported, or that it no longer will be.

        Nothing is changed when the peer has asked again meanwhile: by ``received_at``, also where that is
        decided by now, for it may be decided otherwise.
        """
        state = REQUEST.step(RequestState.DECIDED, event)
        still = commitment_requests.c.state == RequestState.DECIDED
        if received_at is not None:
            still &= commitment_requests.c.received_at == received_at
        with self._database.write() as connection:
            connection.execute(
                update(commitment_requests)
                .where(commitment_requests.c.id == request_id, still)
                .values(state=state, detail=detail, changed_at=self._database.clock.now())
            )

    def relaying(self, request_id: int, transaction_uid: str, destination: str) -> None:
        """Record that an archive is going to be asked; its report may come at any later time."""
        with self._database.write() as connection:
            connection.execute(
                insert(commitment_relays).values(
                    transaction_uid=transaction_uid,
                    request_id=request_id,
                    destination=destination,
                    asked_at=self._database.clock.now(),
                )
            )

    def not_relayed(self, transaction_uid: str) -> None:
        """Forget a question that did not reach the archive."""
        with self._database.write() as connection:
            connection.execute(
                delete(commitment_relays).where(commitment_relays.c.transaction_uid == transaction_uid)
            )

    def relaying_since(self, request_id: int) -> datetime | None:
        """Return when an archive was last asked that has not answered yet."""
        query = select(func.max(commitment_relays.c.asked_at)).where(
            commitment_relays.c.request_id == request_id, commitment_relays.c.answered_at.is_(None)
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def relayed(
        self, transaction_uid: str, *, destinations: Collection[str], committed: Collection[str]
    ) -> int:
        """Take in what an archive has committed itself to; return how many instances are decided by it.

        Only instances of the request are concerned whose files in force were verified before. What the
        archive did not commit itself to stays undecided, and is asked for again.

        Raises
        ------
        UnknownSubject
            These destinations were not asked under this transaction.
        """
        query = select(commitment_relays.c.request_id).where(
            commitment_relays.c.transaction_uid == transaction_uid,
            commitment_relays.c.destination.in_(destinations),
        )
        now = self._database.clock.now()
        with self._database.write() as connection:
            request_id = connection.execute(query).scalar()
            if request_id is None:
                raise UnknownSubject("this destination was not asked for a commitment under this transaction")
            connection.execute(
                update(commitment_relays)
                .where(commitment_relays.c.transaction_uid == transaction_uid)
                .values(answered_at=now)
            )
            kept = commit(connection, request_id, committed)
            decide_if_all(connection, request_id, now)
            return kept

    def counts(self) -> dict[RequestState, int]:
        """Return how many requests are in each state."""
        query = select(commitment_requests.c.state, func.count()).group_by(commitment_requests.c.state)
        with self._database.read() as connection:
            return {RequestState(state): count for state, count in connection.execute(query)}

    def _require_room(self, connection: Connection, calling_ae_title: str) -> None:
        waiting = select(func.count()).where(
            commitment_requests.c.calling_ae_title == calling_ae_title,
            commitment_requests.c.state.in_((RequestState.OPEN, RequestState.DECIDED)),
        )
        if connection.execute(waiting).scalar_one() >= MOST_OPEN:
            raise TooManyRequests("too many requests for storage commitment of this peer wait already")
