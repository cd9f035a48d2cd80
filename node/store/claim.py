"""One node at a time on one store."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from node.domain.errors import StoreInUse


class StoreClaim:
    """Holds the lock on a store's folder until released, or until the process ends, however it ends.

    Parameters
    ----------
    root : Path
        Folder of the store.

    Raises
    ------
    StoreInUse
        Another process holds it.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor: int | None = os.open(
            root / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise StoreInUse(
                f"another node runs on the store {root}; stop it, or set another data_dir"
            ) from None

    @property
    def descriptor(self) -> int:
        """The descriptor that holds the lock; a process that inherits it holds the store too.

        Raises
        ------
        StoreInUse
            It was released.
        """
        if self._descriptor is None:
            raise StoreInUse("the store was given up; start the node again")
        return self._descriptor

    def release(self) -> None:
        """Give the store up; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> StoreClaim:
        """Hold the store for a block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the store up."""
        self.release()
