"""One destination that takes result objects as files in a folder."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from node.domain.delivery import OutgoingObject, ProofReply, ProofStanding, SendReply
from node.domain.errors import DestinationUnavailable
from node.domain.network import FolderDestination

CHUNK_BYTES: Final = 1024 * 1024
GROUP_READABLE: Final = 0o640
METHOD: Final = "read back"
_OWN_UID = re.compile(r"2\.25\.[0-9]{1,39}")  # PS3.5 B.2; all result objects have one


class FolderSender:
    """A folder of the settings.

    A file appears there under its final name only when all of it is on the disk. Its name is made of the
    object's own UID alone: no text of a peer becomes part of a path.

    Parameters
    ----------
    destination : FolderDestination
    """

    def __init__(self, destination: FolderDestination) -> None:
        self._name = destination.name
        self._folder = destination.folder
        self._group_readable = destination.group_readable

    @property
    def name(self) -> str:
        """Return the destination's name in the settings."""
        return self._name

    def send(
        self, objects: Sequence[OutgoingObject], *, may_leave: Callable[[OutgoingObject], bool]
    ) -> list[SendReply]:
        """Write objects; one reply, in order, for each that was written or tried.

        Raises
        ------
        DestinationUnavailable
            The folder is not there: it is not made, for it may be a share that is not mounted.
        """
        self._require_folder()
        return [self._write_one(item) for item in objects if may_leave(item)]

    def prove(
        self, objects: Sequence[OutgoingObject], *, transaction_uid: str, asked: int
    ) -> list[ProofReply]:
        """Compare the files with what was written.

        Raises
        ------
        DestinationUnavailable
            The folder is not there.
        """
        del transaction_uid, asked
        self._require_folder()
        return [self._compare(item) for item in objects]

    def echo(self) -> None:
        """Verify that files can be written.

        Raises
        ------
        DestinationUnavailable
        """
        self._require_folder()
        probe = self._folder / f".groundglass-{os.getpid()}.probe"
        try:
            with probe.open("wb") as stream:
                stream.write(b"\0")
                _sync(stream)
            probe.unlink()
        except OSError as error:
            raise DestinationUnavailable(
                f"{self._folder}: cannot be written to ({error.strerror}); correct its owner or mode"
            ) from error

    def _require_folder(self) -> None:
        if not self._folder.is_dir():
            raise DestinationUnavailable(f"{self._folder}: no such folder; make or mount it")

    def _write_one(self, item: OutgoingObject) -> SendReply:
        try:
            target = self._target(item)
            if not (target.is_file() and _digest(target) == _digest(item.path)):
                self._write(item.path, target)
            self._sync_folder()  # also where a stop came between a rename and this
        except OSError as error:
            return SendReply(
                delivery_id=item.delivery_id,
                delivered=False,
                retryable=True,
                detail=f"cannot be written: {error.strerror}",
            )
        return SendReply(
            delivery_id=item.delivery_id, delivered=True, retryable=False, detail=target.name, proof=METHOD
        )

    def _write(self, source: Path, target: Path) -> None:
        """Copy, sync, read back, rename; whoever collects files never sees a part of one.

        A part that a stop left, or a link that somebody put in its place, is not written to.

        Raises
        ------
        OSError
            Also when what is read back differs.
        """
        part = target.with_name(f".{target.name}.part")
        try:
            part.unlink(missing_ok=True)
            with source.open("rb") as original, part.open("xb") as copy:
                while data := original.read(CHUNK_BYTES):
                    copy.write(data)
                _sync(copy)
            _require_same(part, source)
            if self._group_readable:
                part.chmod(GROUP_READABLE)
            part.replace(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def _sync_folder(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _compare(self, item: OutgoingObject) -> ProofReply:
        try:
            same = _digest(self._target(item)) == _digest(item.path)
            detail = "the file is there" if same else "the file there has other content"
        except OSError as error:
            same, detail = False, f"the file cannot be read: {error.strerror}"
        standing = ProofStanding.PROVEN if same else ProofStanding.MISSING
        return ProofReply.about(item, standing, METHOD, detail)

    def _target(self, item: OutgoingObject) -> Path:
        if _OWN_UID.fullmatch(item.sop_instance_uid) is None:
            raise OSError(None, "its UID is none of this node's")
        return self._folder / f"{item.sop_instance_uid}.dcm"


def _sync(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _require_same(copy: Path, original: Path) -> None:
    if _digest(copy) != _digest(original):
        raise OSError(None, "what was read back differs")


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
