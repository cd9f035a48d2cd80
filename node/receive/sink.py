"""A small receiving PACS: each object becomes a file in a folder, and it commits itself to what it holds.

For demonstrations and tests.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from node.dicom.part10 import part10_prefix
from node.dimse.admission import Caller, OpenGate
from node.dimse.commitment import (
    CommitmentReport,
    CommitmentRequest,
    FailedInstance,
    FailureReason,
    ReferencedInstance,
)
from node.dimse.commitment_session import CommitmentServices
from node.dimse.entity import DEFAULT_MAX_PDU
from node.dimse.listening import Listener
from node.dimse.scu import read_instance
from node.dimse.services import AffectedInstance
from node.domain.errors import NotDicom, OutOfSpace
from node.domain.identity import is_valid_uid
from node.domain.network import ListenLimits
from node.domain.ports import Clock
from node.domain.study import AssociationEnd

LIMITS = ListenLimits(
    max_associations=8,
    max_pdu=DEFAULT_MAX_PDU,
    max_object_bytes=2 << 30,
    idle_seconds=60.0,
    acse_seconds=10.0,
    dimse_seconds=60.0,
)


def file_name(sop_instance_uid: str) -> str:
    """Return a safe name for an object: its UID, or a digest where that is no UID (PS3.5 section 9.1)."""
    if is_valid_uid(sop_instance_uid):
        return f"{sop_instance_uid}.dcm"
    return f"{hashlib.sha256(sop_instance_uid.encode()).hexdigest()}.dcm"


class FolderSink:
    """A storage and storage commitment SCP that writes what it gets into a folder, whoever sends it.

    An object that arrives again replaces the first one. Nobody is refused: listen on loopback.

    Parameters
    ----------
    ae_title : str
        AE title of this PACS.
    host : str
        Address to listen on.
    port : int
        0 lets the system choose one.
    folder : Path
        Where the files go; made when it is not there.
    clock : Clock
    limits : ListenLimits
        What a sender may make big.
    """

    def __init__(
        self,
        ae_title: str,
        host: str,
        port: int,
        folder: Path,
        *,
        clock: Clock,
        limits: ListenLimits = LIMITS,
    ) -> None:
        self._folder = folder
        self._listener = Listener(
            ae_title=ae_title,
            host=host,
            port=port,
            limits=limits,
            gate=OpenGate(),
            services=_FolderServices(folder),
            clock=clock,
            commitment=CommitmentServices(provider=_FolderKeeper(folder)),
        )

    def start(self) -> int:
        """Make the folder, open the port and return its number."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._listener.start()

    def stop(self) -> None:
        """Close the port and let associations end."""
        self._listener.stop()

    def files(self) -> list[Path]:
        """Return the objects that have arrived, by name."""
        return sorted(self._folder.glob("*.dcm"))


class _FolderServices:
    """The station behind the sink's listener: records nothing but the objects."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def opened(self, _caller: Caller) -> int:
        return 0

    def closed(self, association_id: int, end: AssociationEnd) -> None:
        """Associations are not recorded."""

    def refused(self, caller: Caller, reason: str) -> None:
        """Nobody is refused."""

    def receive(self, affected: AffectedInstance, **_origin: object) -> _FolderFile:
        return _FolderFile(self._folder / file_name(affected.sop_instance_uid), affected)


class _FolderKeeper:
    """Says of each object that it is kept when its bytes are in the folder. Implements a port of `dimse`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def requested(self, request: CommitmentRequest, *, caller: Caller) -> None:
        """Nothing is recorded: the report follows at once."""

    def report_now(self, request: CommitmentRequest, **_asker: object) -> CommitmentReport:
        """Look for every object of a request."""
        failures = {
            item: reason for item in request.references if (reason := self._failure(item)) is not None
        }
        return CommitmentReport(
            transaction_uid=request.transaction_uid,
            committed=tuple(item for item in request.references if item not in failures),
            failed=tuple(FailedInstance(reference=item, reason=reason) for item, reason in failures.items()),
        )

    def reported(self, report: CommitmentReport, *, caller: Caller) -> None:
        """Nothing is to be done about it."""

    def _failure(self, item: ReferencedInstance) -> FailureReason | None:
        try:
            kept = read_instance(self._folder / file_name(item.sop_instance_uid))
        except (FileNotFoundError, NotDicom):
            return FailureReason.NO_SUCH_INSTANCE
        if kept.sop_class_uid != item.sop_class_uid:
            return FailureReason.CLASS_INSTANCE_CONFLICT
        return None


class _FolderFile:
    """One object on its way into the folder, under a temporary name until it is complete."""

    def __init__(self, path: Path, affected: AffectedInstance) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{id(self):x}.part")
        self._file = self._temporary.open("wb", buffering=0)
        self.write(
            part10_prefix(
                sop_class_uid=affected.sop_class_uid,
                sop_instance_uid=affected.sop_instance_uid,
                transfer_syntax_uid=affected.transfer_syntax_uid,
            )
        )

    def write(self, data: bytes | memoryview) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise OutOfSpace(f"{self._path.parent} takes no more: {error.strerror}") from error

    def finish(self) -> None:
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.replace(self._path)
        except OSError as error:
            raise OutOfSpace(f"{self._path.parent} takes no more: {error.strerror}") from error

    def discard(self) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)
