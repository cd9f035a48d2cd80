"""The courier: takes what is due from the outbox to its destination and notes what became of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from node.decide.backoff import next_due
from node.deliver.breaker import after_failure, breaker_state
from node.deliver.outgoing import outgoing_object
from node.deliver.prover import Prover
from node.domain.breaker import BreakerState, Patience
from node.domain.delivery import Delivery, OutgoingObject, SendReply
from node.domain.errors import DestinationRefused, DestinationUnavailable, ObjectMissing, UnknownSubject
from node.domain.network import Backoff
from node.domain.ports import Clock, ObjectFiles, Sender
from node.store.breakers import BreakerRecords
from node.store.outbox import OutboxRecords

logger = logging.getLogger(__name__)

BATCH = 64
"""Deliveries claimed at a time: a result set has about a dozen objects."""

PROBE = 1
"""Deliveries that are risked on a destination that has just begun to answer again."""


class Courier:
    """Brings deliveries to their destinations, and asks for the proof that they arrived.

    Each destination is served by a call of its own, so that a dead one delays no other; one that cannot be
    reached several times in a row is left alone for a while. Calls for one destination must not overlap.

    Parameters
    ----------
    outbox : OutboxRecords
        What is to be sent.
    breakers : BreakerRecords
        Who cannot be reached.
    prover : Prover
        Asks for what was accepted.
    files : ObjectFiles
        Where the objects lie.
    senders : mapping of str to Sender
        By name of the destination.
    clock : Clock
    backoff : Backoff
        When to try again what a destination did not take.
    patience : Patience
        When to leave a destination alone.
    jitter : callable
        Returns a random number from 0 to 1.
    """

    def __init__(
        self,
        *,
        outbox: OutboxRecords,
        breakers: BreakerRecords,
        prover: Prover,
        files: ObjectFiles,
        senders: Mapping[str, Sender],
        clock: Clock,
        backoff: Backoff,
        patience: Patience,
        jitter: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._breakers = breakers
        self._prover = prover
        self._files = files
        self._senders = dict(senders)
        self._clock = clock
        self._backoff = backoff
        self._patience = patience
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
        """Send what is due for one destination, then ask about what it accepted; return how many it took.

        What an earlier run claimed and could not note (a full disk) is sent again with the rest. Nothing is
        done while the destination is left alone; then it must answer an echo and take one object first.

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
        state = self._state(destination)
        if state is BreakerState.OPEN:
            return 0
        self._outbox.recover(destination)
        taken = 0
        if state is BreakerState.HALF_OPEN:
            if not self._echoes(sender):
                return 0
            # One that the destination cannot stand is not risked again and again while others wait.
            taken = self._send_due(sender, PROBE, least_tried=True)
            if self._state(destination) is BreakerState.OPEN:
                return taken
            self._answers(destination)
        taken += self._send_due(sender, BATCH)
        if self._state(destination) is BreakerState.CLOSED:
            self._prove_due(sender)
        return taken

    def _state(self, destination: str) -> BreakerState:
        failing = self._breakers.failing(destination)
        return breaker_state(failing, now=self._clock.now(), patience=self._patience)

    def _echoes(self, sender: Sender) -> bool:
        """Whether a destination answers at all; a refusal of the question is an answer."""
        try:
            sender.echo()
        except DestinationUnavailable as error:
            self._unreachable(sender.name, str(error))
            return False
        except DestinationRefused as error:
            logger.info("destination %s: %s", sender.name, error)
        return True

    def _unreachable(self, destination: str, detail: str) -> None:
        """Count one more failure of a destination."""
        failing = after_failure(
            self._breakers.failing(destination),
            destination,
            detail,
            now=self._clock.now(),
            patience=self._patience,
            jitter_value=self._jitter(),
        )
        self._breakers.failed(failing)
        logger.warning(
            "destination %s: failure %d in a row: %s; %s",
            destination,
            failing.failures,
            detail,
            "it is tried again" if failing.open_until is None else f"left alone until {failing.open_until}",
        )

    def _answers(self, destination: str) -> None:
        """Note that a destination answered."""
        if self._breakers.failing(destination) is not None:
            self._breakers.answered(destination)
            logger.info("destination %s answers again", destination)

    def _send_due(self, sender: Sender, limit: int, *, least_tried: bool = False) -> int:
        """Send what is due, in one association; return how many objects the destination took."""
        claimed = self._outbox.claim(sender.name, limit=limit, least_tried=least_tried)
        open_claims = {item.id: item for item in claimed}
        outgoing = self._outgoing(open_claims)
        if not outgoing:
            return 0
        try:
            replies = sender.send(outgoing, may_leave=self._may_leave)
            for reply in replies:
                self._note(open_claims[reply.delivery_id], reply)
                del open_claims[reply.delivery_id]
        except DestinationUnavailable as error:
            self._outbox.give_back(open_claims, str(error))
            self._unreachable(sender.name, str(error))
            return 0
        except BaseException:
            for item in open_claims.values():
                self._try_again(item, "not sent: interrupted")
            raise
        self._outbox.give_back(open_claims, "not sent yet: stopped, held, overtaken, or the connection ended")
        self._judge(sender.name, replies)
        return sum(reply.delivered for reply in replies)

    def _outgoing(self, claims: dict[int, Delivery]) -> list[OutgoingObject]:
        """Return the claimed objects that are there; the others are taken from ``claims`` and refused."""
        outgoing = []
        for item in list(claims.values()):
            try:
                outgoing.append(outgoing_object(item, self._files))
            except ObjectMissing as error:
                del claims[item.id]
                self._outbox.refuse(item.id, str(error))
                logger.error("delivery %d to %s: %s", item.id, item.destination, error)  # noqa: TRY400 -- told whole
        return outgoing

    def _may_leave(self, item: OutgoingObject) -> bool:
        return self._outbox.may_leave(item.delivery_id)

    def _judge(self, destination: str, replies: Sequence[SendReply]) -> None:
        """Judge a destination by its answers: one that takes nothing at all is as good as dead."""
        if any(reply.delivered or not reply.retryable for reply in replies):
            self._answers(destination)
        elif replies:
            self._unreachable(destination, replies[-1].detail)

    def _prove_due(self, sender: Sender) -> None:
        """Ask for the proofs that are due; nobody who answers an echo is left alone for giving none."""
        try:
            proven = self._prover.run_once(sender)
        except DestinationUnavailable as error:
            logger.warning("destination %s: not asked for proof: %s", sender.name, error)
            self._echoes(sender)
        else:
            if proven:
                self._answers(sender.name)

    def _note(self, item: Delivery, reply: SendReply) -> None:
        if reply.delivered and reply.proof:
            self._outbox.delivered(item.id, reply.detail, reply.proof)
        elif reply.delivered:
            self._outbox.accepted(item.id, reply.detail)
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
