"""One association that a peer opened: admission, its objects, its end."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from pydicom.uid import UID
from pynetdicom import evt

from node.dimse.admission import Caller, Gate, Refused, Rejection
from node.dimse.announcing import AnnouncementExchange
from node.dimse.commitment import STORAGE_COMMITMENT
from node.dimse.commitment_session import CommitmentExchange, CommitmentServices
from node.dimse.contexts import commitment_context, supported_contexts
from node.dimse.finding import FindExchange
from node.dimse.incoming import IncomingMessages
from node.dimse.retrieving import RetrieveExchange
from node.dimse.services import (
    AffectedInstance,
    AnnouncementTaker,
    ObjectSink,
    Places,
    QueryProvider,
    RetrieveProvider,
    StorageServices,
)
from node.dimse.sockets import BoundedSocket
from node.dimse.status import Status
from node.domain.errors import GroundglassError, StoreError
from node.domain.network import Right
from node.domain.study import AssociationEnd

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.events import Event
    from pynetdicom.presentation import PresentationContext

    from node.domain.ports import Clock

logger = logging.getLogger(__name__)


def association_end(*, released: bool, timed_out: bool, stopped: bool) -> AssociationEnd:
    """Return how an association ended.

    Parameters
    ----------
    released : bool
        The peer asked for its release and was answered (PS3.8 section 7.2).
    timed_out : bool
        Nothing came for longer than allowed.
    stopped : bool
        This node was being stopped.
    """
    if released:
        return AssociationEnd.RELEASED
    if stopped:
        return AssociationEnd.RESTART
    return AssociationEnd.TIMEOUT if timed_out else AssociationEnd.ABORTED


class Session:
    """What this node keeps of one association.

    Parameters
    ----------
    association : Association
        Acceptor that has not been started.
    gate : Gate
        Decides whether the caller comes in.
    services : StorageServices
        The station that takes the objects.
    places : Places
        One place for each admitted association.
    max_object_bytes : int
        Limit on one data set.
    clock : Clock
    commitment : CommitmentServices
        Who takes part in storage commitment.
    query : QueryProvider, optional
        Who answers queries; by default nobody does.
    retrieve : RetrieveProvider, optional
        Who sends what is stored here; by default nobody does.
    announcements : AnnouncementTaker, optional
        Who takes procedure steps and notifications; by default nobody does.
    """

    def __init__(
        self,
        association: Association,
        *,
        gate: Gate,
        services: StorageServices,
        places: Places,
        max_object_bytes: int,
        clock: Clock,
        commitment: CommitmentServices,
        query: QueryProvider | None = None,
        retrieve: RetrieveProvider | None = None,
        announcements: AnnouncementTaker | None = None,
    ) -> None:
        self._association = association
        self._gate = gate
        self._services = services
        self._places = places
        self._holds_place = False
        self._caller: Caller | None = None
        self._association_id: int | None = None
        self._stopped = False
        self._lock = threading.Lock()
        self._messages = IncomingMessages(association, self._open_sink, max_object_bytes)
        association.dimse = self._messages
        self._commitment = commitment
        CommitmentExchange(association, self._messages, commitment, self._admitted)
        self._answers_queries = query is not None
        if query is not None:
            FindExchange(association, self._messages, query, self._admitted)
        self._sends = retrieve is not None
        if retrieve is not None:
            RetrieveExchange(association, self._messages, retrieve, self._admitted, clock)
        self._takes_announcements = announcements is not None
        if announcements is not None:
            AnnouncementExchange(association, self._messages, announcements, self._admitted)
        association.bind(evt.EVT_REQUESTED, self._on_requested)
        association.bind(evt.EVT_C_ECHO, self._on_echo)
        association.bind(evt.EVT_CONN_CLOSE, self._on_disconnected)
        association.bind(evt.EVT_RELEASED, self._on_end)
        association.bind(evt.EVT_ABORTED, self._on_end)

    def stop(self) -> None:
        """Abort the association because this node stops; nothing that was acknowledged is lost by it."""
        self._stopped = True
        self._association.abort(block=False)

    def cut(self) -> None:
        """Close the connection of a peer that does not react to the abort."""
        connection = self._association.dul.socket
        if isinstance(connection, BoundedSocket):
            connection.cut()

    def ended(self) -> None:
        """Clear up after the last thread of the association has ended, however it did."""
        self._messages.discard()
        try:
            self._close()
        finally:
            if self._holds_place:
                self._holds_place = False
                self._places.release()

    def _on_disconnected(self, event: Event) -> None:
        if event.assoc.requestor.primitive is None:
            # The association's thread still waits for the request; nothing in the queue ends that.
            event.assoc.dul.to_user_queue.put(None)

    def _on_requested(self, event: Event) -> None:
        requestor = event.assoc.requestor
        request, address = requestor.primitive, requestor.address_info
        if request is None or address is None:
            raise ValueError("an association request without content")  # the event comes with both
        caller = Caller(
            calling_ae_title=request.calling_ae_title.strip(),
            called_ae_title=request.called_ae_title.strip(),
            address=address.address,
        )
        place = self._association.dul.socket
        names = place.names if isinstance(place, BoundedSocket) else None
        decision = self._gate.decide(caller, names)
        if isinstance(decision, Refused):
            logger.warning(
                "association of %r from %s refused: %s",
                caller.calling_ae_title,
                caller.address,
                decision.reason,
            )
            self._reject(decision.rejection)
            self._services.refused(caller, decision.reason)
            return
        self._holds_place = self._places.acquire(blocking=False)
        if not self._holds_place:
            logger.warning("association of %r refused: all places are taken", caller.calling_ae_title)
            self._reject(Rejection.LIMIT)
            return
        try:
            self._association_id = self._services.opened(caller)
        except StoreError:
            logger.exception("association of %r refused: it cannot be recorded", caller.calling_ae_title)
            self._reject(Rejection.CONGESTION)
            return
        self._caller = caller
        event.assoc.acceptor.supported_contexts = supported_contexts(
            request.presentation_context_definition_list,
            decision.rights,
            commitment=self._commitment_context(decision.rights),
            queries=self._answers_queries,
            retrievals=self._sends,
            announcements=self._takes_announcements,
            storing=[uid for uid, role in event.assoc.requestor.role_selection.items() if role.scp_role],
        )

    def _commitment_context(self, rights: frozenset[Right]) -> PresentationContext | None:
        role = self._association.requestor.role_selection.get(UID(STORAGE_COMMITMENT))
        takes_reports = self._commitment.user is not None
        reports = role is not None and bool(role.scp_role)
        if takes_reports and reports and Right.COMMITMENT not in rights:
            caller = self._admitted()
            logger.warning(
                "%r may not report on storage commitment: it lacks the right `commitment` under [[peers]]",
                caller.calling_ae_title,
            )
        return commitment_context(
            rights,
            provides=self._commitment.provider is not None,
            takes_reports=takes_reports,
            reports=reports,
        )

    def _admitted(self) -> Caller:
        if self._caller is None:
            raise ValueError("a request came on an association that was not admitted")
        return self._caller

    def _reject(self, rejection: Rejection) -> None:
        self._association.acse.send_reject(*rejection.value)
        self._association.kill()  # returns when the rejection is sent and the connection closed

    def _open_sink(self, affected: AffectedInstance) -> ObjectSink:
        if self._association_id is None:
            raise ValueError("a C-STORE request came on an association that was not admitted")
        return self._services.receive(affected, caller=self._admitted(), association_id=self._association_id)

    def _on_echo(self, _event: Event) -> int:
        return int(Status.SUCCESS)

    def _on_end(self, _event: Event) -> None:
        self._close()

    def _close(self) -> None:
        with self._lock:
            association_id, self._association_id = self._association_id, None
        if association_id is None:
            return
        connection = self._association.dul.socket
        timed_out = self._association.dul.idle_timer_expired() or (
            isinstance(connection, BoundedSocket) and connection.timed_out
        )
        end = association_end(
            released=self._association.is_released, timed_out=timed_out, stopped=self._stopped
        )
        try:
            self._services.closed(association_id, end)
        except GroundglassError:
            logger.exception("the end of association %d cannot be recorded", association_id)
