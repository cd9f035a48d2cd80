"""Data sets on their way in: handed on fragment by fragment, so that no object lies in memory as a whole.

pynetdicom collects the fragments of a message's data set with ``data_set.write(fragment)``; here that object
passes them to an `ObjectSink`. (The library's own way to keep them out of memory writes to the system's
temporary folder, which may be on another file system than the store, and leaves the file after an abort.)
"""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE

from node.dimse.services import AffectedInstance, ObjectSink
from node.dimse.status import Answer, Status, answer_to
from node.domain.errors import GroundglassError, IdentityMismatch, ObjectTooLarge

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from pynetdicom.association import Association
    from pynetdicom.dimse import _QueueItem
    from pynetdicom.pdu_primitives import P_DATA
    from pynetdicom.presentation import PresentationContext

logger = logging.getLogger(__name__)

C_STORE_RQ = 0x0001  # CommandField, PS3.7 E.1-1
MAX_COMMAND_BYTES = 65536
"""A command set holds a dozen short elements (PS3.7 E.1); whatever is larger is an attack or noise."""
MAX_WAITING = 1
"""Messages that may wait while one is served: the asynchronous operations window is 1 (PS3.7 D.3.3.3)."""
WASTE_FACTOR = 2
"""An object that is larger than the limit is read to its end so that it can be answered, but not beyond this
multiple of the limit; then the association is aborted."""
MALFORMED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
    struct.error,
)
"""What decoding a malformed command set raises."""
EVENT_INVALID_PDU = "Evt19"
"""Unrecognised or invalid PDU received (PS3.8 table 9-10): the association is aborted."""


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


class IncomingMessages(DIMSEServiceProvider):
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
        super().__init__(association)
        self._open = open_sink
        self._max_object_bytes = max_object_bytes
        self._arriving: list[ArrivingDataSet] = []

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take a P-DATA primitive; a malformed or excessive one aborts the association."""
        if self.message is None:
            if self.msg_queue.qsize() > MAX_WAITING:
                self._refuse("more than one request at a time")
                return
            self.message = self._new_message()
        message, data_set = self.message, self.message.data_set
        try:
            super().receive_primitive(primitive)
        except MALFORMED as error:
            self._refuse(f"malformed message ({type(error).__name__})")
            return
        if self.message is None:  # complete: it is answered
            return
        if message.encoded_command_set.tell() > MAX_COMMAND_BYTES:
            self._refuse("endless command set")
        elif isinstance(data_set, ArrivingDataSet) and data_set.excessive:
            self._refuse("endless data set")

    def get_msg(self, block: bool = False) -> _QueueItem:
        """Return the next request; a C-STORE is one of its presentation context's SOP class.

        The library looks for the service by what the request names, and aborts the association where it knows
        no such class. Here the object alone is refused (see `_affected`), and the next one is served.
        """
        item = super().get_msg(block)
        context_id, request = item
        context = self._accepted().get(context_id)
        if isinstance(request, C_STORE) and context is not None:
            request.AffectedSOPClassUID = context.abstract_syntax
        return item

    def discard(self) -> None:
        """Drop every data set that was not answered; called when the association has ended."""
        while self._arriving:
            self._arriving.pop().discard()

    def forget(self, data_set: ArrivingDataSet) -> None:
        """Take note that a data set was answered."""
        if data_set in self._arriving:
            self._arriving.remove(data_set)

    def _new_message(self) -> DIMSEMessage:
        message = DIMSEMessage()
        data_set = ArrivingDataSet(lambda: self._open_for(message, data_set), self._max_object_bytes)
        message.data_set = data_set
        return message

    def _open_for(self, message: DIMSEMessage, data_set: ArrivingDataSet) -> ObjectSink:
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
        if command.AffectedSOPClassUID != context.abstract_syntax:
            raise IdentityMismatch("Affected SOP Class UID is not the one of the presentation context")
        return AffectedInstance(
            sop_class_uid=str(command.AffectedSOPClassUID),
            sop_instance_uid=str(command.AffectedSOPInstanceUID),
            transfer_syntax_uid=str(context.transfer_syntax[0]),
        )

    def _accepted(self) -> dict[int | None, PresentationContext]:
        return {context.context_id: context for context in self.assoc.accepted_contexts}

    def _refuse(self, reason: str) -> None:
        logger.warning("association aborted: %s", reason)
        self.dul.event_queue.put(EVENT_INVALID_PDU)
