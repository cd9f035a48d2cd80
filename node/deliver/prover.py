"""The second half of a delivery: what a destination accepted is asked about until it is proven."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from node.decide.backoff import growing, next_due
from node.deliver.outgoing import outgoing_object
from node.domain.delivery import (
    LONGEST_LOOK,
    Delivery,
    OutgoingObject,
    ProofReply,
    ProofStanding,
    ProofWaits,
)
from node.domain.errors import ObjectMissing
from node.domain.network import Backoff
from node.domain.ports import Clock, ObjectFiles, Sender, UidSource
from node.store.proofs import ProofRecords

logger = logging.getLogger(__name__)

BATCH = 64
"""Objects asked about at a time: a result set has about a dozen."""

LONGEST_WAIT = timedelta(days=1)
"""Between two questions to a destination that offers an answer and does not give it."""


MOST_LOSSES = 5
"""An archive that accepts an object so often and does not show it hides it, or gives it another UID: to send
it again would fill the archive, so an operator must look."""


class Prover:
    """Asks destinations whether they have what they accepted.

    What a destination says that it does not have is sent again, a few times. Nothing else makes an object go
    twice: who gives no answer is asked again.

    Parameters
    ----------
    proofs : ProofRecords
    files : ObjectFiles
        Where the objects lie.
    clock : Clock
    uids : UidSource
        Of the transactions.
    waits : ProofWaits
    backoff : Backoff
        When a lost object is sent again.
    jitter : callable
        Returns a random number from 0 to 1.
    """

    def __init__(
        self,
        *,
        proofs: ProofRecords,
        files: ObjectFiles,
        clock: Clock,
        uids: UidSource,
        waits: ProofWaits,
        backoff: Backoff,
        jitter: Callable[[], float],
    ) -> None:
        self._proofs = proofs
        self._files = files
        self._clock = clock
        self._uids = uids
        self._waits = waits
        self._backoff = backoff
        self._jitter = jitter

    def run_once(self, sender: Sender) -> int:
        """Ask one destination about what is due; return how many were proven.

        Raises
        ------
        DestinationUnavailable
            It could not be asked; it is asked again later.
        """
        for item in self._proofs.missing(sender.name, limit=BATCH):
            self._missing(item, item.detail)
        open_items = {item.id: item for item in self._proofs.unproven(sender.name, limit=BATCH)}
        outgoing = self._outgoing(open_items)
        if not outgoing:
            return 0
        asked = next(iter(open_items.values())).asked
        transaction_uid = self._uids.uid()
        self._proofs.asking(transaction_uid, sender.name, [item.delivery_id for item in outgoing])
        proven = 0
        standings = set()
        try:
            replies = sender.prove(outgoing, transaction_uid=transaction_uid, asked=asked)
            # A report may have come on an association of its own while one was waited for on this.
            unanswered = not self._proofs.is_answered(transaction_uid)
            for reply in replies:
                standings.add(reply.standing)
                proven += self._note(open_items.pop(reply.delivery_id), reply, unanswered=unanswered)
        finally:
            for item in open_items.values():
                self._ask_again(
                    item, "not proven yet: the destination could not be asked", asked=item.asked + 1
                )
        self._proofs.asked(
            transaction_uid,
            answered=not open_items and ProofStanding.ASKED not in standings,
            forget=standings == {ProofStanding.UNPROVABLE},
        )
        return proven

    def _outgoing(self, items: dict[int, Delivery]) -> list[OutgoingObject]:
        """Return the objects to ask about; one whose file is gone here is asked about no more for a while."""
        outgoing = []
        for item in list(items.values()):
            try:
                outgoing.append(outgoing_object(item, self._files))
            except ObjectMissing as error:
                del items[item.id]
                self._rarely(item, str(error))
                logger.error("proof of delivery %d to %s: %s", item.id, item.destination, error)  # noqa: TRY400 -- told whole
        return outgoing

    def _note(self, item: Delivery, reply: ProofReply, *, unanswered: bool) -> bool:
        """Write down what the destination said of one object; return whether that proves it."""
        match reply.standing:
            case ProofStanding.PROVEN:
                return self._proofs.proven(item.id, reply.method, reply.detail)
            case ProofStanding.MISSING:
                self._missing(item, reply.detail)
            case ProofStanding.ASKED:
                self._ask_again(item, reply.detail, asked=item.asked + unanswered)
            case ProofStanding.DECLINED:
                self._ask_again(item, reply.detail, asked=item.asked)
            case ProofStanding.UNPROVABLE:
                self._rarely(item, reply.detail)
        return False

    def _missing(self, item: Delivery, detail: str) -> None:
        """Send again what the destination does not have, unless it may only be late to know of it."""
        now = self._clock.now()
        known_by = _accepted(item, now) + self._waits.grace
        if now < known_by <= now + self._waits.grace:
            self._proofs.give_time(item.id, known_by, detail)
            return
        due_at = next_due(now, attempts=item.attempts, backoff=self._backoff, jitter_value=self._jitter())
        if item.losses + 1 >= MOST_LOSSES or due_at is None:
            due_at = None
            detail = f"given up: accepted and not kept, {item.losses + 1} times: {detail}"
        logger.error("delivery %d to %s was lost there: %s", item.id, item.destination, detail)
        self._proofs.lost(item.id, due_at, detail)

    def _ask_again(self, item: Delivery, detail: str, *, asked: int) -> None:
        """Ask again after twice as long as before, and not before it has been there twice as long."""
        now = self._clock.now()
        wait = growing(item.asked, first=self._waits.answer, factor=2.0, longest=LONGEST_WAIT)
        wait = min(max(wait, now - _accepted(item, now)), LONGEST_WAIT)
        self._proofs.look_again(item.id, now + wait, detail, asked=asked)

    def _rarely(self, item: Delivery, detail: str) -> None:
        """Look again after a day, then after as long as it has been there: an archive may learn to answer."""
        now = self._clock.now()
        wait = min(max(now - _accepted(item, now), LONGEST_WAIT), LONGEST_LOOK)
        self._proofs.look_again(item.id, now + wait, detail, asked=0)


def _accepted(item: Delivery, now: datetime) -> datetime:
    """Return when the destination accepted an object."""
    return item.accepted_at if item.accepted_at is not None else now
