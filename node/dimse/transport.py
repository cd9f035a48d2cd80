"""The server that accepts connections, and the association of each: bounded places, an orderly end."""

from __future__ import annotations

import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socketserver import BaseServer
from typing import TYPE_CHECKING, Any, Protocol

from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.fsm import InvalidEventError, StateMachine
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from node.dimse.reactor import make_prompt
from node.dimse.sockets import BoundedSocket, SocketLimits, without_delay
from node.dimse.telling import Seldom
from node.dimse.tls import TlsConnection, as_socket, reason_of
from node.domain.ports import Clock

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity

    from node.dimse.certificates import TlsPort

logger = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 10.0
"""Longest TLS handshake."""


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
        if self.server.is_secure(self.request) and not self._shake():
            return
        try:
            self._run(self._create_association())
        finally:
            self.server.shutdown_request(self.request)

    def _run(self, association: Association) -> None:
        if not self.server.attach(association):
            return
        try:
            evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
            association.start()
            association.join()
            association.dul.kill_dul()  # in case the association's thread failed before it did so
            association.dul.join()
        finally:
            self.server.shutdown_request(self.request)
            self.server.ended(association)

    def _shake(self) -> bool:
        """Do the TLS handshake; return whether it was done."""
        try:
            self.request = self.server.shake(self.request)
        except OSError as error:
            self.server.tell("no TLS with %s: %s", self.client_address[0], reason_of(error))
            return False
        return True

    def _create_association(self) -> Association:
        """Return the acceptor, as the library makes it, but with a bounded socket and no contexts yet."""
        association = Association(self.ae, MODE_ACCEPTOR)
        if self.server.prompt:
            make_prompt(association)
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


class Elsewhere(Protocol):
    """Other processes that run associations."""

    def take(
        self,
        connection: socket.socket,
        address: tuple[Any, ...],
        here: Any,
        over: Callable[[], None],
        *,
        secure: bool,
    ) -> bool:
        """Take a connection, if one of them can; ``over`` is called once nothing is left of it."""
        ...


class BoundedServer(ThreadedAssociationServer):
    """The listening socket.

    Parameters
    ----------
    entity : ApplicationEntity
        Own identity and timeouts.
    address : tuple of (host, port)
    attach : callable
        Called with every new association before it starts; returns whether it may.
    ended : callable
        Called with every association after its last thread has ended.
    max_connections : int
        Connections beyond this are closed at once; bounds the threads of callers that are not admitted yet.
    max_from_one : int
        The same for those from one address, so that no machine alone can take every place.
    socket_limits : SocketLimits
    clock : Clock
    prompt : bool
        Whether associations run on the reactors of `node.dimse.reactor`.
    elsewhere : Elsewhere, optional
        Gets the connections first; those that it does not take run in this process.
    tls : TlsPort, optional
        Connections begin with its handshake; without it, they are plain.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        entity: ApplicationEntity,
        address: tuple[str, int],
        *,
        attach: Callable[[Association], bool],
        ended: Callable[[Association], None],
        max_connections: int,
        max_from_one: int,
        socket_limits: SocketLimits,
        clock: Clock,
        prompt: bool,
        elsewhere: Elsewhere | None = None,
        tls: TlsPort | None = None,
    ) -> None:
        self._elsewhere = elsewhere
        self._tls = tls
        self._shaking: set[TlsConnection] = set()
        self._seldom = Seldom(clock)
        self.prompt = prompt
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
        """Stop accepting and close the port; handshakes under way end."""
        BaseServer.shutdown(self)
        self.server_close()
        with self._counting:
            shaking = list(self._shaking)
        for connection in shaking:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def tell(self, what: str, *about: str) -> None:
        """Log what an address does; what it repeats is counted."""
        repetitions = self._seldom.repetitions(what, *about)
        if repetitions is not None:
            logger.warning("%s%s", what % about, repetitions)

    def is_secure(self, connection: socket.socket) -> bool:  # noqa: ARG002 - what was handed over tells
        """Whether a connection begins with a TLS handshake."""
        return self._tls is not None

    def shake(self, connection: socket.socket) -> socket.socket:
        """Do the TLS handshake on a connection and return what takes its place.

        Raises
        ------
        OSError
            It failed, and the connection is closed.
        """
        if self._tls is None:
            raise ValueError("a connection over TLS, and no certificate")
        end = self.clock.monotonic() + min(self.socket_limits.request_seconds, HANDSHAKE_SECONDS)
        made = self._tls.begin(connection)
        with self._counting:
            self._shaking.add(made)
        try:
            made.shake(lambda: end - self.clock.monotonic())
        except BaseException:
            made.close()
            raise
        finally:
            with self._counting:
                self._shaking.discard(made)
        return as_socket(made)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        connection, address = super().get_request()
        without_delay(connection)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - socketserver's
        """Whether there is a place for one more connection."""
        address = client_address[0]
        with self._counting:
            free = self._open.total() < self._max_connections and self._open[address] < self._max_from_one
        if free:
            self._enter(address)
            return True
        self.tell("connection from %s closed: too many connections are open", address)
        return False

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection to another process or a thread; where none takes it, its place is free."""
        leave = partial(self._leave, client_address[0])
        if self._elsewhere is not None and self._elsewhere.take(
            request, client_address, self.server_address, leave, secure=self._tls is not None
        ):
            request.close()  # the other process has its own descriptor
            return
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

    def _enter(self, address: str) -> None:
        with self._counting:
            self._open[address] += 1

    def _leave(self, address: str) -> None:
        with self._counting:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's
        """Log what went wrong with a connection."""
        logger.exception("connection from %s failed", client_address[0])


class HandedServer(BoundedServer):
    """Runs connections that another process accepted; has no port.

    The parameters are those of `BoundedServer`, and `over`, which is called with the number of every
    connection of which nothing is left.
    """

    def __init__(self, *arguments: Any, over: Callable[[int], None], **keywords: Any) -> None:
        self._over = over
        self._numbers: dict[socket.socket, int] = {}
        self._secure: set[socket.socket] = set()
        super().__init__(*arguments, **keywords)

    def server_bind(self) -> None:
        """Leave the port to the other process."""

    def server_activate(self) -> None:
        """Listen for nothing."""

    def is_secure(self, connection: socket.socket) -> bool:
        """Whether a connection begins with a TLS handshake."""
        return connection in self._secure

    def run(
        self, connection: socket.socket, address: tuple[Any, ...], *, here: Any, number: int, secure: bool
    ) -> None:
        """Give a connection a thread.

        Parameters
        ----------
        connection : socket
        address : tuple
            Of the peer.
        here : tuple
            Address that it called.
        number : int
            Of the connection, where it was accepted.
        secure : bool
            Whether it begins with a TLS handshake.
        """
        self.server_address = here
        self._numbers[connection] = number
        if secure:
            self._secure.add(connection)
        self._enter(address[0])
        try:
            self.process_request(connection, address)
        except RuntimeError:  # the system has no thread for it
            self.handle_error(connection, address)
            self.shutdown_request(connection)
            self._end(connection)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Run one connection and tell of its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._end(request)

    def _end(self, connection: socket.socket) -> None:
        self._secure.discard(connection)
        self._over(self._numbers.pop(connection))
