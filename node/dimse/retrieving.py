"""C-GET and C-MOVE on an association that a peer opened (PS3.4 sections C.4.2 and C.4.3)."""

from __future__ import annotations

import logging
import math
import struct
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeAlias

from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.dimse_primitives import C_GET, C_MOVE

from node.dimse.answers import answered_promptly, unread
from node.dimse.contexts import (
    GET_SOP_CLASSES,
    KINDS_PER_ASSOCIATION,
    MOVE_SOP_CLASSES,
    PATIENT_ROOT_GET,
    PATIENT_ROOT_MOVE,
    Syntaxes,
    proposed_contexts,
)
from node.dimse.entity import Timeouts
from node.dimse.framing import even
from node.dimse.operation import Operation, identifier_of
from node.dimse.queries import Retrievable, RetrieveRequest
from node.dimse.scu import Remote, open_association
from node.dimse.status import Meaning
from node.dimse.suboperations import Suboperations
from node.domain.errors import (
    DeliveryError,
    DicomError,
    GroundglassError,
    QueryMalformed,
    StoreError,
)

if TYPE_CHECKING:
    from pynetdicom.association import Association

    from node.dimse.admission import Caller
    from node.dimse.incoming import IncomingMessages
    from node.dimse.services import RetrieveProvider
    from node.domain.ports import Clock

logger = logging.getLogger(__name__)

C_GET_RSP, C_MOVE_RSP = 0x8010, 0x8021  # CommandField, PS3.7 E.1-1
MOST_SUBOPERATIONS = 65535
"""Numbers of sub-operations are US (PS3.7 E.1-1)."""
REMAINING, COMPLETED, FAILED, WARNING = 0x1020, 0x1021, 0x1022, 0x1023  # elements of group 0000
FAILED_UIDS = 0x00080058  # FailedSOPInstanceUIDList
PENDING_SECONDS = 0.5
"""At least between two pending responses, which a provider sends as it likes (PS3.4 sections C.4.2.3.1 and
C.4.3.3.1): soon enough for who shows progress, or waits for no more than some seconds."""
LONGEST_LIST = 0xFFFE
"""Bytes of an element with a 16-bit length (PS3.5 section 7.1.2)."""


Outcomes: TypeAlias = "Generator[tuple[Retrievable, Meaning | None], None, None]"
"""What became of each instance; None where it was not sent."""


class RetrieveStatus(IntEnum):
    """Statuses of C-GET and C-MOVE that this node answers with (PS3.4 tables C.4-2 and C.4-3)."""

    SUCCESS = 0x0000
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    CANNOT_COUNT = 0xA701
    """Out of resources: unable to calculate the number of matches."""
    CANNOT_SEND = 0xA702
    """Out of resources: unable to perform sub-operations."""
    DESTINATION_UNKNOWN = 0xA801
    IDENTIFIER_MISMATCH = 0xA900
    UNABLE_TO_PROCESS = 0xC001
    WARNING = 0xB000
    """Sub-operations complete; one or more failed or gave a warning."""
    CANCELLED = 0xFE00
    PENDING = 0xFF00


@dataclass(kw_only=True)
class _Progress:
    """What became of the sub-operations of one retrieval."""

    remaining: int
    completed: int = 0
    warning: int = 0
    failed: list[str] = field(default_factory=list)
    """SOP Instance UIDs."""

    def count(self, item: Retrievable, meaning: Meaning | None) -> None:
        """Count one sub-operation; no meaning is a failure."""
        self.remaining -= 1
        if meaning is None or not meaning.delivered:
            self.failed.append(item.sop_instance_uid)
        elif meaning.warning:
            self.warning += 1
        else:
            self.completed += 1

    def counts(self, *, remaining: bool) -> dict[int, int]:
        """Return the numbers of sub-operations by element number."""
        found = {COMPLETED: self.completed, FAILED: len(self.failed), WARNING: self.warning}
        return {REMAINING: self.remaining, **found} if remaining else found

    @property
    def status(self) -> RetrieveStatus:
        """Return how the operation ends when none remains (PS3.4 sections C.4.2.1.5 and C.4.3.1.4)."""
        if not self.failed and not self.warning:
            return RetrieveStatus.SUCCESS
        if not self.completed and not self.warning:
            return RetrieveStatus.CANNOT_SEND
        return RetrieveStatus.WARNING

    def failed_list(self, *, implicit: bool) -> bytes:
        """Return the identifier of a last response: FailedSOPInstanceUIDList, empty for none."""
        if not self.failed:
            return b""
        value = even("\\".join(self.failed).encode("ascii"), b"\0")
        if not implicit and len(value) > LONGEST_LIST:
            value = even(value[:LONGEST_LIST].rpartition(b"\\")[0], b"\0")
        head = struct.pack("<HH", FAILED_UIDS >> 16, FAILED_UIDS & 0xFFFF)
        length = struct.pack("<I", len(value)) if implicit else b"UI" + struct.pack("<H", len(value))
        return head + length + value


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """A retrieval that ends before any sub-operation."""

    status: RetrieveStatus
    comment: str = ""


