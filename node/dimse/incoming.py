"""Requests of peers: C-STORE goes to its sink as it arrives, everything else waits for its service."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias

from pynetdicom.dimse_primitives import (
    C_CANCEL,
    C_ECHO,
    C_FIND,
    C_GET,
    C_MOVE,
    N_ACTION,
    N_CREATE,
    N_DELETE,
    N_EVENT_REPORT,
    N_GET,
    N_SET,
)

from node.dimse.commitment import STORAGE_COMMITMENT
from node.dimse.contexts import (
    FIND_SOP_CLASSES,
    GET_SOP_CLASSES,
    MOVE_SOP_CLASSES,
    STORAGE_SOP_CLASSES,
    VERIFICATION,
)
from node.dimse.framing import NO_DATA_SET, command_set, even, message
from node.dimse.messages import BoundedMessages, MessageUnacceptable, TakeFragment
from node.dimse.procedure_steps import INSTANCE_AVAILABILITY, PERFORMED_PROCEDURE_STEP
from node.dimse.services import AffectedInstance, ObjectSink
from node.dimse.sockets import BoundedSocket
from node.dimse.status import Answer, Status
from node.dimse.store_commands import StoreRequest, store_request, store_response
from node.dimse.storing import ArrivingObject
from node.domain.errors import IdentityMismatch

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from pynetdicom.association import Association
    from pynetdicom.dimse import _QueueItem
    from pynetdicom.dimse_primitives import DimsePrimitiveType

logger = logging.getLogger(__name__)

REQUESTS: Mapping[str, type | tuple[type, ...]] = {
    VERIFICATION: C_ECHO,
    STORAGE_COMMITMENT: (N_ACTION, N_EVENT_REPORT),
    PERFORMED_PROCEDURE_STEP: (N_CREATE, N_SET),
    INSTANCE_AVAILABILITY: N_CREATE,
    **dict.fromkeys(FIND_SOP_CLASSES, C_FIND),
    **dict.fromkeys(GET_SOP_CLASSES, C_GET),
    **dict.fromkeys(MOVE_SOP_CLASSES, C_MOVE),
}
"""Requests of the services beside storage, by abstract syntax (PS3.4 A.4, C.4, F.7, J.3, R.3)."""
LISTING = frozenset({STORAGE_COMMITMENT, PERFORMED_PROCEDURE_STEP, INSTANCE_AVAILABILITY})
"""Those whose data sets list the instances of a study."""
NORMALISED: Mapping[type, int] = {
    N_EVENT_REPORT: 0x8100,
    N_GET: 0x8110,
    N_SET: 0x8120,
    N_ACTION: 0x8130,
    N_CREATE: 0x8140,
    N_DELETE: 0x8150,
}
"""CommandField of the response to each request of the DIMSE-N services (PS3.7 E.1-1)."""
Normalised: TypeAlias = N_EVENT_REPORT | N_GET | N_SET | N_ACTION | N_CREATE | N_DELETE
UNRECOGNISED_OPERATION = 0x0211  # PS3.7 C.5.23
MAX_WAITING = 1
"""Messages that may wait while one is served: the asynchronous operations window is 1 (PS3.7 D.3.3.3)."""
MAX_LIST_BYTES = 4 << 20
"""A list of SOP instances to be committed, or that were made; some 130 bytes each."""
MAX_IDENTIFIER_BYTES = 1 << 20
"""The identifier of a query: some dozen short keys, or a list of UIDs."""
MAX_WASTE_BYTES = 1 << 25
"""What asks for something is read this far, so that it can be answered that it is too large."""

Serve: TypeAlias = "Callable[[int, Any], None]"
NOT_SERVED: tuple[frozenset[str], Serve | None] = (frozenset(), None)


class KeptDataSet(BytesIO):
    """A data set that asks for something, kept in memory.

    Parameters
    ----------
    max_bytes : int
        Limit on it; what is larger is not kept, and its request is answered so.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes
        self._received = 0

    @property
    def is_whole(self) -> bool:
        """Whether all that came was kept."""
        return self._received <= self._max_bytes

    def write(self, data: ReadableBuffer, /) -> int:
        """Take one fragment.

        Raises
        ------
        ValueError
            So much has come beyond the limit that waiting for the end is no use.
        """
        fragment = bytes(data)
        self._received += len(fragment)
        if self._received > MAX_WASTE_BYTES:
            raise ValueError("endless data set")
        return super().write(fragment) if self.is_whole else len(fragment)


