"""What the listening side needs from the station behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Protocol

from node.dicom.transcode import Transcoder
from node.dimse.admission import Caller
from node.dimse.commitment import CommitmentReport, CommitmentRequest
from node.dimse.queries import FindRequest, FoundMatch, Retrievable, RetrieveRequest
from node.domain.announcement import AnnouncedInstance, StepEvent
from node.domain.network import MoveDestination
from node.domain.study import AssociationEnd


@dataclass(frozen=True, kw_only=True)
class AffectedInstance:
    """The SOP instance that a request to store names before its data set arrives."""

    sop_class_uid: str
    """AffectedSOPClassUID (0000,0002), or MediaStorageSOPClassUID (0002,0002)."""
    sop_instance_uid: str
    """AffectedSOPInstanceUID (0000,1000), or MediaStorageSOPInstanceUID (0002,0003)."""
    transfer_syntax_uid: str
    """Of the accepted presentation context, or of the File Meta Information."""
    study_instance_uid: str = ""
    """Of the only study to which the request stores (PS3.18 section 10.5.1); empty for any."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where a stored instance belongs, by its own data set."""

    study_instance_uid: str
    series_instance_uid: str


class ObjectSink(Protocol):
    """Takes one data set while it arrives.

    ``write`` is called on the thread that reads the socket, ``finish`` on the one that answers. ``discard``
    comes last whatever happened, also after ``finish``.
    """

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes.

        Raises
        ------
        GroundglassError
        """
        ...

    def finish(self) -> Placed | None:
        """Make the object durable; it is acknowledged when this returns.

        Returns
        -------
        Placed or None
            Where it belongs; None where the station does not say.

        Raises
        ------
        GroundglassError
        """
        ...

    def discard(self) -> None:
        """Release what is held and remove what was not made durable."""
        ...


class Places(Protocol):
    """Bounds the associations that are admitted; a semaphore is one."""

    def acquire(self, blocking: bool = True) -> bool:
        """Take a place; return whether there was one."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class StorageServices(Protocol):
    """The station behind a listener. Called from several threads at once."""

    def opened(self, caller: Caller) -> int:
        """Record an association that is admitted; return its number."""
        ...

    def closed(self, association_id: int, end: AssociationEnd) -> None:
        """Record how an association ended."""
        ...

    def refused(self, caller: Caller, reason: str) -> None:
        """Record a caller that was not let in."""
        ...

    def receive(self, affected: AffectedInstance, *, caller: Caller, association_id: int) -> ObjectSink:
        """Return where the data set of a C-STORE goes.

        Raises
        ------
        GroundglassError
        """
        ...


class CommitmentUser(Protocol):
    """Takes what destinations report of storage commitments that this node asked for."""

    def reported(self, report: CommitmentReport, *, caller: Caller) -> None:
        """Record a report; it is acknowledged when this returns.

        Raises
        ------
        UnknownSubject
            This caller was asked for no such transaction.
        StoreError
            It cannot be recorded now; the caller may report it again.
        """
        ...


class CommitmentProvider(Protocol):
    """Commits itself to keep objects that a peer has stored here."""

    def requested(self, request: CommitmentRequest, *, caller: Caller) -> None:
        """Take a request; it is acknowledged when this returns.

        Raises
        ------
        TransactionInUse, TooManyRequests, GroundglassError
        """
        ...

    def report_now(
        self, request: CommitmentRequest, *, caller: Caller, waits: Callable[[], bool]
    ) -> CommitmentReport | None:
        """Return what is kept and what is not, to be reported on the association of the request.

        Called once the request is acknowledged; None where that is said later, on another association.

        Parameters
        ----------
        request : CommitmentRequest
        caller : Caller
        waits : callable
            Whether the caller still waits for it.

        Raises
        ------
        GroundglassError
        """
        ...

    def reported(self, report: CommitmentReport, *, caller: Caller) -> None:
        """Take note that the caller has acknowledged a report on the association of its request.

        Raises
        ------
        GroundglassError
        """
        ...


class AnnouncementTaker(Protocol):
    """Takes what peers announce of instances."""

    def step_created(
        self, sop_instance_uid: str, listed: Sequence[AnnouncedInstance], *, caller: Caller
    ) -> str:
        """Record a performed procedure step that begins; return its SOP Instance UID.

        Parameters
        ----------
        sop_instance_uid : str
            Empty where the peer leaves it to this node.
        listed : sequence of AnnouncedInstance
        caller : Caller

        Raises
        ------
        AnnouncementKnown, StoreError
        """
        ...

    def step_set(
        self,
        sop_instance_uid: str,
        event: StepEvent,
        listed: Sequence[AnnouncedInstance] | None,
        *,
        caller: Caller,
    ) -> None:
        """Record a change of a performed procedure step; a list of None leaves that which is there.

        Raises
        ------
        UnknownSubject, StepOfAnother, StepEnded, StoreError
        """
        ...

    def notified(self, sop_instance_uid: str, listed: Sequence[AnnouncedInstance], *, caller: Caller) -> str:
        """Record a notification of availability; return its SOP Instance UID.

        Raises
        ------
        AnnouncementKnown, StoreError
        """
        ...


class QueryProvider(Protocol):
    """Finds what is stored here."""

    def matches(self, request: FindRequest, *, caller: Caller) -> Iterator[Sequence[FoundMatch]]:
        """Yield what matches a query, some at a time; what was yielded is sent before the next is asked for.

        Raises
        ------
        QueryMalformed
            The identifier does not fit the SOP class.
        GroundglassError
            The search failed.
        """
        ...


class RetrieveProvider(Protocol):
    """Finds what is to be sent, and where to."""

    @property
    def transcoder(self) -> Transcoder:
        """Gives an instance in another transfer syntax than the stored one."""
        ...

    def instances(self, request: RetrieveRequest, *, caller: Caller) -> Sequence[Retrievable]:
        """Return what a retrieval names.

        Raises
        ------
        QueryMalformed
            The identifier does not fit the SOP class.
        GroundglassError
            The search failed.
        """
        ...

    def locate(self, item: Retrievable) -> Path:
        """Return the file of an instance, which has the size that it was stored with.

        Raises
        ------
        ObjectMissing, ObjectDamaged
        """
        ...

    def scratch(self) -> AbstractContextManager[RawIOBase]:
        """Lend a file that is gone afterwards, for what does not fit in memory.

        Raises
        ------
        StoreError
        """
        ...

    def destination(self, ae_title: str) -> MoveDestination | None:
        """Return where a move destination is, None when there is none of this AE title."""
        ...
