"""The listener: opens the port, runs the associations, stops cleanly."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from node.dimse.admission import Gate
from node.dimse.certificates import TlsPort
from node.dimse.commitment_session import CommitmentServices
from node.dimse.entity import Timeouts, application_entity
from node.dimse.receivers import Receivers
from node.dimse.services import (
    AnnouncementTaker,
    Places,
    QueryProvider,
    RetrieveProvider,
    StorageServices,
)
from node.dimse.session import Session
from node.dimse.sockets import SocketLimits
from node.dimse.transport import BoundedServer, HandedServer
from node.domain.errors import PortTaken
from node.domain.network import ListenLimits, TlsListen
from node.domain.ports import Clock

if TYPE_CHECKING:
    from pynetdicom.association import Association

logger = logging.getLogger(__name__)

Server = TypeVar("Server", bound=BoundedServer)

CONNECTIONS_PER_ASSOCIATION = 4
"""Connections that may be open for each association that may be admitted: callers that have not said yet who
they are need places, but not without end."""
SPARE_CONNECTIONS = 16
POLL_SECONDS = 0.05
NO_COMMITMENT = CommitmentServices()


class Listener:
    """An application entity that accepts associations: storage, verification, commitment, query/retrieve.

    Parameters
    ----------
    ae_title : str
        Own AE title.
    host : str
        Address to listen on; empty for all.
    port : int
        0 lets the system choose one.
    limits : ListenLimits
        What a peer may make big.
    gate : Gate
        Who comes in.
    services : StorageServices
        The station that takes the objects.
    clock : Clock
    commitment : CommitmentServices
        Who takes part in storage commitment; by default nobody does.
    query : QueryProvider, optional
        Who answers queries; by default nobody does.
    retrieve : RetrieveProvider, optional
        Who sends what is stored here; by default nobody does.
    announcements : AnnouncementTaker, optional
        Who takes procedure steps and notifications of availability; by default nobody does.
    places : Places, optional
        Where another process bounds the associations, what asks it; else ``limits`` do.
    receivers : Receivers, optional
        Processes that run the associations; by default this one does.
    tls : TlsListen, optional
        A port for associations over TLS.
    plain : bool
        Whether ``port`` is opened: for associations without TLS.

    Raises
    ------
    CertificateError
        The files of ``tls`` cannot be used.
    """

    def __init__(
        self,
        *,
        ae_title: str,
        host: str,
        port: int,
        limits: ListenLimits,
        gate: Gate,
        services: StorageServices,
        clock: Clock,
        commitment: CommitmentServices = NO_COMMITMENT,
        query: QueryProvider | None = None,
        retrieve: RetrieveProvider | None = None,
        announcements: AnnouncementTaker | None = None,
        places: Places | None = None,
        receivers: Receivers | None = None,
        tls: TlsListen | None = None,
        plain: bool = True,
    ) -> None:
        self._ae_title = ae_title
        self._host = host
        self._ports = ([(port, False)] if plain else []) + ([(tls.port, True)] if tls is not None else [])
        self._tls = TlsPort(tls) if tls is not None else None
        self._limits = limits
        self._gate = gate
        self._services = services
        self._clock = clock
        self._commitment = commitment
        self._query = query
        self._retrieve = retrieve
        self._announcements = announcements
        self._places = places or threading.BoundedSemaphore(limits.max_associations)
        self._receivers = receivers
        self._sessions: dict[Association, Session] = {}
        self._changed = threading.Condition()
        self._accepts = False
        self._servers: list[tuple[BoundedServer, threading.Thread]] = []
        self.tls_port: int | None = None
        """Number of the port for associations over TLS, once it is open."""

    @property
    def connections(self) -> int:
        """Return the number of connections that are open."""
        elsewhere = self._receivers.connections if self._receivers is not None else 0
        with self._changed:
            return len(self._sessions) + elsewhere

    def start(self) -> int:
        """Open the ports and return the number of the first: that without TLS, where there is one.

        Raises
        ------
        PortTaken
            A port cannot be opened; none is.
        """
        for port, secure in self._ports:
            self._servers.append(self._open(port, secure=secure))
        self._accepts = True
        if self._receivers is not None:
            self._receivers.start(self._places, self._services)
        opened = [int(server.server_address[1]) for server, _ in self._servers]
        for (_, thread), port, (_, secure) in zip(self._servers, opened, self._ports, strict=True):
            thread.start()
            logger.info("%s listens on port %d%s", self._ae_title, port, ", TLS" if secure else "")
            if secure:
                self.tls_port = port
        return opened[0]

    def _open(self, port: int, *, secure: bool) -> tuple[BoundedServer, threading.Thread]:
        kind = partial(BoundedServer, elsewhere=self._receivers, tls=self._tls if secure else None)
        try:
            server = self._make_server(kind, port)
        except OSError as error:
            for earlier, _ in self._servers:
                earlier.server_close()
            self._servers.clear()
            key = "tls.port" if secure else "node.port"
            raise PortTaken(
                f"{key}: cannot listen on {self._host}:{port} ({error.strerror}); free it or choose another"
            ) from error
        name = f"listener-{self._ae_title}{'-tls' if secure else ''}"
        return server, threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), name=name)

    def start_without_port(self, over: Callable[[int], None]) -> HandedServer:
        """Return what runs connections that another process accepted.

        Parameters
        ----------
        over : callable
            Is called with the number of every connection of which nothing is left.
        """
        self._accepts = True
        return self._make_server(partial(HandedServer, over=over, tls=self._tls), 0)

    def _make_server(self, kind: Callable[..., Server], port: int) -> Server:
        limits = self._limits
        entity = application_entity(
            self._ae_title,
            max_pdu=limits.max_pdu,
            timeouts=Timeouts(
                acse=limits.acse_seconds, dimse=limits.dimse_seconds, network=limits.idle_seconds
            ),
        )
        connections = limits.max_associations * CONNECTIONS_PER_ASSOCIATION + SPARE_CONNECTIONS
        entity.maximum_associations = connections  # the library counts callers that have said nothing yet too
        return kind(
            entity,
            (self._host, port),
            attach=self._attach,
            ended=self._ended,
            max_connections=connections,
            max_from_one=connections - limits.max_associations,
            socket_limits=SocketLimits(
                max_pdu=limits.max_pdu,
                request_seconds=limits.acse_seconds,
                pdu_seconds=limits.idle_seconds,
            ),
            clock=self._clock,
            prompt=limits.prompt,
        )

    def stop(self, *, grace_seconds: float = 5.0, abort_seconds: float = 5.0) -> bool:
        """Close the port, let associations end, abort the rest; return whether none is left.

        Parameters
        ----------
        grace_seconds : float
            How long associations may go on by themselves.
        abort_seconds : float
            How long aborted ones may take before their connections are cut, and then again.
        """
        for server, thread in self._servers:
            server.shutdown()
            thread.join()
        self._servers.clear()
        with self._changed:
            self._accepts = False  # of a connection that was accepted last the thread may only begin
        if self._receivers is None:
            return self._stop_sessions(grace_seconds, abort_seconds)
        self._receivers.begin_stop(grace_seconds=grace_seconds, abort_seconds=abort_seconds)
        try:
            return self._stop_sessions(grace_seconds, abort_seconds)
        finally:
            self._receivers.finish_stop(grace_seconds + 3 * abort_seconds)

    def _stop_sessions(self, grace_seconds: float, abort_seconds: float) -> bool:
        if self._wait_until_empty(grace_seconds):
            return True
        for session in self._open_sessions():
            session.stop()
        if self._wait_until_empty(abort_seconds):
            return True
        for session in self._open_sessions():
            session.cut()
        if self._wait_until_empty(abort_seconds):
            return True
        logger.error("%d associations did not end", len(self._open_sessions()))
        return False

    def _open_sessions(self) -> list[Session]:
        with self._changed:
            return list(self._sessions.values())

    def _wait_until_empty(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._sessions, timeout=seconds)

    def _attach(self, association: Association) -> bool:
        session = Session(
            association,
            gate=self._gate,
            services=self._services,
            places=self._places,
            max_object_bytes=self._limits.max_object_bytes,
            clock=self._clock,
            commitment=self._commitment,
            query=self._query,
            retrieve=self._retrieve,
            announcements=self._announcements,
        )
        with self._changed:
            if self._accepts:
                self._sessions[association] = session
            return self._accepts

    def _ended(self, association: Association) -> None:
        session = self._sessions[association]
        try:
            session.ended()
        finally:
            with self._changed:
                del self._sessions[association]
                self._changed.notify_all()