class RetrieveExchange:
    """The retrievals of one association, served one at a time on its own thread.

    Parameters
    ----------
    association : Association
        Acceptor that has not been started.
    messages : IncomingMessages
        Its messages.
    provider : RetrieveProvider
    caller : callable
        Returns the admitted caller.
    clock : Clock
    """

    def __init__(
        self,
        association: Association,
        messages: IncomingMessages,
        provider: RetrieveProvider,
        caller: Callable[[], Caller],
        clock: Clock,
    ) -> None:
        self._association = association
        self._messages = messages
        self._provider = provider
        self._caller = caller
        self._clock = clock
        messages.serve(C_GET, GET_SOP_CLASSES, self._get)
        messages.serve(C_MOVE, MOVE_SOP_CLASSES, self._move)

    def _get(self, context_id: int, request: C_GET) -> None:
        operation = Operation.of(self._association, context_id, request, C_GET_RSP)
        found = self._asked(operation, request)
        if isinstance(found, _Ended):
            self._end(operation, found)
            return
        with answered_promptly(self._association, self._clock) as look:
            self._send_all(operation, found, self._store_all_here(found, operation.message_id, look))

    def _move(self, context_id: int, request: C_MOVE) -> None:
        operation = Operation.of(self._association, context_id, request, C_MOVE_RSP)
        destination = self._provider.destination((request.MoveDestination or "").strip())
        if destination is None:
            logger.warning(
                "%s asks for a move destination that is not listed", self._caller().calling_ae_title
            )
            comment = "no such entry under [[move_destinations]]"
            self._end(operation, _Ended(status=RetrieveStatus.DESTINATION_UNKNOWN, comment=comment))
            return
        found = self._asked(operation, request)
        if isinstance(found, _Ended):
            self._end(operation, found)
            return
        remote = Remote(
            ae_title=destination.ae_title,
            host=destination.host,
            port=destination.port,
            tls=destination.tls,
        )
        self._send_all(operation, found, self._store_there(remote, found, operation.message_id))

    def _asked(self, operation: Operation, request: C_GET | C_MOVE) -> Sequence[Retrievable] | _Ended:
        if request.AffectedSOPClassUID != operation.sop_class_uid:
            return _Ended(status=RetrieveStatus.SOP_CLASS_NOT_SUPPORTED)
        identifier = identifier_of(request.Identifier)
        if identifier is None:
            return _Ended(status=RetrieveStatus.CANNOT_COUNT, comment="the identifier is too large")
        asked = RetrieveRequest(
            identifier=identifier,
            implicit=self._is_implicit(operation),
            patient_root=operation.sop_class_uid in {PATIENT_ROOT_GET, PATIENT_ROOT_MOVE},
        )
        try:
            found = self._provider.instances(asked, caller=self._caller())
        except QueryMalformed as error:
            logger.warning("a retrieval was refused: %s", error)
            return _Ended(status=RetrieveStatus.IDENTIFIER_MISMATCH, comment=str(error))
        except GroundglassError:
            logger.exception("a retrieval cannot be served")
            return _Ended(status=RetrieveStatus.UNABLE_TO_PROCESS, comment="cannot be served now")
        if len(found) > MOST_SUBOPERATIONS:
            return _Ended(status=RetrieveStatus.CANNOT_COUNT, comment="more than 65535 instances")
        return found

    def _send_all(
        self,
        operation: Operation,
        found: Sequence[Retrievable],
        outcomes: Outcomes,
    ) -> None:
        """Let the sub-operations happen one by one, tell of them now and then, and end the operation."""
        progress = _Progress(remaining=len(found))
        told = -math.inf
        for item, meaning in outcomes:
            progress.count(item, meaning)
            if not self._messages.alive:
                outcomes.close()
                return
            if progress.remaining and self._clock.monotonic() - told >= PENDING_SECONDS:
                pending = progress.counts(remaining=True)
                self._messages.write(operation.response(RetrieveStatus.PENDING, counts=pending))
                told = self._clock.monotonic()
        cancelled = progress.remaining > 0
        last = operation.response(
            RetrieveStatus.CANCELLED if cancelled else progress.status,
            counts=progress.counts(remaining=cancelled),
            identifier=progress.failed_list(implicit=self._is_implicit(operation)),
        )
        logger.info(
            "%s retrieved %d instances, %d failed",
            self._caller().calling_ae_title,
            progress.completed + progress.warning,
            len(progress.failed),
        )
        self._messages.write(last)

    def _store_all_here(
        self, found: Sequence[Retrievable], message_id: int, look: Callable[[], None]
    ) -> Outcomes:
        """Yield what became of each instance that is sent to the peer itself, until it cancels."""
        same = Suboperations(self._association, self._provider)
        for item, following in zip_longest(found, found[1:]):
            look()
            if self._messages.is_cancelled(message_id):
                return
            yield item, None if same.broken else _stored(same, item, following)

    def _store_there(self, remote: Remote, found: Sequence[Retrievable], message_id: int) -> Outcomes:
        """Yield what became of each instance that is sent to a destination, until the peer cancels."""
        for batch in _batches(found):
            waiting, again = deque(batch), True
            while again and waiting and not self._messages.is_cancelled(message_id):
                again = yield from self._store_on_one(remote, waiting, message_id)
            while waiting and not self._messages.is_cancelled(message_id):
                yield waiting.popleft(), None

    def _store_on_one(
        self, remote: Remote, waiting: deque[Retrievable], message_id: int
    ) -> Generator[tuple[Retrievable, Meaning | None], None, bool]:
        """Yield what became of instances that wait, sent on one association.

        Returns whether the rest can go on another one: an object that is damaged far from its beginning ends
        the association, and nothing else.
        """
        contexts = proposed_contexts((_syntaxes(item) for item in waiting), as_stored=False)
        title = self._association.acceptor.ae_title
        originator = (self._caller().calling_ae_title, message_id)
        try:
            with (
                open_association(remote, title, contexts, Timeouts()) as association,
                unread(association),
                answered_promptly(association, self._clock),
            ):
                there = Suboperations(association, self._provider, originator=originator)
                while waiting and not there.broken and not self._messages.is_cancelled(message_id):
                    item = waiting.popleft()
                    yield item, _stored(there, item, waiting[0] if waiting else None)
                return there.cut_short
        except DeliveryError as error:
            logger.warning("instances were not sent: %s", error)
        return False

    def _is_implicit(self, operation: Operation) -> bool:
        context = self._association._accepted_cx[operation.context_id]
        return bool(context.transfer_syntax[0] == ImplicitVRLittleEndian)

    def _end(self, operation: Operation, ended: _Ended) -> None:
        if self._messages.alive:
            self._messages.write(operation.response(ended.status, comment=ended.comment))


def _stored(to: Suboperations, item: Retrievable, following: Retrievable | None) -> Meaning | None:
    """Send an object; return what the answer means, None where it was not sent or not answered."""
    try:
        return to.send(item, following)
    except (DeliveryError, DicomError, StoreError) as error:
        logger.warning("an instance was not sent: %s", error)
    except OSError:
        logger.exception("an instance was not sent: its file cannot be read")
    return None


def _syntaxes(item: Retrievable) -> Syntaxes:
    return Syntaxes(sop_class_uid=item.sop_class_uid, transfer_syntax_uid=item.transfer_syntax_uid)


def _batches(found: Iterable[Retrievable]) -> Iterator[list[Retrievable]]:
    """Split instances, in order, so that the presentation contexts of a batch fit one association."""
    batch: list[Retrievable] = []
    kinds: set[Syntaxes] = set()
    for item in found:
        if _syntaxes(item) not in kinds and len(kinds) == KINDS_PER_ASSOCIATION:
            yield batch
            batch, kinds = [], set()
        batch.append(item)
        kinds.add(_syntaxes(item))
    if batch:
        yield batch
