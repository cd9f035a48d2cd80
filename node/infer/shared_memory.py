"""Regions of shared memory in which batches go to a server on the same host and answers come back.

A region whose call failed is never used again: the server may still read the batch from it, or write an
answer to it, long after this side gave up waiting, and that answer would be taken for another batch's.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import mmap
import os
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import EngineUnavailable
from node.infer.process import pause
from node.infer.triton_connection import CallFailed, Connection

FOLDER = Path("/dev/shm")  # noqa: S108 -- where shm_open(3) keeps its objects on Linux
PREFIX = "groundglass-"
ALIGNMENT = 64
"""Bytes; of a cache line."""
IN_USE = "in use"
"""How the server says that a request still works with a region."""
UNREGISTER_TRIES = 20
UNREGISTER_PAUSE = 0.05

Real = NDArray[np.float32]


class Region:
    """A named piece of memory of this host; it goes with its owner.

    A lock on its file says that the owner lives, whatever namespace its process number is of.

    Parameters
    ----------
    size : int
        Bytes, all of which are reserved at once: without it a full file system would end the process.

    Raises
    ------
    EngineUnavailable
        There is no room, or no shared memory on this machine.
    """

    def __init__(self, size: int) -> None:
        try:
            self._file, self.name = _create()
        except OSError as error:
            raise EngineUnavailable(f"no shared memory on this host: {error}") from error
        try:
            os.posix_fallocate(self._file, 0, size)
            self._memory = mmap.mmap(self._file, size)
        except OSError as error:
            (FOLDER / self.name).unlink(missing_ok=True)
            os.close(self._file)
            raise EngineUnavailable(
                f"no room for {size} bytes in {FOLDER}: {error}; enlarge it, or set "
                "infer.triton.shared_memory to false"
            ) from error
        self.size = size

    def write(self, batch: Real) -> None:
        """Copy a batch to the region's start."""
        np.frombuffer(self._memory, np.float32, batch.size)[:] = batch.reshape(-1)

    def read(self, shape: tuple[int, ...], offset: int) -> Real:
        """Return a copy of an array that lies at an offset."""
        found = np.frombuffer(self._memory, np.float32, int(np.prod(shape)), offset)
        return found.reshape(shape).copy()

    def close(self) -> None:
        """Remove the name and let go of the memory; a server that maps it keeps it until it unregisters."""
        (FOLDER / self.name).unlink(missing_ok=True)
        self._memory.close()
        os.close(self._file)


class Retired:
    """Names of regions that are no longer in use here and that the server may still hold.

    They outlive a connection: what could not be unregistered on one is on the next. Safe to share.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: set[str] = set()

    def add(self, name: str) -> None:
        """Note a name."""
        with self._lock:
            self._names.add(name)

    def discard(self, name: str) -> None:
        """Forget a name that the server let go."""
        with self._lock:
            self._names.discard(name)

    def names(self) -> list[str]:
        """Return all of them."""
        with self._lock:
            return sorted(self._names)


class Regions:
    """The regions of one connection: registered when made, used again after success only.

    Parameters
    ----------
    connection : Connection
    retired : Retired
        Where names go that the server still holds.
    """

    def __init__(self, connection: Connection, retired: Retired) -> None:
        self._connection = connection
        self._retired = retired
        self._lock = threading.Lock()
        self._free: list[Region] = []
        self._closed = False

    def take(self, size: int) -> Region:
        """Return a registered region of at least ``size`` bytes that nobody else uses.

        Raises
        ------
        EngineUnavailable
            There is no room, or the server cannot map it: it runs on another host or as another user.
        """
        with self._lock:
            region = self._free.pop() if self._free else None
        if region is not None and region.size >= size:
            return region
        if region is not None:
            self.retire(region)
        self._let_go()
        taken: list[Region] = []
        try:
            while True:
                region = Region(size)
                if self._registered(region):
                    return region
                taken.append(region)  # keeps its name from being tried again
        finally:
            for item in taken:
                item.close()

    def _registered(self, region: Region) -> bool:
        """Register a region; False where the server still works with an older one of its name.

        A retired region, or one of a process that ended, may have left its name to the server, with its
        memory behind it.
        """
        try:
            self._connection.unregister(region.name)
            self._retired.discard(region.name)
            self._connection.register(region.name, region.size)
        except CallFailed as failure:
            if IN_USE in str(failure):
                return False
            region.close()
            raise
        return True

    def give_back(self, region: Region) -> None:
        """Take a region back whose call succeeded."""
        with self._lock:
            if not self._closed:
                self._free.append(region)
                return
        region.close()

    def retire(self, region: Region) -> None:
        """Take a region out of use; the server is told when it no longer works with it."""
        region.close()
        self._retired.add(region.name)

    def close(self) -> None:
        """Take all regions out of use, and the server's hold on them where it still answers."""
        with self._lock:
            self._closed = True
            regions, self._free = self._free, []
        for region in regions:
            self.retire(region)
        for _ in range(UNREGISTER_TRIES):
            if self._let_go():
                return
            pause(UNREGISTER_PAUSE)

    def _let_go(self) -> bool:
        """Unregister what is retired; whether nothing is left to try again.

        The server refuses while a request uses a region, also right after its answer. Where it no longer
        answers, nothing is left to be done.
        """
        for name in self._retired.names():
            try:
                self._connection.unregister(name)
            except CallFailed as failure:
                if IN_USE not in str(failure):
                    return True
                continue
            self._retired.discard(name)
        return not self._retired.names()


def remove_abandoned() -> None:
    """Remove regions whose owner ended without doing so."""
    for path in FOLDER.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file).st_nlink:  # else its owner removed it, and the name may be another's by now
                    path.unlink(missing_ok=True)
            finally:
                os.close(file)


def aligned(size: int) -> int:
    """Return the next offset, at or behind ``size``, at which an array may lie."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _create() -> tuple[int, str]:
    """Make a locked file under a name that is free, for this user alone."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    for number in itertools.count():
        name = f"{PREFIX}{os.getpid()}-{number}"
        try:
            file = os.open(FOLDER / name, flags, 0o600)
        except FileExistsError:
            continue
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file).st_nlink:
            return file, name
        os.close(file)  # taken for abandoned by another process before it was locked
    raise AssertionError
