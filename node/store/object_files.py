"""Object files on a local disk: named by the digest of their bytes, durable before they have a name."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from tempfile import TemporaryFile
from typing import BinaryIO, Final, cast

from node.domain.errors import ObjectDamaged, ObjectMissing, OutOfSpace, StoreError
from node.domain.ports import UidSource

KEY = re.compile(r"[0-9a-f]{64}")
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
WITHOUT_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})
"""What file systems say that have no hard links."""
PRIVATE = 0o700  # patients' data: for the node's user alone
BLOCK = 1 << 20  # bytes read at a time while hashing a file
BEGUN_EARLY = 1 << 24  # bytes of a file that is on its way to the disk before it is synced
SPOOL: Final = "spool"
"""Folder of the store for what is not whole yet; swept at each start."""


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """What a committed object became."""

    key: str
    """Name in the store: the digest of the bytes."""
    sha256: str
    """Digest of the bytes, hexadecimal."""
    size: int
    """Number of bytes."""


class SpooledFile:
    """An object on its way into the store; made by ``LocalObjectFiles.spool``."""

    def __init__(self, files: LocalObjectFiles, path: Path) -> None:
        self._files = files
        self._path = path
        with _room():
            # Unbuffered, so that closing after a full disk has nothing left to write.
            self._raw = path.open("xb+", buffering=0)
        self._writer = _HashingWriter(self._raw)
        self._stored: StoredObject | None = None

    @property
    def stream(self) -> BinaryIO:
        """Return the file to write to, from front to back."""
        return cast(BinaryIO, self._writer)

    @contextmanager
    def written(self) -> Iterator[BinaryIO]:
        """Read what was written from its beginning; nothing more can be written then."""
        with _room():
            self._raw.seek(0)
            if self._writer.size <= BEGUN_EARLY:
                # The disk begins to write while the header is read, and the sync waits for less, and tells
                # of errors all the same. What is being written stays in memory; of a longer file the system
                # would forget what the disk has by now.
                os.posix_fadvise(self._raw.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        reader = io.BufferedReader(self._raw)
        try:
            yield reader
        finally:
            reader.detach()

    def commit(self) -> StoredObject:
        """Make the bytes durable under their final name: file named and synced, directory synced.

        Returns
        -------
        StoredObject

        Raises
        ------
        OutOfSpace
            No room is left.
        StoreError
            The disk refused.
        """
        if self._stored is None:
            with _room():
                key = self._writer.digest()
                self._files.adopt(self._path, key, self._raw.fileno())
                self._raw.close()
            self._stored = StoredObject(key=key, sha256=key, size=self._writer.size)
        return self._stored

    def discard(self) -> None:
        """Remove the temporary file, unless it was committed."""
        self._raw.close()
        if self._stored is None:
            self._path.unlink(missing_ok=True)


class LocalObjectFiles:
    """The object files under one folder: ``objects/ab/<sha256>.dcm`` and ``spool/<token>.part``.

    No part of a path comes from a peer. The same bytes have the same name, so an object that arrives twice
    lies there once.

    Parameters
    ----------
    root : Path
        Folder of the store; made if absent.
    uids : UidSource
        Names of the temporary files.
    """

    def __init__(self, root: Path, uids: UidSource) -> None:
        self._objects = root / "objects"
        self._spool = root / SPOOL
        self._uids = uids
        for folder in (root, self._objects, self._spool, *self._folders()):
            folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
        for folder in (self._objects, root, root.parent):
            _sync_directory(folder)

    def _folders(self) -> list[Path]:
        """Return the folders of the objects, by the first two digits of their names."""
        return [self._objects / f"{number:02x}" for number in range(256)]

    @contextmanager
    def spool(self) -> Iterator[SpooledFile]:
        """Open a new temporary object; leaving the context without ``commit`` removes it.

        Raises
        ------
        OutOfSpace, StoreError
        """
        spooled = SpooledFile(self, self._spool / f"{self._uids.token()}.part")
        try:
            yield spooled
        finally:
            spooled.discard()

    @contextmanager
    def scratch(self) -> Iterator[io.RawIOBase]:
        """Lend a file without a name, unbuffered, which is gone when the context is left, or after a crash.

        Raises
        ------
        OutOfSpace, StoreError
        """
        with ExitStack() as opened:
            with _room():
                file = opened.enter_context(TemporaryFile(dir=self._spool, buffering=0))
            yield file

    def store(self, data: bytes) -> StoredObject:
        """Make ``data`` a durable object.

        Raises
        ------
        OutOfSpace, StoreError
        """
        with self.spool() as spooled:
            spooled.stream.write(data)
            return spooled.commit()

    def path(self, key: str, size: int | None = None) -> Path:
        """Return the file of an object.

        Parameters
        ----------
        key : str
        size : int, optional
            Bytes that it must have.

        Raises
        ------
        ObjectMissing
            There is no such file.
        ObjectDamaged
            It has another size.
        """
        path = self._place(key)
        try:
            found = path.stat()
        except FileNotFoundError:
            found = None
        if found is None or not S_ISREG(found.st_mode):
            raise ObjectMissing(f"the object file {key} is missing; restore it from a backup of the store")
        if size is not None and found.st_size != size:
            raise ObjectDamaged(
                f"the object file {key} has {found.st_size} bytes and not {size}; "
                "restore it from a backup of the store"
            )
        return path

    def delete(self, key: str) -> None:
        """Remove an object that no row names any more; an absent one is no error."""
        with _room():
            self._place(key).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """Return the names of all objects that lie here."""
        for path in self._objects.glob("??/*.dcm"):
            yield path.stem

    def verify(self, key: str) -> bool:
        """Whether the file of ``key`` still has the bytes that it was named after."""
        state = hashlib.sha256()
        with self.path(key).open("rb") as file:
            while block := file.read(BLOCK):
                state.update(block)
        return state.hexdigest() == key

    def verify_on_disk(self, key: str) -> bool:
        """Whether the disk still has the bytes of ``key``; memory neither answers for it nor keeps them."""
        with self.path(key).open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            whole = hashlib.file_digest(file, "sha256").hexdigest() == key
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return whole

    def stamp(self, key: str, size: int) -> str:
        """Return what changes when somebody writes to the file of ``key`` or puts another in its place.

        Raises
        ------
        ObjectMissing, ObjectDamaged
            As `path` does.
        """
        found = self.path(key, size).stat()
        return f"{found.st_ino}:{found.st_ctime_ns}"

    def sweep_spool(self, process: str = "") -> int:
        """Remove what a crash left half received; none of it was acknowledged. Returns how many.

        Parameters
        ----------
        process : str
            What the names of one process begin with; by default those of all are removed.
        """
        left = list(self._spool.glob(f"{process}*.part"))
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def adopt(self, temporary: Path, key: str, descriptor: int) -> None:
        """Give a temporary file its final name and make both durable.

        The name comes first: where the file system journals names, one commit then takes name, size and place
        of the bytes together, and the sync of the directory finds its work done. After a failure in between a
        file may lie there that has not the bytes of its name. It was not acknowledged and no row names it;
        whoever brings those bytes again replaces it.

        Parameters
        ----------
        temporary : Path
        key : str
            Digest of its bytes.
        descriptor : int
            The open temporary file.
        """
        place = self._place(key)
        try:
            os.link(temporary, place)
        except OSError as error:
            if error.errno not in {errno.EEXIST, *WITHOUT_LINKS}:
                raise
            # Of a file that has the name already nobody knows whether its bytes reached the disk: those that
            # failed to are read back from memory, and a second sync of them succeeds.
            os.fsync(descriptor)
            temporary.replace(place)
        else:
            temporary.unlink()
            os.fsync(descriptor)
        _sync_directory(place.parent)

    def _place(self, key: str) -> Path:
        if KEY.fullmatch(key) is None:
            raise ObjectMissing("this is no name of an object file; the index is damaged")
        return self._objects / key[:2] / f"{key}.dcm"


class _HashingWriter(io.BufferedIOBase):
    """Writes through to a file and digests on the way; cannot go back, for the digest cannot either."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self._state = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]  # bytes-like objects only
        view = memoryview(data).cast("B")
        with _room():
            written = 0
            while written < len(view):
                written += self._raw.write(view[written:])
        self._state.update(view)
        self.size += written
        return written

    def tell(self) -> int:
        return self.size

    def digest(self) -> str:
        return self._state.hexdigest()

    def close(self) -> None:
        """Leave the file open: the spool closes it."""


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _room() -> Iterator[None]:
    """Turn the errors of the operating system into those of the store."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise OutOfSpace("no room is left for object files; free space on the store's disk") from error
        raise StoreError(f"the disk of the object files refused: {error.strerror}") from error
