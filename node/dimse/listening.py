"""The listener: opens the port, runs the associations, stops cleanly."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from node.dimse.admission import Gate
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
from node.domain.network import ListenLimits
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
    ) -> None:
        self._ae_title = ae_title
        self._address = (host, port)
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
        self._server: BoundedServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def connections(self) -> int:
        """Return the number of connections that are open."""
        elsewhere = self._receivers.connections if self._receivers is not None else 0
        with self._changed:
            return len(self._sessions) + elsewhere

    def start(self) -> int:
        """Open the port and return its number.

        Raises
        ------
        OSError
            When the port cannot be opened.
        """
        self._server = server = self._make_server(partial(BoundedServer, elsewhere=self._receivers))
        self._thread = threading.Thread(
            target=server.serve_forever, args=(POLL_SECONDS,), name=f"listener-{self._ae_title}"
        )
        self._accepts = True
        if self._receivers is not None:
            self._receivers.start(self._places, self._services)
        self._thread.start()
        port = int(server.server_address[1])
        logger.info("%s listens on port %d", self._ae_title, port)
        return port

    def start_without_port(self, over: Callable[[int], None]) -> HandedServer:
        """Return what runs connections that another process accepted.

        Parameters
        ----------
        over : callable
            Is called with the number of every connection of which nothing is left.
        """
        self._accepts = True
        return self._make_server(partial(HandedServer, over=over))

    def _make_server(self, kind: Callable[..., Server]) -> Server:
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
            self._address,
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
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server = self._thread = None
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
