"""Sockets and the server that accepts them: no delay, bounded PDUs, bounded time, bounded connections."""

from __future__ import annotations

import errno
import logging
import select
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from socketserver import BaseServer
from typing import TYPE_CHECKING, Any

from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.fsm import InvalidEventError, StateMachine
from pynetdicom.transport import (
    AddressInformation,
    AssociationSocket,
    RequestHandler,
    ThreadedAssociationServer,
)

from node.domain.ports import Clock

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity

logger = logging.getLogger(__name__)

EVENT_CONNECTION_CLOSED = "Evt17"
"""Transport connection closed (PS3.8 table 9-10)."""
MAX_NEGOTIATION_BYTES = 1 << 20
"""Largest PDU of any kind: 128 presentation contexts with forty transfer syntaxes each take some 150 KiB."""


EVENT_CLOSED = "Evt17"
"""Transport connection closed (PS3.8 table 9-10)."""


def without_delay(sock: socket.socket) -> None:
    """Switch Nagle's algorithm off: a C-STORE is answered by a short PDU that must not wait for more data."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@dataclass(frozen=True, kw_only=True)
class SocketLimits:
    """What a peer may do to a socket."""

    max_pdu: int
    """Bytes of one P-DATA-TF PDU that were negotiated."""
    request_seconds: float
    """For one whole PDU before the association is established."""
    pdu_seconds: float
    """For one whole PDU afterwards."""


class PromptSocket(AssociationSocket):
    """A socket that does not delay, and that is closed also when its peer went first.

    The library leaves a socket open whose shutdown fails because it is not connected any more.
    """

    @property
    def ready(self) -> bool:
        """Whether there is something to be read, or the end of the connection.

        The library asks by `select`, which takes no descriptor above 1023: with so many files open every
        further association would end at once.
        """
        connection = self.socket
        if connection is None or not self._is_connected:
            return False
        waiting = select.poll()
        try:
            waiting.register(connection, select.POLLIN)
            found = bool(waiting.poll(0))
        except (OSError, ValueError):
            self.event_queue.put(EVENT_CLOSED)
            return False
        return found or (isinstance(connection, ssl.SSLSocket) and connection.pending() > 0)

    def _create_socket(self, address: AddressInformation) -> socket.socket:
        sock = super()._create_socket(address)
        without_delay(sock)
        return sock

    def _shutdown_socket(self) -> None:
        connection = self.socket
        if connection is None:
            return
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


class CallingSocket(PromptSocket):
    """A requestor's socket, which no peer can hold for ever.

    The library writes and reads without a limit: a peer that hangs with its connection open would keep the
    thread, and whoever waits for it, for as long as the connection lasts.

    Parameters
    ----------
    association : Association
        Requestor.
    address : AddressInformation
    max_pdu : int
        Bytes of one P-DATA-TF PDU that are accepted.
    seconds : float
        For one whole PDU to arrive, and for a write of which the peer takes nothing.
    """

    def __init__(
        self, association: Association, address: AddressInformation, *, max_pdu: int, seconds: float
    ) -> None:
        self._max_pdu = max_pdu
        self._seconds = seconds
        super().__init__(association, address=address)

    def recv(self, nr_bytes: int) -> bytearray:
        """Return ``nr_bytes`` bytes, or fewer when no more came.

        Raises
        ------
        OSError
            When more is announced than a PDU may have, or when nothing comes.
        """
        if nr_bytes > max(self._max_pdu, MAX_NEGOTIATION_BYTES):
            raise OSError(errno.EMSGSIZE, "the peer announced a PDU that is larger than any allowed one")
        if self.socket is None:
            raise OSError(errno.ENOTCONN, "the connection is closed")
        buffer = bytearray(nr_bytes)
        received = self.socket.recv_into(buffer, nr_bytes, socket.MSG_WAITALL)
        return buffer[:received]

    def _create_socket(self, address: AddressInformation) -> socket.socket:
        sock = super()._create_socket(address)
        # Of the kernel, for the whole of a call: Python's own timeout is that of each piece of it.
        whole, part = divmod(round(self._seconds * 1_000_000), 1_000_000)
        for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, limit, struct.pack("ll", whole, part))
        return sock


class BoundedSocket(PromptSocket):
    """An acceptor's socket that reads whole PDUs, but none without end.

    The library reads as many bytes as a PDU's length field says, up to 4 GiB, and waits for them for ever.

    Parameters
    ----------
    association : Association
        Acceptor.
    client_socket : socket
        Accepted connection.
    limits : SocketLimits
    clock : Clock
    """

    def __init__(
        self, association: Association, client_socket: socket.socket, limits: SocketLimits, clock: Clock
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._sending = threading.Lock()
        self.timed_out = False
        super().__init__(association, client_socket=client_socket)

    def cut(self) -> None:
        """End both directions; the thread that reads sees the end of the connection."""
        connection = self.socket
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def send(self, bytestream: bytes) -> None:
        """Send whole PDUs, whichever thread they come from; a connection that fails ends the association."""
        connection = self.socket
        if connection is None:
            return
        with self._sending:
            try:
                connection.sendall(bytestream)
            except OSError:
                self.event_queue.put(EVENT_CONNECTION_CLOSED)

    def recv(self, nr_bytes: int) -> bytearray:
        """Return ``nr_bytes`` bytes, or fewer when the peer closed the connection.

        Raises
        ------
        OSError
            When more is announced than a PDU may have, or when the bytes do not come in time.
        """
        if nr_bytes > max(self._limits.max_pdu, MAX_NEGOTIATION_BYTES):
            raise OSError(errno.EMSGSIZE, "the peer announced a PDU that is larger than any allowed one")
        seconds = self._limits.pdu_seconds if self.assoc.is_established else self._limits.request_seconds
        deadline = self._clock.monotonic() + seconds
        connection = self.socket
        if connection is None:
            raise OSError(errno.ENOTCONN, "the connection is closed")
        connection.settimeout(seconds)
        buffer = bytearray(nr_bytes)
        view = memoryview(buffer)
        received = 0
        try:
            while received < nr_bytes:
                count = connection.recv_into(view[received:])
                if count == 0:
                    break
                received += count
                if received < nr_bytes and self._clock.monotonic() > deadline:
                    raise TimeoutError("the peer did not complete a PDU in time")  # noqa: TRY301 - one handler
        except TimeoutError:
            self.timed_out = True
            raise
        finally:
            view.release()
        return buffer if received == nr_bytes else buffer[:received]


class OrderlyStateMachine(StateMachine):
    """The state machine of PS3.8 section 9.2, which ends the association where the table has no way on.

    The library's ends its thread with an exception instead: when a peer goes away while it is being accepted,
    for example.

    Parameters
    ----------
    association : Association
        Whose states these are.
    """

    def __init__(self, association: Association) -> None:
        super().__init__(association.dul)
        self._association = association

    def do_action(self, event: str) -> None:
        """Take an event."""
        try:
            super().do_action(event)
        except InvalidEventError:
            logger.info("association ended: %s came in state %s", event, self.current_state)
            self._association.is_aborted = True
            self._association.is_established = False
            self._association._kill = True
            self.dul.kill_dul()


class AssociationHandler(RequestHandler):
    """Runs one connection from its first byte to its end, on a thread of the server."""

    server: BoundedServer

    def handle(self) -> None:
        """Run the association; returns when nothing of it is left."""
        association = self._create_association()
        self.server.attach(association)
        try:
            evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
            association.start()
            association.join()
            association.dul.kill_dul()  # in case the association's thread failed before it did so
            association.dul.join()
        finally:
            self.server.shutdown_request(self.request)
            self.server.ended(association)

    def _create_association(self) -> Association:
        """Return the acceptor, as the library makes it, but with a bounded socket and no contexts yet."""
        association = Association(self.ae, MODE_ACCEPTOR)
        association._server = self.server
        association.dul.state_machine = OrderlyStateMachine(association)
        association.name = f"AcceptorThread@{self.client_address[0]}"  # the library looks for this name
        association.set_socket(
            BoundedSocket(association, self.request, self.server.socket_limits, self.server.clock)
        )
        association.acceptor.maximum_length = self.ae.maximum_pdu_size
        association.acceptor.ae_title = self.server.ae_title
        association.acceptor.address_info = self.local
        association.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        association.acceptor.implementation_version_name = self.ae.implementation_version_name
        association.acceptor.supported_contexts = []
        association.requestor.address_info = self.remote
        return association


class BoundedServer(ThreadedAssociationServer):
    """The listening socket.

    Parameters
    ----------
    entity : ApplicationEntity
        Own identity and timeouts.
    address : tuple of (host, port)
    attach : callable
        Called with every new association before it starts.
    ended : callable
        Called with every association after its last thread has ended.
    max_connections : int
        Connections beyond this are closed at once; bounds the threads of callers that are not admitted yet.
    max_from_one : int
        The same for those from one address, so that no machine alone can take every place.
    socket_limits : SocketLimits
    clock : Clock
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        entity: ApplicationEntity,
        address: tuple[str, int],
        *,
        attach: Callable[[Association], None],
        ended: Callable[[Association], None],
        max_connections: int,
        max_from_one: int,
        socket_limits: SocketLimits,
        clock: Clock,
    ) -> None:
        self.attach = attach
        self.ended = ended
        self._max_connections = max_connections
        self._max_from_one = max_from_one
        self._open: Counter[str] = Counter()  # connections by address
        self._counting = threading.Lock()
        self.socket_limits = socket_limits
        self.clock = clock
        super().__init__(entity, address, entity.ae_title, [], request_handler=AssociationHandler)

    def shutdown(self) -> None:
        """Stop accepting and close the port."""
        BaseServer.shutdown(self)
        self.server_close()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        connection, address = super().get_request()
        without_delay(connection)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - socketserver's
        """Whether there is a place for one more connection."""
        address = client_address[0]
        with self._counting:
            if self._open.total() < self._max_connections and self._open[address] < self._max_from_one:
                self._open[address] += 1
                return True
        logger.warning("connection from %s closed: too many connections are open", address)
        return False

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread; where the system has none, its place is free again."""
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._leave(client_address[0])
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Run one connection and give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._leave(client_address[0])

    def _leave(self, address: str) -> None:
        with self._counting:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's
        """Log what went wrong with a connection."""
        logger.exception("connection from %s failed", client_address[0])
