"""C-STORE: an object goes through the spool into the object files and the index, then it is acknowledged."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from node.dicom.part10 import part10_prefix
from node.dicom.read import read_header
from node.dimse.admission import Caller
from node.dimse.services import AffectedInstance, Placed
from node.domain.errors import IdentityMismatch
from node.domain.ports import Clock, ObjectFiles, Spooled
from node.domain.study import Arrival, AssociationEnd, InstanceHeader, Intake
from node.store.intake import IntakeRecords

logger = logging.getLogger(__name__)

ASIDE = frozenset({Intake.CONFLICT, Intake.TO_COMPARE})
"""What is kept beside the index: under its UID lies another object, or none."""


@dataclass(frozen=True, kw_only=True)
class Intakes:
    """Where an object goes."""

    files: ObjectFiles
    records: IntakeRecords
    clock: Clock
    own_device_uids: Callable[[], frozenset[str]]
    """Returns the Device UIDs of this node's results, for the loop guard."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Whom an object comes from."""

    calling_ae_title: str
    association_id: int


class StorageService:
    """The station behind the node's listener.

    Parameters
    ----------
    files : ObjectFiles
        Where the bytes go.
    records : IntakeRecords
        The index.
    clock : Clock
        Time of arrival.
    own_device_uids : callable
        Returns the Device UIDs of this node's results: an object that bears one opens no study. Asked for
        each object, for a model may come into use at any time.
    """

    def __init__(
        self,
        *,
        files: ObjectFiles,
        records: IntakeRecords,
        clock: Clock,
        own_device_uids: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self._intakes = Intakes(files=files, records=records, clock=clock, own_device_uids=own_device_uids)
        self._unrecorded: dict[int, AssociationEnd] = {}
        self._recording = threading.Lock()

    def opened(self, caller: Caller) -> int:
        """Record an association that is admitted; return its number."""
        return self._intakes.records.association_opened(caller.calling_ae_title, caller.address)

    def closed(self, association_id: int, end: AssociationEnd) -> None:
        """Record how an association ended.

        Raises
        ------
        StoreError
            The index takes nothing now; `record_ends` tries again.
        """
        logger.info("association %d %s", association_id, end.value)
        with self._recording:
            self._unrecorded[association_id] = end
        self.record_ends()

    def record_ends(self) -> None:
        """Record every end that could not be recorded when it came; a series whose association is open waits.

        Raises
        ------
        StoreError
            The index takes nothing still.
        """
        with self._recording:
            for association_id, end in list(self._unrecorded.items()):
                self._intakes.records.association_closed(association_id, end)
                del self._unrecorded[association_id]

    def refused(self, caller: Caller, reason: str) -> None:
        """Record a caller that was not let in."""
        self._intakes.records.caller_refused(caller.calling_ae_title, caller.address, reason)

    def receive(self, affected: AffectedInstance, *, caller: Caller, association_id: int) -> Reception:
        """Open the spool for one object.

        Raises
        ------
        OutOfSpace, StoreError
        """
        origin = Origin(calling_ae_title=caller.calling_ae_title, association_id=association_id)
        return Reception(affected, origin, self._intakes)


class Reception:
    """One object on its way in.

    The bytes after preamble and File Meta Information are exactly those that came. No pixel data are decoded
    before the answer: only the header is read.

    Parameters
    ----------
    affected : AffectedInstance
        What the C-STORE request names.
    origin : Origin
        Whom it comes from.
    intakes : Intakes
        Where it goes.
    """

    def __init__(self, affected: AffectedInstance, origin: Origin, intakes: Intakes) -> None:
        self._affected = affected
        self._origin = origin
        self._intakes = intakes
        with ExitStack() as held:  # what cannot even be begun leaves nothing in the spool
            self._spooled: Spooled = held.enter_context(intakes.files.spool())
            prefix = part10_prefix(
                sop_class_uid=affected.sop_class_uid,
                sop_instance_uid=affected.sop_instance_uid,
                transfer_syntax_uid=affected.transfer_syntax_uid,
            )
            self._prefix_bytes = len(prefix)
            self.write(prefix)
            self._held = held.pop_all()

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes.

        Raises
        ------
        OutOfSpace, StoreError
        """
        self._spooled.stream.write(data)

    def finish(self) -> Placed | None:
        """Check the object, make it durable and index it; return where it belongs, None if it is kept aside.

        Raises
        ------
        NotDicom, TruncatedObject, IdentityMissing, IdentityMismatch, ObjectTooLarge
            The object is refused.
        OutOfSpace, StoreError
            It cannot be stored.
        """
        with self._spooled.written() as stream:
            header = read_header(
                stream, transfer_syntax_uid=self._affected.transfer_syntax_uid, begin=self._prefix_bytes
            )
        require_same_instance(self._affected, header)
        stored = self._spooled.commit()
        intake = self._intakes.records.add(
            Arrival(
                header=header,
                object_key=stored.key,
                sha256=stored.sha256,
                size=stored.size,
                received_at=self._intakes.clock.now(),
                calling_ae_title=self._origin.calling_ae_title,
                association_id=self._origin.association_id,
            ),
            own_device_uids=self._intakes.own_device_uids(),
        )
        level = logging.DEBUG if intake in {Intake.NEW, Intake.REPEATED} else logging.INFO
        logger.log(level, "intake %s by association %d", intake.value, self._origin.association_id)
        if intake in ASIDE:
            return None
        return Placed(
            study_instance_uid=header.study_instance_uid, series_instance_uid=header.series_instance_uid
        )

    def discard(self) -> None:
        """Close the spool; removes the bytes unless they were committed."""
        self._held.close()


def require_same_instance(affected: AffectedInstance, header: InstanceHeader) -> None:
    """Check that request and data set name the same SOP instance.

    Raises
    ------
    IdentityMismatch
        When they do not (PS3.4 B.2.3: A900H).
    """
    if header.sop_class_uid != affected.sop_class_uid:
        raise IdentityMismatch("SOPClassUID is not the Affected SOP Class UID of the request")
    if header.sop_instance_uid != affected.sop_instance_uid:
        raise IdentityMismatch("SOPInstanceUID is not the Affected SOP Instance UID of the request")
    if affected.study_instance_uid not in {"", header.study_instance_uid}:
        raise IdentityMismatch("StudyInstanceUID is not that of the study to which the request stores")
