"""Associations on which an archive is searched and asked for objects: C-FIND, C-MOVE and C-GET as a user.

By C-MOVE the objects come on associations that the archive opens, by C-GET on the association of the request,
where they go to their sinks as they arrive, as those do that a peer sends by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian
from pynetdicom.dimse_primitives import C_CANCEL
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import

from node.dimse.contexts import (
    CONVERTIBLE,
    MAX_CONTEXTS,
    STORAGE_SOP_CLASSES,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    TRANSFER_SYNTAXES,
)
from node.dimse.entity import Entity, Timeouts, application_entity
from node.dimse.incoming import IncomingMessages
from node.dimse.messages import BoundedMessages
from node.dimse.scu import Remote, RequestingAssociation, open_association
from node.dimse.status import query_meaning_of
from node.domain.errors import DestinationRefused, DestinationUnavailable

if TYPE_CHECKING:
    from ssl import SSLContext

    from pynetdicom.association import Association
    from pynetdicom.dimse import _QueueItem
    from pynetdicom.transport import AddressInformation

    from node.dimse.services import AffectedInstance, ObjectSink
    from node.dimse.sockets import CallingSocket
    from node.dimse.store_commands import StoreRequest
    from node.dimse.storing import ArrivingObject

logger = logging.getLogger(__name__)

PENDING: Final = frozenset({0xFF00, 0xFF01})
"""Matches or sub-operations are continuing (PS3.4 tables C.4-1, C.4-2, C.4-3)."""
SUCCESS: Final = 0x0000
RETRIEVAL_MEANINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0xA701: "refused: out of resources, unable to count the matches",
        0xA702: "refused: out of resources, unable to send",
        0xA801: "refused: it does not know this node as a move destination; add it there",
        0xA900: "error: identifier does not match SOP class",
        0xB000: "some of the objects failed",
        0xFE00: "it was cancelled",
    }
)
"""PS3.4 tables C.4-2 and C.4-3."""
ENDED: Final = (
    "NumberOfCompletedSuboperations",
    "NumberOfFailedSuboperations",
    "NumberOfWarningSuboperations",
)
"""Sub-operations that a response to a retrieval counts, besides those that remain."""
MAX_WAITING: Final = 20_000
"""Matches that may wait to be read."""
COMPRESSED: Final = tuple(
    uid
    for uid in TRANSFER_SYNTAXES
    if uid not in CONVERTIBLE and uid not in {ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)
"""Proposed in the order of preference, as far as there is room."""


Answers: TypeAlias = "Iterator[tuple[Dataset, Dataset | None]]"


@dataclass(frozen=True, kw_only=True)
class Retrieved:
    """What a retrieval was answered with at last."""

    status: int
    text: str
    """In words."""
    completed: int
    """Sub-operations; 0 where the archive does not count."""
    failed: int

    @property
    def success(self) -> bool:
        """Whether every sub-operation succeeded."""
        return self.status == SUCCESS


class FetchedMessages(IncomingMessages):
    """The messages of an association on which this node asks for objects and takes them.

    While the response to the request is waited for, each object is answered as soon as it is durable: the
    archive sends the next one only then.

    Parameters
    ----------
    association : Association
        Requestor.
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
        super().__init__(association, open_sink, max_object_bytes)
        self._max_waiting = MAX_WAITING
        self._objects = 0

    def get_msg(self, block: bool = False) -> _QueueItem:
        """Return the next response; as long as objects arrive, there is time for it."""
        while True:
            seen = self._objects
            item = BoundedMessages.get_msg(self, block)
            if item[1] is not None or not block or seen == self._objects or not self.alive:
                return item

    def write(self, pdus: bytes) -> None:
        """Write PDUs to the connection."""
        connection = self.dul.socket
        if connection is not None:
            connection.send(pdus)

    def _complete_object(self, request: StoreRequest, context_id: int, arriving: ArrivingObject) -> None:
        self._objects += 1
        self._answer(request, context_id, arriving)


class _FetchingEntity(Entity):
    """An application entity whose associations take objects."""

    open_sink: Callable[[AffectedInstance], ObjectSink]
    max_object_bytes: int

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: tuple[SSLContext, str] | None
    ) -> CallingSocket:
        sock = super()._create_socket(assoc, address, tls_args)
        assoc.dimse = FetchedMessages(assoc, self.open_sink, self.max_object_bytes)
        return sock


