"""The outbox: one row an object and destination."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from node.domain.delivery import DELIVERY, LONGEST_LOOK, Delivery, DeliveryEvent, DeliveryState
from node.domain.errors import UnknownSubject
from node.domain.result import ResultKind
from node.domain.study import AsideReason, StudyState
from node.store import rows
from node.store.acts import record_act
from node.store.breakers import close_breaker
from node.store.database import Database
from node.store.schema import asides, deliveries, open_destinations, result_objects, studies
from node.store.versions import KIND_RANK, is_in_force, may_be_sent


class OutboxRecords:
    """Deliveries and what became of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, destination: str, *, limit: int, least_tried: bool = False) -> list[Delivery]:
        """Take deliveries that are due; no two couriers get the same.

        Nothing of a study that is held or of which an object waits for its comparison, nothing for a
        destination that is not live or is halted. In the order of making: study by study, heatmaps before the
        report that references them.

        Parameters
        ----------
        destination : str
        limit : int
            How many at most.
        least_tried : bool
            Take first what was tried least.
        """
        now = self._database.clock.now()
        order = (deliveries.c.attempts, deliveries.c.id) if least_tried else (deliveries.c.id,)
        due = _claimable(destination, now).order_by(*order).limit(limit)
        with self._database.read() as connection:
            if connection.execute(due).first() is None:
                return []
        with self._database.write() as connection:
            chosen = list(connection.execute(due).scalars())
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id.in_(chosen))
                .values(
                    state=DELIVERY.step(DeliveryState.PENDING, DeliveryEvent.CLAIM),
                    attempts=deliveries.c.attempts + 1,
                    changed_at=now,
                )
            )
            query = rows.select_deliveries().where(deliveries.c.id.in_(chosen)).order_by(deliveries.c.id)
            return [rows.delivery(row) for row in connection.execute(query).mappings()]

    def may_leave(self, delivery_id: int) -> bool:
        """Whether a claimed delivery may still be sent: a stop, a hold or a correction may have come."""
        query = _leaving().where(
            deliveries.c.id == delivery_id, deliveries.c.state == DeliveryState.SENDING, may_be_sent()
        )
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def accepted(self, delivery_id: int, detail: str) -> None:
        """Record that the destination answered with success; its proof is due at once."""
        now = self._database.clock.now()
        values = {"due_at": now, "accepted_at": now, "answer": detail, "asked": 0, "missing": False}
        self._step(delivery_id, DeliveryEvent.ACCEPT, detail, **values)

    def delivered(self, delivery_id: int, detail: str, proof: str) -> None:
        """Record that the destination has the object, by an answer that proves it."""
        values = {"accepted_at": self._database.clock.now(), "answer": detail, "proof": proof}
        self._step(delivery_id, DeliveryEvent.SUCCESS, detail, **values)

    def refuse(self, delivery_id: int, detail: str) -> None:
        """Record that the object will not get there by itself; an operator must look."""
        self._step(delivery_id, DeliveryEvent.REFUSE, detail)

    def retry(self, delivery_id: int, due_at: datetime, detail: str) -> None:
        """Let a delivery wait for its next attempt; one that was overtaken meanwhile is cancelled."""
        now = self._database.clock.now()
        with self._database.write() as connection:
            row = _row(connection, delivery_id)
            _send_later(connection, row, DeliveryEvent.RETRY, due_at=due_at, now=now, detail=detail)

    def give_back(self, delivery_ids: Collection[int], detail: str) -> None:
        """Make claimed deliveries due again that were not tried: no attempt of theirs is used up."""
        now = self._database.clock.now()
        with self._database.write() as connection:
            for delivery_id in delivery_ids:
                row = _row(connection, delivery_id)
                _send_later(
                    connection, row, DeliveryEvent.RETRY, due_at=row["due_at"], now=now, detail=detail
                )
                connection.execute(
                    update(deliveries)
                    .where(deliveries.c.id == delivery_id)
                    .values(attempts=deliveries.c.attempts - 1)
                )

    def recover(self, destination: str | None = None) -> int:
        """Make due what was claimed and is not being sent any more; returns how many.

        The destination may have such an object already; it gets the same bytes under the same UID.

        Parameters
        ----------
        destination : str, optional
            Whose deliveries; by default every destination's, when the node starts. Then what waits for its
            next attempt is due too: the clock may have been set back from the time that it waits for.
        """
        now = self._database.clock.now()
        if destination is None:
            self._make_due(now)
        query = _with_force().where(deliveries.c.state == DeliveryState.SENDING)
        if destination is not None:
            query = query.where(deliveries.c.destination == destination)
        with self._database.read() as connection:
            if connection.execute(query).first() is None:
                return 0
        with self._database.write() as connection:
            found = connection.execute(query).mappings().all()
            for row in found:
                _send_later(connection, row, DeliveryEvent.RESTART, due_at=now, now=now, detail=row["detail"])
        return len(found)

    def release(
        self,
        study_id: int,
        destination: str,
        by: str,
        reason: str,
        *,
        model_names: Collection[str] | None = None,
        kinds: Collection[ResultKind] = tuple(ResultKind),
    ) -> int:
        """Send the results in force of a study to a destination, by an operator's order.

        What is withheld or refused becomes due, rejection notes too, and objects that have no row for the
        destination get one; what was sent or delivered is not sent again. Nothing leaves before the
        destination is live; one that was left alone is called at once.

        Parameters
        ----------
        study_id : int
        destination : str
        by, reason : str
            For the audit trail.
        model_names : collection of str, optional
            Only results of these models; by default of all.
        kinds : collection of ResultKind, optional
            What the destination takes; by default everything.

        Returns
        -------
        int
            How many deliveries became due.
        """
        now = self._database.clock.now()
        objects = select(result_objects.c.id).where(
            result_objects.c.study_id == study_id,
            result_objects.c.kind.in_(kinds),
            is_in_force(model_names),
        )
        with self._database.write() as connection:
            if connection.execute(select(studies.c.id).where(studies.c.id == study_id)).first() is None:
                raise UnknownSubject(f"there is no study {study_id}; see `studies list`")
            close_breaker(connection, destination)
            subject = f"study {study_id} to {destination}"
            record_act(connection, at=now, by=by, action="send", subject=subject, reason=reason)
            changed = connection.execute(
                update(deliveries)
                .where(
                    or_(deliveries.c.object_id.in_(objects), deliveries.c.object_id.in_(_notes(study_id))),
                    deliveries.c.destination == destination,
                    deliveries.c.state.in_(DELIVERY.sources(DeliveryEvent.RELEASE)),
                )
                .values(**_begun_anew(now))
            ).rowcount
            return changed + _add_missing(connection, objects, destination, now)

    def counts(self) -> dict[tuple[str, DeliveryState], int]:
        """Return how many deliveries stand in each state, by destination."""
        query = select(deliveries.c.destination, deliveries.c.state, func.count()).group_by(
            deliveries.c.state,
            deliveries.c.destination,  # in the order of an index, which alone is read
        )
        with self._database.read() as connection:
            return {(name, DeliveryState(state)): count for name, state, count in connection.execute(query)}

    def for_study(self, study_id: int) -> list[Delivery]:
        """Return every delivery of a study in the order of making."""
        query = rows.select_deliveries().where(result_objects.c.study_id == study_id)
        with self._database.read() as connection:
            return [
                rows.delivery(row) for row in connection.execute(query.order_by(deliveries.c.id)).mappings()
            ]

    def next_due(self) -> datetime | None:
        """Return when the next delivery to an open destination is due; None when none is pending."""
        query = (
            select(func.min(deliveries.c.due_at))
            .join(open_destinations, open_destinations.c.destination == deliveries.c.destination)
            .where(deliveries.c.state == DeliveryState.PENDING, ~open_destinations.c.halted)
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def _make_due(self, now: datetime) -> None:
        too_late = or_(
            and_(deliveries.c.state == DeliveryState.PENDING, deliveries.c.due_at > now),
            and_(deliveries.c.state == DeliveryState.SENT, deliveries.c.due_at > now + LONGEST_LOOK),
        )
        with self._database.write() as connection:
            connection.execute(update(deliveries).where(too_late).values(due_at=now))

    def _step(self, delivery_id: int, event: DeliveryEvent, detail: str, **values: object) -> None:
        changes = {"due_at": None, "detail": detail, "changed_at": self._database.clock.now(), **values}
        with self._database.write() as connection:
            state = DELIVERY.step(DeliveryState(_row(connection, delivery_id)["state"]), event)
            connection.execute(
                update(deliveries).where(deliveries.c.id == delivery_id).values(state=state, **changes)
            )


def is_open() -> ColumnElement[bool]:
    """Return the condition that the destination of ``deliveries`` is live and not halted."""
    return exists().where(
        and_(open_destinations.c.destination == deliveries.c.destination, ~open_destinations.c.halted)
    )


def _notes(study_id: int) -> Select[tuple[int]]:
    """Return the query of what takes results of a study back; a refused one is sent again like any other."""
    return select(result_objects.c.id).where(
        result_objects.c.study_id == study_id, result_objects.c.kind == ResultKind.REJECTION
    )


def _begun_anew(now: datetime) -> dict[str, object]:
    """Return the values of a delivery that an operator sends again: due, with all of its attempts."""
    return {
        "state": DeliveryState.PENDING,
        "due_at": now,
        "tried_before": or_(deliveries.c.tried_before, deliveries.c.attempts > 0),
        "attempts": 0,
        "losses": 0,
        "changed_at": now,
    }


def _add_missing(connection: Connection, objects: Select[tuple[int]], destination: str, now: datetime) -> int:
    """Write a due row for each object that has none for the destination; returns how many."""
    present = exists().where(
        deliveries.c.object_id == result_objects.c.id,
        deliveries.c.destination == destination,
        deliveries.c.state != DeliveryState.CANCELLED,
    )
    missing = objects.where(~present).order_by(KIND_RANK, result_objects.c.object_index)
    rows_to_write = [
        {
            "object_id": object_id,
            "destination": destination,
            "state": DeliveryState.PENDING,
            "due_at": now,
            "changed_at": now,
        }
        for object_id in connection.execute(missing).scalars()
    ]
    if rows_to_write:
        connection.execute(insert(deliveries), rows_to_write)
    return len(rows_to_write)


def _claimable(destination: str, now: datetime) -> Select[tuple[int]]:
    return _leaving().where(
        deliveries.c.state == DeliveryState.PENDING,
        deliveries.c.destination == destination,
        # What was written later than now waits for a time that the clock was set back from.
        or_(deliveries.c.due_at <= now, deliveries.c.changed_at > now),
    )


def _leaving() -> Select[tuple[int]]:
    """Return the query of deliveries that nobody and nothing forbids."""
    # What takes results back leaves whatever the study is held for.
    is_rejection = result_objects.c.kind == ResultKind.REJECTION
    in_question = exists().where(
        and_(asides.c.study_id == studies.c.id, asides.c.reason == AsideReason.TO_COMPARE)
    )
    return (
        select(deliveries.c.id)
        .join(result_objects, result_objects.c.id == deliveries.c.object_id)
        .join(studies, studies.c.id == result_objects.c.study_id)
        .where(or_(is_rejection, and_(studies.c.state != StudyState.HELD, ~in_question)), is_open())
    )


def _with_force() -> Select[tuple[object, ...]]:
    return select(deliveries, may_be_sent().label("in_force")).join(
        result_objects, result_objects.c.id == deliveries.c.object_id
    )


def _row(connection: Connection, delivery_id: int) -> RowMapping:
    found = connection.execute(_with_force().where(deliveries.c.id == delivery_id)).mappings().first()
    if found is None:
        raise UnknownSubject(f"there is no delivery {delivery_id}")
    return found


def _send_later(
    connection: Connection,
    row: RowMapping,
    event: DeliveryEvent,
    *,
    due_at: datetime,
    now: datetime,
    detail: str,
) -> None:
    """Make a delivery pending again; one whose version is out of force goes on to be cancelled."""
    state = DELIVERY.step(DeliveryState(row["state"]), event)
    if not row["in_force"]:
        state = DELIVERY.step(state, DeliveryEvent.CANCEL)
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id == row["id"])
        .values(
            state=state,
            due_at=None if state is DeliveryState.CANCELLED else due_at,
            detail=detail,
            changed_at=now,
        )
    )
