"""The courier: takes what is due from the outbox to its destination and notes what became of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from node.deliver.backoff import next_due
from node.domain.delivery import Delivery, OutgoingObject, SendReply
from node.domain.errors import DestinationUnavailable, ObjectMissing, UnknownSubject
from node.domain.network import Backoff
from node.domain.ports import Clock, ObjectFiles, Sender
from node.store.outbox import OutboxRecords

logger = logging.getLogger(__name__)

BATCH = 64
"""Deliveries claimed at a time: a result set has about a dozen objects."""


class Courier:
    """Brings deliveries to their destinations.

    Each destination is served by a call of its own, so that a dead one delays no other. Calls for one
    destination must not overlap.

    Parameters
    ----------
    outbox : OutboxRecords
        What is to be sent.
    files : ObjectFiles
        Where the objects lie.
    senders : mapping of str to Sender
        By name of the destination.
    clock : Clock
    backoff : Backoff
        When to try again.
    jitter : callable
        Returns a random number from 0 to 1.
    """

    def __init__(
        self,
        *,
        outbox: OutboxRecords,
        files: ObjectFiles,
        senders: Mapping[str, Sender],
        clock: Clock,
        backoff: Backoff,
        jitter: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._files = files
        self._senders = dict(senders)
        self._clock = clock
        self._backoff = backoff
        self._jitter = jitter

    @property
    def destinations(self) -> tuple[str, ...]:
        """Return the names of the destinations served."""
        return tuple(self._senders)

    def recover(self) -> int:
        """Give back what a stopped node had claimed; call once, before the first run. Returns how many.

        The peer may have such an object already: it has the same SOP Instance UID when it is sent again.
        """
        return self._outbox.recover()

    def run_once(self, destination: str) -> int:
        """Send what is due for one destination, in one association; return how many were delivered.

        What an earlier run claimed and could not note (a full disk) is sent again with the rest.

        Raises
        ------
        UnknownSubject
            There is no such destination.
        """
        sender = self._senders.get(destination)
        if sender is None:
            raise UnknownSubject(
                f"there is no destination {destination!r}; see [[destinations]] in the settings"
            )
        self._outbox.recover(destination)
        open_claims = {item.id: item for item in self._outbox.claim(destination, limit=BATCH)}
        if not open_claims:
            return 0
        delivered = 0
        try:
            outgoing = self._outgoing(open_claims)
            for reply in self._send(sender, outgoing):
                self._note(open_claims.pop(reply.delivery_id), reply)
                delivered += reply.delivered
        finally:
            for item in open_claims.values():
                self._try_again(item, "not sent: interrupted, or stopped, held or overtaken meanwhile")
        return delivered

    def _outgoing(self, claims: dict[int, Delivery]) -> list[OutgoingObject]:
        """Return the claimed objects that are there; the others are taken from ``claims`` and refused."""
        outgoing = []
        for item in list(claims.values()):
            try:
                path = self._files.path(item.object_key)
            except ObjectMissing as error:
                del claims[item.id]
                self._outbox.refuse(item.id, str(error))
                logger.error("delivery %d to %s: %s", item.id, item.destination, error)  # noqa: TRY400 -- told whole
                continue
            outgoing.append(
                OutgoingObject(
                    delivery_id=item.id,
                    kind=item.kind,
                    study_instance_uid=item.study_instance_uid,
                    series_instance_uid=item.series_instance_uid,
                    sop_class_uid=item.sop_class_uid,
                    sop_instance_uid=item.sop_instance_uid,
                    transfer_syntax_uid=item.transfer_syntax_uid,
                    path=path,
                )
            )
        return outgoing

    def _send(self, sender: Sender, outgoing: list[OutgoingObject]) -> list[SendReply]:
        if not outgoing:
            return []
        try:
            return sender.send(outgoing, may_leave=self._may_leave)
        except DestinationUnavailable as error:
            logger.warning("destination %s: %s", sender.name, error)
            return [
                SendReply(delivery_id=item.delivery_id, delivered=False, retryable=True, detail=str(error))
                for item in outgoing
            ]

    def _may_leave(self, item: OutgoingObject) -> bool:
        return self._outbox.may_leave(item.delivery_id)

    def _note(self, item: Delivery, reply: SendReply) -> None:
        if reply.delivered:
            self._outbox.delivered(item.id, reply.detail)
        elif reply.retryable:
            self._try_again(item, reply.detail)
        else:
            logger.error("delivery %d to %s refused: %s", item.id, item.destination, reply.detail)
            self._outbox.refuse(item.id, reply.detail)

    def _try_again(self, item: Delivery, detail: str) -> None:
        due_at = next_due(
            self._clock.now(),
            attempts=item.attempts,
            backoff=self._backoff,
            jitter_value=self._jitter(),
        )
        if due_at is None:
            logger.error("delivery %d to %s given up: %s", item.id, item.destination, detail)
            self._outbox.refuse(item.id, f"given up after {item.attempts} attempts: {detail}")
        else:
            self._outbox.retry(item.id, due_at, detail)