class FetchingAssociation(RequestingAssociation):
    """An open association on which an archive is searched and asked. Made by `associate_to_fetch`."""

    def __init__(self, association: Association, remote: Remote) -> None:
        super().__init__(association, remote)
        self._running: tuple[int, str] | None = None
        self._told = 0

    @property
    def told(self) -> int:
        """How often the archive told of more ended sub-operations of a retrieval than before."""
        return self._told

    def find(self, identifier: Dataset, *, limit: int, go_on: Callable[[], None]) -> list[Dataset]:
        """Return the matches of a query of the Study Root (PS3.4 section C.4.1).

        Parameters
        ----------
        identifier : Dataset
        limit : int
            Most matches.
        go_on : callable
            Called with each match; raises when no more are waited for.

        Raises
        ------
        DestinationUnavailable
            The association ended before the answer.
        DestinationRefused
            The archive says no, or answers with more matches than ``limit``.
        """
        found: list[Dataset] = []
        association, message_id = self._serving(STUDY_ROOT_FIND, "C-FIND"), self._next()
        answers = association.send_c_find(identifier, STUDY_ROOT_FIND, msg_id=message_id)
        for number, (answer, match) in enumerate(self._cancellable(answers, message_id, STUDY_ROOT_FIND)):
            status = self._status(answer, "C-FIND")
            if status not in PENDING:
                meaning = query_meaning_of(status)
                if not meaning.delivered:
                    kind = DestinationUnavailable if meaning.retryable else DestinationRefused
                    raise kind(f"{self._remote} answered C-FIND with {meaning.text}")
                return found
            if number >= limit:  # one that cannot be read counts, too: there may be no end of them
                raise DestinationRefused(
                    f"{self._remote} has more than {limit} matches; narrow what is looked for"
                )
            go_on()
            if match is not None:
                found.append(match)
        raise DestinationUnavailable(f"{self._remote} did not end its answer to C-FIND")

    def move(self, identifier: Dataset, *, destination: str) -> Retrieved:
        """Have objects sent to an application entity (PS3.4 section C.4.2); return the final answer.

        Raises
        ------
        DestinationUnavailable
            The association ended before the answer.
        DestinationRefused
            The archive offers no C-MOVE.
        """
        association, message_id = self._serving(STUDY_ROOT_MOVE, "C-MOVE"), self._next()
        answers = association.send_c_move(identifier, destination, STUDY_ROOT_MOVE, msg_id=message_id)
        return self._retrieved(self._cancellable(answers, message_id, STUDY_ROOT_MOVE), "C-MOVE")

    def get(self, identifier: Dataset) -> Retrieved:
        """Get objects on this association (PS3.4 section C.4.3); return the final answer.

        Raises
        ------
        DestinationUnavailable
            The association ended before the answer.
        DestinationRefused
            The archive offers no C-GET.
        """
        association, message_id = self._serving(STUDY_ROOT_GET, "C-GET"), self._next()
        answers = association.send_c_get(identifier, STUDY_ROOT_GET, msg_id=message_id)
        return self._retrieved(self._cancellable(answers, message_id, STUDY_ROOT_GET), "C-GET")

    def cancel(self) -> None:
        """Ask the archive to end what it is doing (C-CANCEL, PS3.7 section 9.3.2.3); from any thread."""
        running = self._running
        if running is None:
            return
        request = C_CANCEL()
        request.MessageIDBeingRespondedTo, abstract_syntax = running
        for context in self._association.accepted_contexts:
            if context.abstract_syntax == abstract_syntax and context.context_id is not None:
                self._association.dimse.send_msg(request, context.context_id)

    def abort(self) -> None:
        """End the association at once, and the wait for its answers; called from any thread."""
        self._association.abort()
        self._association.dimse.msg_queue.put((None, None))

    def _cancellable(self, answers: Answers, message_id: int, abstract_syntax: str) -> Answers:
        """Yield the answers to a request that was sent, which may be cancelled until the last one."""
        self._running = message_id, abstract_syntax
        try:
            yield from answers
        finally:
            self._running = None

    def _retrieved(self, answers: Answers, service: str) -> Retrieved:
        most = 0
        for answer, _ in answers:
            status = self._status(answer, service)
            ended = sum(int(answer.get(keyword) or 0) for keyword in ENDED)
            if ended > most:
                most, self._told = ended, self._told + 1
            if status not in PENDING:
                text = "success" if status == SUCCESS else RETRIEVAL_MEANINGS.get(status, "error")
                return Retrieved(
                    status=status,
                    text=f"{status:04X}H {text}",
                    completed=int(answer.get("NumberOfCompletedSuboperations") or 0),
                    failed=int(answer.get("NumberOfFailedSuboperations") or 0),
                )
        raise DestinationUnavailable(f"{self._remote} did not end its answer to {service}")

    def _serving(self, abstract_syntax: str, service: str) -> Association:
        """Return the association for a request of a service that the archive offers on it."""
        association = self._ready()
        if not self._accepts(abstract_syntax):
            raise DestinationRefused(f"{self._remote} offers no {service} to this node; allow it there")
        return association


