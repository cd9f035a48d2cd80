"""pynetdicom's reactors, woken by what happens instead of looking a thousand times a second.

The library runs two threads an association. One reads the connection and keeps the state machine of PS3.8,
the other serves the requests; both sleep for a millisecond between two looks, which is most of the time
that a C-STORE takes. Here the first one waits for the connection or for what it is to send, reads as much
as there is at once, and hands P-DATA on without a copy; the second one waits until there is something for
it. Negotiation, state machine and services stay the library's; TLS is that of `node.dimse.tls`.

This module and `node.dimse.requested` know the library's inside. They serve the versions of
``KNOWN_VERSIONS``; under any other, and where the settings say so, associations run on the library's own
reactors.
"""

from __future__ import annotations

import logging
import queue
import select
import socket
import threading
from typing import TYPE_CHECKING, Protocol

import pynetdicom
from pynetdicom import evt
from pynetdicom.pdu import A_ABORT_RQ

from node.dimse.framing import P_DATA_TF
from node.dimse.reading import PDU_HEAD, ReadSocket, UnknownPdu
from node.dimse.requested import RequestedUpperLayer
from node.dimse.waking import Checkpoint, OutgoingQueue, Waker, WakingQueue

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.dimse_primitives import DimsePrimitiveType

logger = logging.getLogger(__name__)

KNOWN_VERSIONS = frozenset({"3.0.4"})
"""Of pynetdicom, whose inside was read."""
DATA_TRANSFER = "Sta6"  # PS3.8 section 9.2.1
IDLE = "Sta1"
AWAITING_CLOSE = "Sta13"
EVENT_CONNECTED = "Evt2"  # PS3.8 table 9-10
EVENT_CLOSED = "Evt17"
EVENT_ARTIM_EXPIRED = "Evt18"
EVENT_INVALID_PDU = "Evt19"
LONGEST_WAIT = 60.0
"""Seconds after which a thread looks around though nothing woke it."""
SHORTEST_WAIT = 0.001
SETTLE_SECONDS = 0.5
"""How long one who ends an association waits at a time for its connection to close."""
ABORT_SOURCE_PROVIDER = 0x02  # PS3.8 table 9-26


class MessageReader(Protocol):
    """What the reactor needs of an association's DIMSE provider."""

    @property
    def waiting(self) -> bool:
        """Whether a message waits to be served."""
        ...

    def receive_values(self, values: memoryview) -> None:
        """Take the presentation data values of one P-DATA-TF PDU."""
        ...


def is_known() -> bool:
    """Whether the reactors here fit the library that is installed."""
    return pynetdicom.__version__ in KNOWN_VERSIONS


def make_prompt(association: Association) -> bool:
    """Put the reactors of this module in the place of the library's; return whether that was done.

    Parameters
    ----------
    association : Association
        Made, without a socket and not started.
    """
    if not is_known():
        logger.warning(
            "pynetdicom %s is not one of %s: associations run on its own, slower reactors",
            pynetdicom.__version__,
            ", ".join(sorted(KNOWN_VERSIONS)),
        )
        return False
    layer = PromptUpperLayer(association)
    layer.artim_timer.timeout = association.acse_timeout
    layer._idle_timer.timeout = association.network_timeout
    association.dul = layer
    association._reactor_checkpoint = Checkpoint(layer.tell_user_if_waiting)
    association._run_reactor = lambda: _serve(association, layer)  # type: ignore[method-assign]  # for this one alone
    return True


