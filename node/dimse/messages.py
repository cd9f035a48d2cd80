"""DIMSE messages on their way in, with limits on what a peer can grow.

pynetdicom's provider collects whatever comes, and starts a thread for each N-EVENT-REPORT request. Here a
message that is malformed or larger than any honest one aborts the association, and every request waits its
turn on the association's own thread.
"""

from __future__ import annotations

import logging
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, TypeAlias

from pydicom.errors import BytesLengthException
from pynetdicom import evt
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL
from pynetdicom.pdu_primitives import P_DATA

from node.dimse.framing import COMMAND, LAST
from node.dimse.reactor import EVENT_INVALID_PDU, serve_meanwhile
from node.dimse.store_commands import store_answer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from pynetdicom.association import Association
    from pynetdicom.dimse import _QueueItem
    from pynetdicom.dimse_primitives import DimsePrimitiveType
    from pynetdicom.presentation import PresentationContext

logger = logging.getLogger(__name__)

MAX_COMMAND_BYTES = 65536
"""A command set holds a dozen short elements (PS3.7 E.1); whatever is larger is an attack or noise."""
MAX_ANSWER_BYTES = 65536
"""One data set that answers a request of this node: some UIDs, or what became of a batch of objects."""
MAX_ANSWERS_WAITING = 4096
"""Answers to C-FIND that may wait to be read; more than a series of results has."""
MAX_INTERRUPTIONS = 64
"""Requests of the peer while this node waits for its response."""
MAX_CANCELLED = 64
"""Operations that a peer may have cancelled and not begun; one at a time is served."""
MALFORMED = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,  # an exception of its own, no ValueError
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,  # of a sequence that ends early
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What decoding a malformed message raises."""
VALUE_HEAD = struct.Struct(">IBB")
"""Length, presentation context, message control header (PS3.8 section 9.3.5.1, annex E.2)."""


class MessageUnacceptable(ValueError):
    """What a peer sends is no message that is served here; the association is aborted."""


TakeFragment: TypeAlias = "Callable[[memoryview, bool], object]"
"""Takes a fragment of a data set and whether it is the last one."""


def presentation_data_values(values: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield context, message control header and fragment of each value of a P-DATA-TF PDU.

    Raises
    ------
    MessageUnacceptable
        The lengths of the values are not that of the PDU (PS3.8 section 9.3.5).
    """
    position, end = 0, len(values)
    if not end:
        raise MessageUnacceptable("a P-DATA-TF PDU without content")
    while position < end:
        if end - position < VALUE_HEAD.size:
            raise MessageUnacceptable("a fragment without message control header")
        length, context_id, control = VALUE_HEAD.unpack_from(values, position)
        begin, position = position + VALUE_HEAD.size, position + 4 + length
        if position < begin or position > end:
            raise MessageUnacceptable("a presentation data value that is longer or shorter than its PDU says")
        yield context_id, control, values[begin:position]


