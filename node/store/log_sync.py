"""The sync of SQLite's write-ahead log, made once for all transactions that were committed before it.

SQLite syncs its log within the commit, while it holds the write lock: no two transactions share a sync, and
none begins while another one waits for the disk. Here a transaction is committed to the log alone, the lock
is given back, and whoever answers for it waits until a sync that began after the commit has ended.
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

REWRITTEN = 1 << 20
"""Bytes of the log at a time that are given to the disk anew."""


class LogSync:
    """The log of one connection that writes; the log is there as long as the connection is.

    Parameters
    ----------
    path : Path
        The log, ``<index>-wal``. SQLite keeps no lock on it that closing it would end: those are on the index
        and its shared memory (sqlite.org/walformat.html, section 2.3).

    Raises
    ------
    OSError
        It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = os.open(path, os.O_RDWR)
        self._committed = 0
        self._durable = 0
        self._refused = False
        self._version: int | None = None
        self._syncing = threading.Lock()

    def committed(self) -> int:
        """Count a transaction that is in the log; call it while nobody else can write. Returns its number."""
        self._committed += 1
        return self._committed

    def seen(self, version: int) -> int:
        """Return the number of the last transaction; call it while nobody else can write.

        Whoever changed nothing, for all is there already, rests on those that brought it.

        Parameters
        ----------
        version : int
            Another one where others wrote since (SQLite's ``data_version``): that counts as a transaction.
        """
        if version != self._version:
            self._version = version
            self._committed += 1
        return self._committed

    def sync(self, number: int) -> None:
        """Return when a transaction has reached the disk; one sync serves all that wait.

        Parameters
        ----------
        number : int
            Of the transaction, from `committed`.

        Raises
        ------
        OSError
            The disk refused: what was committed since the last sync is not certain to be there, for none of
            those that wait, until the log is written once more.
        """
        if self._durable >= number:
            return
        with self._syncing:
            if self._durable < number:
                self._sync()

    def rewrite(self) -> None:
        """Write the whole log once more and sync it; call it while nobody else can write.

        After a sync that failed the system takes what was not written for written, and the next sync would
        succeed without it: all of it must be made to be written again.

        Raises
        ------
        OSError
        """
        with self._syncing:
            place = 0
            while block := os.pread(self._opened(), REWRITTEN, place):
                place += os.pwrite(self._opened(), block, place)
            self._refused = False
            self._sync()

    def close(self) -> None:
        """Sync the log and close it; call it before its connection is closed, while nobody else can write.

        Raises
        ------
        OSError
            The disk refused, now or before. The log is closed.
        """
        with self._syncing:
            try:
                if self._refused or self._durable < self._committed:
                    self._sync()
            finally:
                os.close(self._opened())
                self._descriptor = None

    def _sync(self) -> None:
        if self._refused:  # the system tells of it once, and the next sync would succeed
            raise OSError(errno.EIO, "an earlier sync failed")
        reached = self._committed
        try:
            os.fdatasync(self._opened())
        except OSError:
            self._refused = True
            raise
        self._durable = reached

    def _opened(self) -> int:
        if self._descriptor is None:
            raise OSError(errno.EIO, "the log was closed and could not be synced before")
        return self._descriptor
