"""C-STORE as a service class provider: the request, its data set on its way to a sink, the response.

A C-STORE is most of what this node does, and a data set is most of a C-STORE. The library decodes each
command set into data elements, collects the data set in memory and encodes a response through four layers;
here command sets are read and written as the few bytes that they are (PS3.7 section 9.3.1), and a data set
goes to its sink fragment by fragment as it arrives.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

from node.dimse.framing import NO_DATA_SET, command_set
from node.dimse.services import ObjectSink
from node.dimse.status import Answer, Status, answer_to
from node.domain.errors import GroundglassError, ObjectTooLarge

logger = logging.getLogger(__name__)

ELEMENT_HEAD = struct.Struct("<HHI")  # implicit VR little endian, PS3.7 section 6.3.1
UNSIGNED_SHORT = struct.Struct("<H")
C_STORE_RQ = 0x0001  # CommandField, PS3.7 E.1-1
C_STORE_RSP = 0x8001
AFFECTED_SOP_CLASS_UID = 0x0002
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
ERROR_COMMENT = 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000
WASTE_FACTOR = 2
"""An object that is larger than the limit is read to its end so that it can be answered, but not beyond this
multiple of the limit; then the association is aborted."""


@dataclass(frozen=True, kw_only=True)
class StoreRequest:
    """A C-STORE-RQ (PS3.7 table 9.3-1)."""

    message_id: int
    sop_class_uid: str
    """Empty when the request names none."""
    sop_instance_uid: str
    """Empty when the request names none."""
    has_data_set: bool


def store_request(command: bytes) -> StoreRequest | None:
    """Return what a command set asks to be stored, None when it is another command.

    Parameters
    ----------
    command : bytes
        A whole command set.

    Raises
    ------
    ValueError
        It is a C-STORE-RQ that lacks what is mandatory, or no command set at all.
    """
    elements = _elements(command)
    if _short(elements, COMMAND_FIELD) != C_STORE_RQ:
        return None
    return StoreRequest(
        message_id=_short(elements, MESSAGE_ID),
        sop_class_uid=_uid(elements, AFFECTED_SOP_CLASS_UID),
        sop_instance_uid=_uid(elements, AFFECTED_SOP_INSTANCE_UID),
        has_data_set=_short(elements, COMMAND_DATA_SET_TYPE) != NO_DATA_SET,
    )


def store_response(request: StoreRequest, answer: Answer) -> bytes:
    """Return the command set of a C-STORE-RSP (PS3.7 table 9.3-2)."""
    elements = {
        AFFECTED_SOP_CLASS_UID: _even(request.sop_class_uid, b"\0"),
        COMMAND_FIELD: UNSIGNED_SHORT.pack(C_STORE_RSP),
        MESSAGE_ID_BEING_RESPONDED_TO: UNSIGNED_SHORT.pack(request.message_id),
        COMMAND_DATA_SET_TYPE: UNSIGNED_SHORT.pack(NO_DATA_SET),
        STATUS: UNSIGNED_SHORT.pack(answer.status),
        AFFECTED_SOP_INSTANCE_UID: _even(request.sop_instance_uid, b"\0"),
    }
    if answer.comment:
        elements[ERROR_COMMENT] = _even(answer.comment, b" ")
    return command_set(elements)


def _elements(command: bytes) -> dict[int, bytes]:
    """Return the values of a command set by element number."""
    found: dict[int, bytes] = {}
    position, end = 0, len(command)
    while position < end:
        if end - position < ELEMENT_HEAD.size:
            raise ValueError("a command set ends within the head of an element")
        group, element, length = ELEMENT_HEAD.unpack_from(command, position)
        position += ELEMENT_HEAD.size
        if group != 0x0000 or length > end - position:
            raise ValueError("what is no command set")
        found[element] = command[position : position + length]
        position += length
    return found


def _short(elements: dict[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != UNSIGNED_SHORT.size:
        raise ValueError(f"a command set without (0000,{element:04X})")
    return int(UNSIGNED_SHORT.unpack(value)[0])


def _uid(elements: dict[int, bytes], element: int) -> str:
    return elements.get(element, b"").rstrip(b"\0 ").decode("ascii")


def _even(text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    return value + padding if len(value) % 2 else value


class ArrivingObject:
    """The data set of one C-STORE, passed on to a sink as it arrives.

    A failure is kept, the rest of the fragments is dropped, and the request is answered when it is complete.

    Parameters
    ----------
    open_sink : callable
        Returns the sink; called at the first fragment.
    max_bytes : int
        Limit on the data set.
    """

    def __init__(self, open_sink: Callable[[], ObjectSink], max_bytes: int) -> None:
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

    def write(self, fragment: bytes | memoryview) -> None:
        """Pass one fragment on; never raises for what the sink or the limit say."""
        self.received += len(fragment)
        with self._lock:
            if self._error is None and not self._done:
                try:
                    self._pass_on(fragment)
                except GroundglassError as error:
                    self._error = error
                    self._release()

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

    def _pass_on(self, fragment: bytes | memoryview) -> None:
        if self.received > self._max_bytes:
            raise ObjectTooLarge(f"object is larger than {self._max_bytes} bytes, the limit of this node")
        if self._sink is None:
            self._sink = self._open_sink()
        self._sink.write(fragment)

    def _release(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.discard()