@contextmanager
def associate_to_fetch(
    remote: Remote, *, calling_ae_title: str, timeouts: Timeouts, move: bool = False
) -> Iterator[FetchingAssociation]:
    """Open an association on which an archive is searched, and asked to send objects elsewhere.

    Parameters
    ----------
    remote : Remote
        Who is called.
    calling_ae_title : str
        Own AE title.
    timeouts : Timeouts
        How long to wait.
    move : bool
        Whether C-MOVE is proposed too.

    Raises
    ------
    DestinationUnavailable
        There is no association.
    DestinationRefused
        The archive accepted no presentation context at all.
    """
    services = [STUDY_ROOT_FIND, *([STUDY_ROOT_MOVE] if move else []), str(Verification)]
    contexts = [build_context(uid, list(CONVERTIBLE)) for uid in services]
    with open_association(remote, calling_ae_title, contexts, timeouts) as association:
        yield FetchingAssociation(association, remote)


@contextmanager
def associate_to_get(
    remote: Remote,
    *,
    calling_ae_title: str,
    timeouts: Timeouts,
    sop_classes: Sequence[str],
    open_sink: Callable[[AffectedInstance], ObjectSink],
    max_object_bytes: int,
) -> Iterator[FetchingAssociation]:
    """Open an association on which objects are got.

    Parameters
    ----------
    remote : Remote
        Who is called.
    calling_ae_title : str
        Own AE title.
    timeouts : Timeouts
        How long to wait.
    sop_classes : sequence of str
        Of the objects.
    open_sink : callable
        From an `AffectedInstance` to where its data set goes; called on another thread.
    max_object_bytes : int
        Largest object.

    Raises
    ------
    DestinationUnavailable
        There is no association.
    DestinationRefused
        The archive accepted no presentation context at all.
    """
    plain = application_entity(calling_ae_title, timeouts=timeouts)
    entity = _FetchingEntity(ae_title=calling_ae_title)
    entity.open_sink, entity.max_object_bytes = open_sink, max_object_bytes
    entity.maximum_pdu_size = plain.maximum_pdu_size
    entity.connection_timeout, entity.acse_timeout = plain.connection_timeout, plain.acse_timeout
    entity.dimse_timeout, entity.network_timeout = plain.dimse_timeout, plain.network_timeout
    wanted = [uid for uid in dict.fromkeys(sop_classes) if uid in STORAGE_SOP_CLASSES]
    with open_association(
        remote, calling_ae_title, get_contexts(wanted), timeouts, entity=entity, roles=wanted
    ) as association:
        try:
            yield FetchingAssociation(association, remote)
        finally:
            messages = association.dimse
            if isinstance(messages, FetchedMessages):
                messages.discard()


def get_contexts(sop_classes: Sequence[str]) -> list[PresentationContext]:
    """Return what is proposed to get objects of some SOP classes.

    One context for each transfer syntax: of a context with several, the archive may choose one that does not
    fit every object. The uncompressed ones come first for every class, then as many others as there is room.

    Parameters
    ----------
    sop_classes : sequence of str
        At most as many as an association has room for in explicit and implicit VR; the rest is left out.
    """
    contexts = [build_context(STUDY_ROOT_GET, list(CONVERTIBLE))]
    pairs = [(sop_class, syntax) for syntax in (*CONVERTIBLE, *COMPRESSED) for sop_class in sop_classes]
    for sop_class, syntax in pairs[: MAX_CONTEXTS - len(contexts)]:
        contexts.append(build_context(sop_class, syntax))
    return contexts