class _Deferred:
    """A C-STORE whose data set is there while another request is being served: answered in its turn."""

    MessageIDBeingRespondedTo = None  # it is a request, to who looks for responses

    def __init__(self, answer: Callable[[], None]) -> None:
        self.answer = answer


class IncomingMessages(BoundedMessages):
    """A DIMSE service provider whose incoming data sets go to sinks, with limits on what the peer can grow.

    Parameters
    ----------
    association : Association
        Acceptor.
    open_sink : callable
        From an `AffectedInstance` to where its data set goes.
    max_object_bytes : int
        Limit on one data set.
    """

    def __init__(
        self,
        association: Association,
        open_sink: Callable[[AffectedInstance], ObjectSink],
        max_object_bytes: int,
    ) -> None:
        super().__init__(association, max_waiting=MAX_WAITING)
        self._open = open_sink
        self._max_object_bytes = max_object_bytes
        self._arriving: ArrivingObject | None = None
        self._waiting_object: ArrivingObject | None = None
        self._serving = False
        self._served: dict[type, tuple[frozenset[str], Serve]] = {}

    def serve(self, request: type, sop_classes: frozenset[str], serve: Serve) -> None:
        """Let requests of a kind be served here, and not by the library.

        Parameters
        ----------
        request : type
            Of the primitive.
        sop_classes : frozenset of str
            For which presentation contexts.
        serve : callable
            Takes presentation context and request, on the association's thread, and writes the responses.
        """
        self._served[request] = (sop_classes, serve)

    def get_msg(self, block: bool = False) -> _QueueItem:
        """Return the next request, but for those that are served here."""
        self._serving = True  # before the queue is looked at: see `_complete_object`
        item = context_id, request = super().get_msg(block)
        if isinstance(request, _Deferred):
            self._undisturbed(request.answer)
            return None, None
        if request is None and not block:
            self._serving = False
        context = None if context_id is None else self.contexts.get(context_id)
        if context_id is None or context is None:
            return item
        if block or request is None or request.MessageIDBeingRespondedTo is not None:
            return item
        if isinstance(request, Normalised) and not _is_served(request, str(context.abstract_syntax)):
            self._undisturbed(lambda: self._not_recognised(context_id, request))
            return None, None
        sop_classes, serve = self._served.get(type(request), NOT_SERVED)
        if serve is None or context.abstract_syntax not in sop_classes:
            return item
        self._undisturbed(lambda: serve(context_id, request))
        return None, None

    @property
    def waiting(self) -> bool:
        """Whether a message waits to be served, or one is being served."""
        return self._serving or super().waiting

    def _undisturbed(self, act: Callable[[], None]) -> None:
        try:
            act()
        finally:
            self.dul._idle_timer.restart()  # the peer had nothing to say meanwhile

    @property
    def alive(self) -> bool:
        """Whether the peer is there to read a response."""
        association = self.assoc
        return bool(
            association.is_established and association.dul.is_alive() and not association.acse.is_aborted()
        )

    def write(self, pdus: bytes) -> None:
        """Write PDUs to the connection; returns when the system has taken them all."""
        connection = self.dul.socket
        if isinstance(connection, BoundedSocket):
            connection.send(pdus)

    def require_served(self, received: DimsePrimitiveType, context_id: int) -> None:
        """Check that a request is one of its presentation context's service.

        The library looks at the context alone: it would answer a C-STORE request on that of verification as
        if it were a C-ECHO, with success. One of the DIMSE-N services is let through: it is answered that it
        is not recognised.

        Raises
        ------
        MessageUnacceptable
        """
        if isinstance(received, C_CANCEL) or received.MessageIDBeingRespondedTo is not None:
            return
        if not received.is_valid_request:
            raise MessageUnacceptable("a request without what is mandatory in it")  # the library ignores it
        uid = str(self.contexts[context_id].abstract_syntax)
        if not isinstance(received, Normalised) and not _is_served(received, uid):
            raise MessageUnacceptable("a request that its presentation context does not serve")

    def _not_recognised(self, context_id: int, request: Normalised) -> None:
        """Answer a request that the SOP class of its presentation context does not have (PS3.7 C.5.23)."""
        uid = str(self.contexts[context_id].abstract_syntax)
        logger.warning("a peer asks for an operation that %s does not have", uid)
        elements = {
            0x0002: even(uid.encode("ascii"), b"\0"),
            0x0100: struct.pack("<H", NORMALISED[type(request)]),
            0x0120: struct.pack("<H", request.MessageID or 0),
            0x0800: struct.pack("<H", NO_DATA_SET),
            0x0900: struct.pack("<H", UNRECOGNISED_OPERATION),
        }
        self.write(message(context_id, command_set(elements), b"", max_pdu=self.maximum_pdu_size))

    def discard(self) -> None:
        """Drop every data set that was not answered; called when the association has ended."""
        for held in (self._arriving, self._waiting_object):
            if held is not None:
                held.discard()

    def buffer_for(self, context_id: int) -> KeptDataSet:
        """Return what a data set that asks for something is kept in."""
        is_list = self.contexts[context_id].abstract_syntax in LISTING
        return KeptDataSet(min(MAX_LIST_BYTES if is_list else MAX_IDENTIFIER_BYTES, self._max_object_bytes))

    def commanded(self, context_id: int, command: bytes) -> TakeFragment | None:
        """Take a whole command set: a C-STORE is served here, as its data set arrives."""
        try:
            request = store_request(command)
        except ValueError as error:
            raise MessageUnacceptable(str(error)) from error
        if request is None:
            return super().commanded(context_id, command)
        self._require_storage(request, context_id)
        arriving = ArrivingObject(
            lambda: self._open(self._affected(request, context_id)), self._max_object_bytes
        )
        if not request.has_data_set:
            self._complete_object(request, context_id, arriving)
            return None
        self._arriving = arriving

        def take(fragment: memoryview, is_last: bool) -> None:
            arriving.write(fragment)
            if arriving.excessive:
                raise MessageUnacceptable("endless data set")
            if is_last:
                self._arriving = None
                self._complete_object(request, context_id, arriving)

        return take

    def _require_storage(self, request: StoreRequest, context_id: int) -> None:
        """Check that a C-STORE request may come on its presentation context.

        Raises
        ------
        MessageUnacceptable
        """
        context = self.contexts[context_id]
        if str(context.abstract_syntax) in REQUESTS:
            raise MessageUnacceptable("a request that its presentation context does not serve")
        if not request.sop_class_uid or not request.sop_instance_uid:
            raise MessageUnacceptable("a C-STORE request names no SOP instance")
        if not context.as_scp:
            raise MessageUnacceptable("a C-STORE request of a peer that may only take objects here")

    def _complete_object(self, request: StoreRequest, context_id: int, arriving: ArrivingObject) -> None:
        """Answer a C-STORE, at once unless another request is being served.

        One operation at a time is negotiated (PS3.7 D.3.3.3), so that hardly happens; but two messages must
        not be mixed on the connection.
        """

        def answer() -> None:
            self._waiting_object = None
            self._answer(request, context_id, arriving)

        if self.waiting:
            self._waiting_object = arriving
            self.msg_queue.put((context_id, _Deferred(answer)))  # type: ignore[arg-type]  # `get_msg` takes it out
        else:
            answer()

    def _answer(self, request: StoreRequest, context_id: int, arriving: ArrivingObject) -> None:
        try:
            answer = arriving.finish()
        except Exception:
            # A fault of this node, not of the object: the sender learns that it is not stored.
            logger.exception("an object was not stored")
            answer = Answer(status=Status.OUT_OF_RESOURCES, comment="this node failed; send again later")
        command = store_response(request, answer)
        self.write(message(context_id, command, b"", max_pdu=self.maximum_pdu_size))

    def _affected(self, request: StoreRequest, context_id: int) -> AffectedInstance:
        context = self.contexts[context_id]
        if request.sop_class_uid != context.abstract_syntax:
            raise IdentityMismatch("Affected SOP Class UID is not the one of the presentation context")
        return AffectedInstance(
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax_uid=str(context.transfer_syntax[0]),
        )


def _is_served(request: DimsePrimitiveType, abstract_syntax: str) -> bool:
    """Whether a request is one of the service of a presentation context; C-STORE is told by its command."""
    kinds = REQUESTS.get(abstract_syntax)
    return abstract_syntax not in STORAGE_SOP_CLASSES and (kinds is None or isinstance(request, kinds))
