"""Sockets of associations: no delay, bounded PDUs, bounded time."""

from __future__ import annotations

import errno
import logging
import socket
import struct
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pynetdicom import evt
from pynetdicom.timer import Timer
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from node.dimse.reactor import EVENT_CLOSED, EVENT_CONNECTED
from node.dimse.reading import PduReader, ReadingLimits, readable
from node.dimse.tls import TlsConnection, as_socket, reason_of, tls_of
from node.domain.ports import Clock

if TYPE_CHECKING:
    from ssl import SSLContext

    from pynetdicom.association import Association

logger = logging.getLogger(__name__)

MAX_NEGOTIATION_BYTES = 1 << 20
"""Largest PDU of any kind: 128 presentation contexts with forty transfer syntaxes each take some 150 KiB."""
MOST_PIECES = 512
"""That are handed to the system in one call (POSIX allows 1024 here and there); more are short ones."""


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


def bound_calls(sock: socket.socket, seconds: float, *directions: int) -> None:
    """Let the system end a call that waits for the peer, by ``SO_RCVTIMEO`` and ``SO_SNDTIMEO``.

    The limit is that of a whole call: Python's own timeout is that of each piece of it.
    """
    whole, part = divmod(round(seconds * 1_000_000), 1_000_000)
    for direction in directions:
        sock.setsockopt(socket.SOL_SOCKET, direction, struct.pack("ll", whole, part))


class PromptSocket(AssociationSocket):
    """A socket that does not delay, and that is closed also when its peer went first.

    The library leaves a socket open whose shutdown fails because it is not connected any more.
    """

    reader: PduReader
    """What `node.dimse.reactor` reads by."""
    timed_out = False
    """Whether the connection ended because a PDU was not completed in time."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._sending = threading.Lock()
        super().__init__(*arguments, **named)

    def send(self, bytestream: bytes) -> None:
        """Send whole PDUs, whichever thread they come from; a connection that fails ends the association."""
        self.send_pieces([bytestream])
        evt.trigger(self.assoc, evt.EVT_DATA_SENT, {"data": bytestream})

    def send_pieces(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Send whole PDUs that come in pieces, without putting large ones together first."""
        connection = self.socket
        if connection is None:
            return
        with self._sending:
            try:
                _send_all(connection, pieces)
            except OSError:
                self.event_queue.put(EVENT_CLOSED)

    @property
    def ready(self) -> bool:
        """Whether there is something to be read, or the end of the connection."""
        connection = self.socket
        if connection is None or not self._is_connected:
            return False
        try:
            found = readable(connection)
        except (OSError, ValueError):
            self.event_queue.put(EVENT_CLOSED)
            return False
        secure = tls_of(connection)
        return found or (secure is not None and secure.pending() > 0)

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
    tls : tuple of (SSLContext, str), optional
        How it is called over TLS, and under which name; without it, not over TLS.
    """

    failure: BaseException | None = None
    """Why there was no TLS connection."""

    def __init__(
        self,
        association: Association,
        address: AddressInformation,
        *,
        max_pdu: int,
        seconds: float,
        tls: tuple[SSLContext, str] | None = None,
    ) -> None:
        self._max_pdu = max_pdu
        self._tls = tls
        self._secure: TlsConnection | None = None
        self._seconds = seconds
        limits = ReadingLimits(max_bytes=max(max_pdu, MAX_NEGOTIATION_BYTES), seconds=seconds)
        self.reader = PduReader(lambda: limits)
        super().__init__(association, address=address)

    @property
    def untrusted(self) -> BaseException | None:
        """Why TLS failed, also after the handshake: what a client shows may be refused by then only."""
        return self.failure or (self._secure.failure if self._secure is not None else None)

    def connect(self, primitive: T_CONNECT) -> None:
        """Connect to the peer, and tell the state machine what came of it."""
        if self._tls is None or self.socket is None:
            super().connect(primitive)
            return
        try:
            connection = self._connect_securely(self.socket, primitive)
        except (OSError, ValueError) as error:  # the second for a host that is no name
            logger.info("no connection over TLS: %s", reason_of(error))
            self._shutdown_socket()
            self.socket = None
            primitive.result = EVENT_CLOSED
        else:
            self.assoc.requestor.address_info = AddressInformation.from_tuple(connection.getsockname())
            self._is_connected = True
            evt.trigger(self.assoc, evt.EVT_CONN_OPEN, {"address": primitive.address_info.as_tuple})
            primitive.result = EVENT_CONNECTED
        finally:
            self.provider_queue.put(primitive)
            self._ready.set()

    def _connect_securely(self, plain: socket.socket, primitive: T_CONNECT) -> TlsConnection:
        if self._tls is None:
            raise ValueError("no TLS was asked for")
        context, name = self._tls
        limit = Timer(self.assoc.connection_timeout)
        limit.start()
        plain.settimeout(self.assoc.connection_timeout)
        plain.connect(primitive.address_info.as_tuple)
        try:
            inner = context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False)
            self._secure = secure = TlsConnection(inner)
            self.socket = as_socket(secure)
            secure.shake(lambda: limit.remaining)
        except (OSError, ValueError) as error:
            self.failure = error
            raise
        return secure

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
        bound_calls(sock, self._seconds, socket.SO_RCVTIMEO, socket.SO_SNDTIMEO)
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
        self.reader = PduReader(self._reading_limits, clock)
        bound_calls(client_socket, limits.pdu_seconds, socket.SO_SNDTIMEO)
        super().__init__(association, client_socket=client_socket)

    @property
    def names(self) -> frozenset[str] | None:
        """By what the caller's certificate is known, see `node.dimse.tls.names_of`; None without TLS."""
        secure = tls_of(self.socket)
        return None if secure is None else secure.names

    def cut(self) -> None:
        """End both directions; the thread that reads sees the end of the connection."""
        connection = self.socket
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def recv(self, nr_bytes: int) -> bytearray:
        """Return ``nr_bytes`` bytes, or fewer when the peer closed the connection.

        Raises
        ------
        OSError
            When more is announced than a PDU may have, or when the bytes do not come in time.
        """
        limits = self._reading_limits()
        if nr_bytes > limits.max_bytes:
            raise OSError(errno.EMSGSIZE, "the peer announced a PDU that is larger than any allowed one")
        seconds = limits.seconds
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

    def _reading_limits(self) -> ReadingLimits:
        seconds = self._limits.pdu_seconds if self.assoc.is_established else self._limits.request_seconds
        return ReadingLimits(max_bytes=max(self._limits.max_pdu, MAX_NEGOTIATION_BYTES), seconds=seconds)


def _send_all(connection: socket.socket, pieces: Sequence[bytes | memoryview]) -> None:
    """Send all bytes of all pieces, in order."""
    if len(pieces) == 1 or len(pieces) > MOST_PIECES:
        connection.sendall(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        return
    left = deque(memoryview(piece) for piece in pieces)
    while left:
        sent = connection.sendmsg(left)
        while left and sent >= len(left[0]):
            sent -= len(left.popleft())
        if sent:
            left[0] = left[0][sent:]