class BoundedBuffer(BytesIO):
    """A data set that is kept in memory, up to a limit.

    Parameters
    ----------
    max_bytes : int
        Limit on the data set.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes

    def write(self, data: ReadableBuffer, /) -> int:
        """Take one fragment.

        Raises
        ------
        ValueError
            The data set is larger than the limit.
        """
        fragment = bytes(data)
        if self.tell() + len(fragment) > self._max_bytes:
            raise ValueError(f"a data set of more than {self._max_bytes} bytes")
        return super().write(fragment)


class BoundedMessages(DIMSEServiceProvider):
    """A DIMSE service provider with limits; serves requests one after the other.

    Parameters
    ----------
    association : Association
        Whose messages these are.
    max_waiting : int
        Messages that may wait while one is served.
    """

    def __init__(self, association: Association, *, max_waiting: int = MAX_ANSWERS_WAITING) -> None:
        super().__init__(association)
        self._max_waiting = max_waiting
        self._collected_on: int | None = None
        self._command = bytearray()
        self._take_data: TakeFragment | None = None
        self._deferred: deque[_QueueItem] = deque()
        self._afterwards: list[Callable[[], object]] = []
        self._cancelled: set[int] = set()
        self.await_message: Callable[[], None] | None = None
        """Called by who waits for a response, where the connection is read on that thread."""

    @property
    def waiting(self) -> bool:
        """Whether a message waits to be served."""
        return bool(self._deferred) or not self.msg_queue.empty()

    def receive_values(self, values: memoryview) -> None:
        """Take the presentation data values of one P-DATA-TF PDU; what is none aborts the association."""
        try:
            for context_id, control, fragment in presentation_data_values(values):
                self._take(context_id, control, fragment)
        except MessageUnacceptable as error:
            self.refuse(str(error))

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take a P-DATA primitive, on the library's reactor."""
        try:
            for context_id, value in primitive.presentation_data_value_list:
                if not value:
                    raise MessageUnacceptable("a fragment without message control header")  # noqa: TRY301 - one handler
                self._take(context_id, value[0], memoryview(value)[1:])
        except MessageUnacceptable as error:
            self.refuse(str(error))

    def _take(self, context_id: int, control: int, fragment: memoryview) -> None:
        """Take one fragment at its place in its message (PS3.7 6.3.1, PS3.8 E.2).

        The library takes fragments in whatever order and context they come: a second command set would
        rename the object that is being stored.
        """
        if self._collected_on is None:
            self._begin(context_id)
        elif context_id != self._collected_on:
            raise MessageUnacceptable("one message on two presentation contexts")
        is_last = bool(control & LAST)
        if control & COMMAND:
            if self._take_data is not None:
                raise MessageUnacceptable("a command set after that of the message")
            self._command += fragment
            if len(self._command) > MAX_COMMAND_BYTES:
                raise MessageUnacceptable("endless command set")
            if is_last:
                self._take_data = self.commanded(context_id, bytes(self._command))
                if self._take_data is None:
                    self._ended()
        elif self._take_data is None:
            raise MessageUnacceptable("a data set before its command set")
        else:
            self._take_data(fragment, is_last)
            if is_last:
                self._ended()

    def _begin(self, context_id: int) -> None:
        if self.msg_queue.qsize() + len(self._deferred) > self._max_waiting:
            raise MessageUnacceptable("more messages at a time than are expected")
        if context_id not in self.contexts:
            raise MessageUnacceptable("a message on a presentation context that was not accepted")
        self._collected_on = context_id

    def _ended(self) -> None:
        """Be ready for the next message: with the last fragment of one it may begin."""
        self._collected_on = None
        self._take_data = None
        self._command.clear()

    @property
    def contexts(self) -> Mapping[int, PresentationContext]:
        """The accepted presentation contexts by their number."""
        return self.assoc._accepted_cx

    def commanded(self, context_id: int, command: bytes) -> TakeFragment | None:
        """Take a whole command set; return what takes the data set, None where there is none.

        Raises
        ------
        MessageUnacceptable
        """
        try:
            answer = store_answer(command)
        except ValueError as error:
            raise MessageUnacceptable(str(error)) from error
        if answer is not None:
            self.msg_queue.put((context_id, answer))
            return None
        message = DIMSEMessage()
        message.data_set = self.buffer_for(context_id)

        def take(fragment: memoryview, is_last: bool, kind: int = 0) -> bool:
            single = P_DATA()
            control = bytes([kind | (LAST if is_last else 0)])
            single.presentation_data_value_list.append((context_id, control + bytes(fragment)))
            try:
                complete = message.decode_msg(single, self.assoc)
                received = message.message_to_primitive() if complete else None
            except MALFORMED as error:
                raise MessageUnacceptable(f"malformed message ({type(error).__name__})") from error
            if received is not None:
                self.require_served(received, context_id)
                self._complete(message, received, context_id)
            return received is not None

        return None if take(memoryview(command), True, COMMAND) else take

    def get_msg(self, block: bool = False) -> _QueueItem:
        """Return the next message.

        Who waits for a response gets no request. One that comes to a requestor meanwhile is served at once,
        for the peer may hold its response back until it is answered; an acceptor's peer can wait.

        Parameters
        ----------
        block : bool
            Whether a response is waited for.
        """
        if not block:
            return self._deferred.popleft() if self._deferred else super().get_msg()
        for _ in range(MAX_INTERRUPTIONS):
            if self.await_message is not None:
                self.await_message()
            item = context_id, message = super().get_msg(block=True)
            if message is None or context_id is None or message.MessageIDBeingRespondedTo is not None:
                return item
            if self.assoc.is_requestor:
                serve_meanwhile(self.assoc, message, context_id)
            else:
                self._deferred.append(item)
        logger.warning("requests without end instead of a response")
        return None, None  # no response: the library aborts the association

    def send_msg(self, primitive: DimsePrimitiveType, context_id: int) -> None:
        """Send a message; after a response, do what was to be done afterwards."""
        super().send_msg(primitive, context_id)
        if primitive.MessageIDBeingRespondedTo is not None:
            actions, self._afterwards = self._afterwards, []
            for action in actions:
                action()

    def afterwards(self, action: Callable[[], object]) -> None:
        """Do something on the association's thread, right after the response to the request being served."""
        self._afterwards.append(action)

    def refuse(self, reason: str) -> None:
        """Abort the association because of what the peer sends."""
        logger.warning("association aborted: %s", reason)
        self.dul.event_queue.put(EVENT_INVALID_PDU)

    def buffer_for(self, _context_id: int) -> BytesIO:
        """Return what a data set is kept in."""
        return BoundedBuffer(MAX_ANSWER_BYTES)

    def require_served(self, received: DimsePrimitiveType, context_id: int) -> None:
        """Check that a message may come on its presentation context.

        Raises
        ------
        MessageUnacceptable
        """

    def _complete(self, message: DIMSEMessage, received: DimsePrimitiveType, context_id: int) -> None:
        """Hand a whole message to who waits for it."""
        evt.trigger(self.assoc, evt.EVT_DIMSE_RECV, {"message": message})
        if isinstance(received, C_CANCEL):
            if len(self._cancelled) < MAX_CANCELLED:
                self._cancelled.add(int(received.MessageIDBeingRespondedTo or 0))
            return
        if received.MessageIDBeingRespondedTo is None:
            self._cancelled.discard(int(received.MessageID or 0))  # what came before this use of the number
        self.msg_queue.put((context_id, received))

    def is_cancelled(self, message_id: int) -> bool:
        """Whether the peer has cancelled an operation since it asked for it (PS3.7 section 9.3.2.3)."""
        return message_id in self._cancelled
