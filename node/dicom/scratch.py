"""Temporary files of objects in another transfer syntax than they are stored in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO


def scratch_file(folder: Path | None) -> AbstractContextManager[IO[bytes]]:
    """Lend a named file that is gone when the context is left.

    Parameters
    ----------
    folder : Path or None
        Where it lies: the store's spool, which is swept at each start, so that a crash leaves nothing for
        long. The system's folder for such files, taken by default, is in memory at many sites, and a map of
        a whole series takes hundreds of megabytes.

    Raises
    ------
    OSError
    """
    return NamedTemporaryFile(dir=folder, prefix="sending-", suffix=".part")