class PromptUpperLayer(RequestedUpperLayer):
    """The upper layer of one association, waiting on the connection and on what is to be sent.

    Parameters
    ----------
    association : Association
    """

    def __init__(self, association: Association) -> None:
        super().__init__(association)
        self._waker: Waker | None = None
        self.event_queue = WakingQueue(self.wake)
        self.to_provider_queue = self._outgoing = OutgoingQueue(self.wake)
        self.for_user = threading.Event()
        self._settled = threading.Event()
        self._taking = False
        self.reading = threading.Lock()
        """Held by who reads the connection or moves the state machine."""
        self.lent = False
        """Whether another thread reads, see `node.dimse.answers`."""
        self.has_ended = False
        """Whether nothing more will come; the thread may take a moment longer."""

    def start(self) -> None:
        """Start the thread: what wakes it is opened here, for an association may never come so far."""
        self._waker = Waker()
        try:
            super().start()
        except BaseException:
            self._waker.close()
            raise

    def kill_dul(self) -> None:
        """End the thread."""
        super().kill_dul()
        self.wake()

    def stop_dul(self) -> bool:
        """End the thread if the connection is closed; waits a moment for that."""
        if threading.current_thread() is self:
            return False
        self._settled.wait(SETTLE_SECONDS)
        if self.state_machine.current_state != IDLE:
            return False
        self.kill_dul()
        self.join()
        return True

    def idle_timer_expired(self) -> bool:
        """Whether the peer was silent for too long; as long as what it said is being taken, it was not."""
        return not self._taking and super().idle_timer_expired()

    def patience(self) -> float:
        """Return in how many seconds the peer may have been silent for too long."""
        timer = self._idle_timer
        if timer.timeout is None:
            return LONGEST_WAIT
        remaining = timer.timeout if self._taking else timer.remaining
        return min(max(remaining, SHORTEST_WAIT), LONGEST_WAIT)

    def tell_user_if_waiting(self) -> None:
        """Let the serving thread look if there is something for it."""
        if not self.to_user_queue.empty() or self.messages.waiting:
            self.for_user.set()

    def run_reactor(self) -> None:
        """Run until the association has ended."""
        self._idle_timer.start()
        self.assoc._dul_ready.set()
        try:
            while not self._kill_thread:
                if self.artim_timer.expired:
                    self.event_queue.put(EVENT_ARTIM_EXPIRED)
                moved = self._process_recv_primitive() or self._is_transport_event()
                if not self._take_event() and not moved:
                    self._wait()
        except Exception:
            # The library's own way: whatever fails here ends this association alone.
            logger.exception("association ended: its upper layer failed")
            self._give_up()
        finally:
            self.has_ended = True
            self._settled.set()
            self._tell_everybody()
            if self._waker is not None:
                self._waker.close()

    def _tell_everybody(self) -> None:
        """Let nobody wait on: for a request, for a response, or for what the peer says to a release.

        The library tells of an end that the peer brings about, not of one that another thread here does.
        """
        if self.assoc._sent_abort:
            self.assoc.is_established = False  # before anybody asks for something again
        self._outgoing.end()
        self.assoc.dimse.msg_queue.put((None, None))
        self.to_user_queue.put(None)  # as when the time is over
        self.for_user.set()

    def _take_event(self) -> bool:
        """Let the state machine take one event; return whether there was one."""
        with self.reading:
            try:
                event = self.event_queue.get(block=False)
            except queue.Empty:
                return False
            self.state_machine.do_action(event)
        if self.state_machine.current_state == IDLE:
            self._settled.set()
        self.tell_user_if_waiting()
        return True

    def _is_transport_event(self) -> bool:
        """Take one PDU that has come, unless another thread does; return whether there was something."""
        with self.reading:
            if self.state_machine.current_state == AWAITING_CLOSE:
                self._drop()
                return True
            return not self.lent and self.take_pdu()

    def take_pdu(self) -> bool:
        """Take one PDU that has come; return whether there was something to be taken."""
        place, connection = self.place, self.connection
        return place is not None and connection is not None and self._read(place, connection)

    def _drop(self) -> None:
        """Throw away what still comes on a connection that is to be closed; close it when nothing does.

        The library reads PDUs here, and answers each that is none with another A-ABORT (PS3.8 AA-6, AA-7):
        noise would be looked at again and again until the time is over.
        """
        place = self.place
        if place is None or place.socket is None:
            self.event_queue.put(EVENT_CLOSED)
            return
        try:
            dropped = place.reader.drop(place.socket)
        except (OSError, ValueError):  # the second when another thread has closed it
            dropped = False
        if not dropped:
            place.close()

    def _read(self, place: ReadSocket, connection: socket.socket) -> bool:
        try:
            pdu = place.reader.next(connection)
        except UnknownPdu as error:
            logger.warning("association ended: %s", error)
            self.event_queue.put(EVENT_INVALID_PDU)
            return True
        except OSError as error:
            place.timed_out = isinstance(error, TimeoutError)
            logger.info("connection closed: %s", error.strerror or error)
            self.event_queue.put(EVENT_CLOSED)
            return True
        if pdu is None:
            return False
        self._idle_timer.restart()  # before anybody is told of what came
        if pdu[0] != P_DATA_TF or self.state_machine.current_state != DATA_TRANSFER:
            self._decode(bytes(pdu))
            return True
        self._taking = True
        try:
            self.messages.receive_values(pdu[PDU_HEAD.size :])
        finally:
            self._idle_timer.restart()
            self._taking = False
        if self.assoc._reactor_checkpoint.is_set():
            self.tell_user_if_waiting()
        return True

    def _decode(self, pdu: bytes) -> None:
        """Hand a PDU to the library."""
        try:
            decoded, event = self._decode_pdu(bytearray(pdu))
        except Exception:
            # The library's decoders raise whatever comes of malformed bytes.
            logger.warning("association ended: a PDU of type %02XH is malformed", pdu[0], exc_info=True)
            self.event_queue.put(EVENT_INVALID_PDU)
            return
        self._recv_pdu.put(decoded)
        self.event_queue.put(event)

    def _wait(self) -> None:
        """Wait for the connection, for what is to be sent, or for the end of a time limit."""
        if self._waker is None:
            return
        limits = [LONGEST_WAIT]
        if self.artim_timer._start_time is not None and self.artim_timer._end_time is None:
            limits.append(self.artim_timer.remaining)
        place, connection = self.place, self.connection
        waiting = select.poll()
        waiting.register(self._waker.waiting_end, select.POLLIN)
        if not self.lent and place is not None and connection is not None:
            patience = place.reader.patience()
            if patience is not None:
                limits.append(patience)
            try:
                waiting.register(connection, select.POLLIN)
            except ValueError:  # closed by another thread, which aborts
                self.event_queue.put(EVENT_CLOSED)
                return
        found = waiting.poll(max(min(limits), SHORTEST_WAIT) * 1000)
        if any(descriptor == self._waker.waiting_end.fileno() for descriptor, _ in found):
            self._waker.drain()

    def _give_up(self) -> None:
        abort = A_ABORT_RQ()
        abort.source = ABORT_SOURCE_PROVIDER
        abort.reason_diagnostic = 0x00
        if self.socket is not None:
            self.socket.send(abort.encode())
            self.socket.close()
        self.assoc.is_aborted = True
        self.assoc.is_established = False
        self.assoc._kill = True
        self._kill_thread = True

    def wake(self) -> None:
        """Let the thread look around, unless it is the calling one."""
        if self._waker is not None and threading.current_thread() is not self:
            self._waker.wake()

    @property
    def place(self) -> ReadSocket | None:
        """The association's socket."""
        return self.socket  # type: ignore[return-value]  # always one of `node.dimse.sockets`

    @property
    def connection(self) -> socket.socket | None:
        """The connection while it is open."""
        return self.place.socket if self.place is not None and self.place._is_connected else None

    @property
    def messages(self) -> MessageReader:
        """The DIMSE provider of the association."""
        return self.assoc.dimse  # type: ignore[return-value]  # always one of `node.dimse.messages`


