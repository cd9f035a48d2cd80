"""Data sets on their way in: handed on fragment by fragment, so that no object lies in memory as a whole.

pynetdicom collects the fragments of a message's data set with ``data_set.write(fragment)``; here that object
passes them to an `ObjectSink`. (The library's own way to keep them out of memory writes to the system's
temporary folder, which may be on another file system than the store, and leaves the file after an abort.)
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias

from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import (
    C_CANCEL,
    C_ECHO,
    C_FIND,
    C_GET,
    C_MOVE,
    C_STORE,
    N_ACTION,
    N_EVENT_REPORT,
)

from node.dimse.commitment import STORAGE_COMMITMENT
from node.dimse.contexts import (
    FIND_SOP_CLASSES,
    GET_SOP_CLASSES,
    MOVE_SOP_CLASSES,
    STORAGE_SOP_CLASSES,
    VERIFICATION,
)
from node.dimse.messages import BoundedMessages, MessageUnacceptable
from node.dimse.services import AffectedInstance, ObjectSink
from node.dimse.status import Answer, Status, answer_to
from node.dimse.transport import BoundedSocket
from node.domain.errors import GroundglassError, IdentityMismatch, ObjectTooLarge

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from pydicom.dataset import Dataset
    from pynetdicom.association import Association
    from pynetdicom.dimse import _QueueItem
    from pynetdicom.dimse_primitives import DimsePrimitiveType
    from pynetdicom.presentation import PresentationContext

logger = logging.getLogger(__name__)

C_STORE_RQ = 0x0001  # CommandField, PS3.7 E.1-1
REQUESTS: Mapping[str, type | tuple[type, ...]] = {
    VERIFICATION: C_ECHO,
    STORAGE_COMMITMENT: (N_ACTION, N_EVENT_REPORT),
    **dict.fromkeys(FIND_SOP_CLASSES, C_FIND),
    **dict.fromkeys(GET_SOP_CLASSES, C_GET),
    **dict.fromkeys(MOVE_SOP_CLASSES, C_MOVE),
}
"""Requests of the services beside storage, by abstract syntax (PS3.4 A.4, C.4, J.3)."""
MAX_WAITING = 1
"""Messages that may wait while one is served: the asynchronous operations window is 1 (PS3.7 D.3.3.3)."""
MAX_LIST_BYTES = 4 << 20
"""A list of SOP instances to be committed, or that were; some 130 bytes each."""
MAX_IDENTIFIER_BYTES = 1 << 20
"""The identifier of a query: some dozen short keys, or a list of UIDs."""
WASTE_FACTOR = 2
"""An object that is larger than the limit is read to its end so that it can be answered, but not beyond this
multiple of the limit; then the association is aborted."""


Serve: TypeAlias = "Callable[[int, Any], None]"
NOT_SERVED: tuple[frozenset[str], Serve | None] = (frozenset(), None)


class ArrivingDataSet(BytesIO):
    """The data set of one message, passed on to a sink as it arrives.

    A failure is kept, the rest of the fragments is dropped, and the request is answered when it is complete.

    Parameters
    ----------
    open_sink : callable
        Returns the sink; called at the first fragment, when the command set is known.
    max_bytes : int
        Limit on the data set.
    """

    def __init__(self, open_sink: Callable[[], ObjectSink], max_bytes: int) -> None:
        super().__init__()
        self._open_sink = open_sink
        self._max_bytes = max_bytes
        self._sink: ObjectSink | None = None
        self._error: GroundglassError | None = None
        self._done = False
        self._lock = threading.Lock()
        self.received = 0

    @property
    def excessive(self) -> bool:
        """Whether so much has come beyond the limit that waiting for the end is no use."""
        return self.received > WASTE_FACTOR * self._max_bytes

    def write(self, data: ReadableBuffer, /) -> int:
        """Pass one fragment on; never raises for what the sink or the limit say."""
        fragment = bytes(data)
        self.received += len(fragment)
        with self._lock:
            if self._error is None and not self._done:
                try:
                    self._pass_on(fragment)
                except GroundglassError as error:
                    self._error = error
                    self._release()
        return len(fragment)

    def finish(self) -> Answer:
        """Complete the object and return what to answer.

        Raises
        ------
        GroundglassError
            An error that neither the object nor the store can cause.
        """
        with self._lock:
            try:
                if self._error is not None:
                    raise self._error
                if self._sink is None or self._done:
                    return Answer(status=Status.CANNOT_UNDERSTAND, comment="no data set")
                self._sink.finish()
                return Answer(status=Status.SUCCESS)
            except GroundglassError as error:
                logger.warning("an object was not stored: %s: %s", type(error).__name__, error)
                return answer_to(error)
            finally:
                self._done = True
                self._release()

    def discard(self) -> None:
        """Drop what has arrived; nothing happens after `finish`."""
        with self._lock:
            self._done = True
            self._release()

    def _pass_on(self, fragment: bytes) -> None:
        if self.received > self._max_bytes:
            raise ObjectTooLarge(f"object is larger than {self._max_bytes} bytes, the limit of this node")
        if self._sink is None:
            self._sink = self._open_sink()
        self._sink.write(fragment)

    def _release(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.discard()


class KeptDataSet:
    """A data set that asks for something, kept in the buffer it arrives in.

    Parameters
    ----------
    kept : BytesIO
        Where the library looks for the data set of the message.
    max_bytes : int
        Limit on it.
    """

    def __init__(self, kept: BytesIO, max_bytes: int) -> None:
        self._kept = kept
        self._max_bytes = max_bytes

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises
        ------
        ObjectTooLarge
            The data set is larger than any allowed one.
        """
        if self._kept.tell() + len(data) > self._max_bytes:
            raise ObjectTooLarge(f"what asks for something is larger than {self._max_bytes} bytes")
        BytesIO.write(self._kept, data)

    def finish(self) -> None:
        """Nothing is made durable: the service answers for what it does with it."""

    def discard(self) -> None:
        """Nothing is held."""


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
        self._arriving: list[ArrivingDataSet] = []
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
        """Return the next request, but for those that are served here.

        The library looks for the service by what the request names, and aborts the association where it knows
        no such class. A C-STORE is therefore made one of its presentation context's SOP class: the object
        alone is refused (see `_affected`), and the next one is served.
        """
        item = super().get_msg(block)
        context_id, request = item
        context = self._accepted().get(context_id)
        if context_id is None or context is None:
            return item
        if isinstance(request, C_STORE):
            request.AffectedSOPClassUID = context.abstract_syntax
        sop_classes, serve = self._served.get(type(request), NOT_SERVED)
        if block or serve is None or context.abstract_syntax not in sop_classes:
            return item
        try:
            serve(context_id, request)
        finally:
            self.dul._idle_timer.restart()  # the peer had nothing to say meanwhile
        return None, None

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
        if it were a C-ECHO, with success.

        Raises
        ------
        MessageUnacceptable
        """
        if isinstance(received, C_CANCEL) or received.MessageIDBeingRespondedTo is not None:
            return
        if not received.is_valid_request:
            raise MessageUnacceptable("a request without what is mandatory in it")  # the library ignores it
        uid = str(self._accepted()[context_id].abstract_syntax)
        kinds = REQUESTS.get(uid, C_STORE if uid in STORAGE_SOP_CLASSES else None)
        if kinds is not None and not isinstance(received, kinds):
            raise MessageUnacceptable("a request that its presentation context does not serve")

    def discard(self) -> None:
        """Drop every data set that was not answered; called when the association has ended."""
        while self._arriving:
            self._arriving.pop().discard()

    def forget(self, data_set: ArrivingDataSet) -> None:
        """Take note that a data set was answered."""
        if data_set in self._arriving:
            self._arriving.remove(data_set)

    def new_message(self) -> DIMSEMessage:
        """Return where the next message is collected: its data set goes on to a sink."""
        message = DIMSEMessage()
        data_set = ArrivingDataSet(lambda: self._open_for(message, data_set), self._max_object_bytes)
        message.data_set = data_set
        return message

    def is_excessive(self, data_set: BytesIO | None) -> bool:
        """Whether so much of a data set has come that waiting for its end is no use."""
        return isinstance(data_set, ArrivingDataSet) and data_set.excessive

    def _open_for(self, message: DIMSEMessage, data_set: ArrivingDataSet) -> ObjectSink:
        context = self._accepted()[message.context_id]
        if context.abstract_syntax == STORAGE_COMMITMENT:
            return KeptDataSet(data_set, MAX_LIST_BYTES)
        if context.abstract_syntax in FIND_SOP_CLASSES | GET_SOP_CLASSES | MOVE_SOP_CLASSES:
            return KeptDataSet(data_set, MAX_IDENTIFIER_BYTES)
        sink = self._open(self._affected(message))
        self._arriving.append(data_set)
        return sink

    def _affected(self, message: DIMSEMessage) -> AffectedInstance:
        command: Dataset = message.command_set
        if command.get("CommandField") != C_STORE_RQ:
            raise ValueError("a data set came with a request that has none here")
        if not command.get("AffectedSOPClassUID") or not command.get("AffectedSOPInstanceUID"):
            raise ValueError("a C-STORE request names no SOP instance")
        context = self._accepted()[message.context_id]
        if not context.as_scp:
            raise ValueError("a C-STORE request of a peer that may only take objects here")
        if command.AffectedSOPClassUID != context.abstract_syntax:
            raise IdentityMismatch("Affected SOP Class UID is not the one of the presentation context")
        return AffectedInstance(
            sop_class_uid=str(command.AffectedSOPClassUID),
            sop_instance_uid=str(command.AffectedSOPInstanceUID),
            transfer_syntax_uid=str(context.transfer_syntax[0]),
        )

    def _accepted(self) -> dict[int | None, PresentationContext]:
        return {context.context_id: context for context in self.assoc.accepted_contexts}
