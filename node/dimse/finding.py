"""C-FIND on an association that a peer opened (PS3.4 section C.4.1, PS3.7 section 9.1.2)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.dimse_primitives import C_FIND

from node.dimse.contexts import FIND_SOP_CLASSES, PATIENT_ROOT_FIND
from node.dimse.operation import Operation, identifier_of
from node.dimse.queries import FindRequest
from node.domain.errors import GroundglassError, OutOfSpace, QueryMalformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynetdicom.association import Association
    from pynetdicom.events import Event

    from node.dimse.admission import Caller
    from node.dimse.incoming import IncomingMessages
    from node.dimse.queries import FoundMatch
    from node.dimse.services import QueryProvider

logger = logging.getLogger(__name__)

C_FIND_RSP = 0x8020  # CommandField, PS3.7 E.1-1
FLUSH_BYTES = 65536
"""Responses that are written to the connection at once."""
EXTENDED = 5
"""Bytes of the extended negotiation of queries (PS3.4 table C.5-1) ..."""
RELATIONAL, COMBINED = 0, 1
"""... and those that are granted."""


class FindStatus(IntEnum):
    """Statuses of C-FIND that this node answers with (PS3.4 table C.4-1, PS3.7 annex C)."""

    SUCCESS = 0x0000
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    OUT_OF_RESOURCES = 0xA700
    IDENTIFIER_MISMATCH = 0xA900
    UNABLE_TO_PROCESS = 0xC001
    CANCELLED = 0xFE00
    PENDING = 0xFF00
    PENDING_UNSUPPORTED = 0xFF01
    """Matches are continuing; one or more optional keys were not supported."""


class FindExchange:
    """The queries of one association, served one at a time on its own thread.

    Parameters
    ----------
    association : Association
        Acceptor that has not been started.
    messages : IncomingMessages
        Its messages.
    provider : QueryProvider
    caller : callable
        Returns the admitted caller.
    """

    def __init__(
        self,
        association: Association,
        messages: IncomingMessages,
        provider: QueryProvider,
        caller: Callable[[], Caller],
    ) -> None:
        self._association = association
        self._messages = messages
        self._provider = provider
        self._caller = caller
        self._granted: dict[str, bytes] = {}
        association.bind(evt.EVT_SOP_EXTENDED, self._on_extended)
        messages.serve(C_FIND, FIND_SOP_CLASSES, self._serve)

    def _on_extended(self, event: Event) -> dict[str, bytes]:
        """Grant relational queries and combined date and time matching where they are asked for."""
        for uid, asked in event.app_info.items():  # type: ignore[attr-defined]  # the library sets it
            if str(uid) in FIND_SOP_CLASSES:
                granted = (int(byte == 1 and at in {RELATIONAL, COMBINED}) for at, byte in enumerate(asked))
                self._granted[str(uid)] = bytes(granted)[:EXTENDED]
        return dict(self._granted)

    def _serve(self, context_id: int, request: C_FIND) -> None:
        operation = Operation.of(self._association, context_id, request, C_FIND_RSP)
        uid = operation.sop_class_uid
        if request.AffectedSOPClassUID != uid:
            self._send(operation.response(FindStatus.SOP_CLASS_NOT_SUPPORTED))
            return
        identifier = identifier_of(request.Identifier)
        if identifier is None:
            comment = "the identifier is too large"
            self._send(operation.response(FindStatus.OUT_OF_RESOURCES, comment=comment))
            return
        context = self._association._accepted_cx[context_id]
        granted = self._granted.get(uid, b"").ljust(EXTENDED, b"\0")
        asked = FindRequest(
            identifier=identifier,
            implicit=context.transfer_syntax[0] == ImplicitVRLittleEndian,
            patient_root=uid == PATIENT_ROOT_FIND,
            relational=bool(granted[RELATIONAL]),
            combined=bool(granted[COMBINED]),
        )
        status, comment = self._answer(operation, asked)
        self._send(operation.response(status, comment=comment))

    def _answer(self, operation: Operation, request: FindRequest) -> tuple[FindStatus, str]:
        """Send every match; return how the operation ends."""
        try:
            found = self._provider.matches(request, caller=self._caller())
            return self._send_all(operation, found), ""
        except QueryMalformed as error:
            logger.warning("a query was refused: %s", error)
            return FindStatus.IDENTIFIER_MISMATCH, str(error)
        except OutOfSpace as error:
            logger.exception("a query cannot be answered")
            return FindStatus.OUT_OF_RESOURCES, str(error)
        except GroundglassError:
            logger.exception("a query cannot be answered")
            return FindStatus.UNABLE_TO_PROCESS, "cannot be answered now"

    def _send_all(self, operation: Operation, found: Iterator[Sequence[FoundMatch]]) -> FindStatus:
        for page in found:
            waiting = bytearray()
            for match in page:
                if self._messages.is_cancelled(operation.message_id):
                    self._send(bytes(waiting))
                    return FindStatus.CANCELLED
                status = FindStatus.PENDING if match.supported else FindStatus.PENDING_UNSUPPORTED
                waiting += operation.response(status, identifier=match.identifier)
                if len(waiting) >= FLUSH_BYTES:
                    self._send(bytes(waiting))
                    waiting.clear()
            self._send(bytes(waiting))
            if self._messages.is_cancelled(operation.message_id) or not self._messages.alive:
                return FindStatus.CANCELLED
        return FindStatus.SUCCESS

    def _send(self, pdus: bytes) -> None:
        if pdus and self._messages.alive:
            self._messages.write(pdus)