def _serve(association: Association, layer: PromptUpperLayer) -> None:
    """Serve what comes for the user of an association, until it ends.

    One who sends a request clears the checkpoint and waits until this thread says that it is paused. The
    checkpoint is looked at once more after that is taken back, so that one of the two sees the other.
    """
    try:
        association._is_paused = False
        while not association._kill:
            association._is_paused = True
            layer.for_user.wait(layer.patience())
            association._reactor_checkpoint.wait()
            association._is_paused = False
            if not association._reactor_checkpoint.is_set():
                continue
            layer.for_user.clear()
            while not association._kill and _serve_one(association, layer):
                pass
    finally:
        association._is_paused = True  # else who is about to send a request would wait for that for ever
        association.dimse.msg_queue.put((None, None))  # this thread may have taken that of the reading one


def serve_meanwhile(association: Association, message: DimsePrimitiveType, context_id: int) -> None:
    """Serve a request on the thread of one who waits for a response, while the serving thread is paused.

    The library takes back that the serving thread is paused, for it expects to be on it.
    """
    try:
        association._serve_request(message, context_id)  # type: ignore[arg-type]  # it cannot be a C-CANCEL
    finally:
        association._is_paused = True


def _serve_one(association: Association, layer: PromptUpperLayer) -> bool:
    """Serve one request, or the association's end; return whether more may be waiting."""
    context_id, message = association.dimse.get_msg(block=False)
    if message is not None and context_id is not None:
        association._serve_request(message, context_id)
    if association.is_established and association.acse.is_release_requested():
        association.acse.send_release(is_response=True)
        association.is_released = True
        association.is_established = False
        evt.trigger(association, evt.EVT_RELEASED, {})
        association.kill()
    elif association.acse.is_aborted():
        layer.receive_pdu(wait=False)  # tells those who listen for it
        association.is_aborted = True
        association.is_established = False
        evt.trigger(association, evt.EVT_ABORTED, {})
        association.kill()
    elif layer.has_ended:
        association.kill()
    elif layer.idle_timer_expired():
        logger.info("association ended: nothing came in the time allowed")
        association.abort()
        association.kill()
    return layer.messages.waiting
