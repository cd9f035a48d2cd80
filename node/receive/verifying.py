"""Whether the bytes of stored objects are those of their digests, read from the disk."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from node.domain.commitment import PROCESSING_FAILURE
from node.domain.errors import ObjectMissing
from node.domain.ports import Clock
from node.store.commitments_asked import CommitmentRecords
from node.store.object_files import LocalObjectFiles

logger = logging.getLogger(__name__)

BATCH = 64
"""Files that are read before what was found is written down."""
SHARE = 10.0
"""Seconds for which the files of one request are read while others wait."""


class Verifier:
    """Reads the files of requests for storage commitment.

    Parameters
    ----------
    records : CommitmentRecords
        Where it is written down what was found.
    files : LocalObjectFiles
    clock : Clock
    """

    def __init__(self, *, records: CommitmentRecords, files: LocalObjectFiles, clock: Clock) -> None:
        self._records = records
        self._files = files
        self._clock = clock

    def verify(self, request_id: int, keys: Mapping[str, str], goes_on: Callable[[], bool]) -> bool:
        """Read files of a request for as long as its share of time lasts; return whether all were read.

        Some at a time are written down: what was read before a stop or a crash is not read again.

        Parameters
        ----------
        request_id : int
        keys : mapping of str to str
            Names of the files by SOP Instance UID.
        goes_on : callable
            Whether to go on; asked between any two files.
        """
        end = self._clock.monotonic() + SHARE
        left = iter(keys.items())
        while batch := list(islice(left, BATCH)):
            found: dict[str, bool] = {}
            for uid, key in batch:
                if not goes_on() or self._clock.monotonic() > end:
                    break
                found[uid] = self._is_whole(key)
            self._write_down(request_id, keys, found)
            if len(found) < len(batch):
                return False
        return True

    def _write_down(self, request_id: int, keys: Mapping[str, str], found: Mapping[str, bool]) -> None:
        whole = {uid: keys[uid] for uid, is_whole in found.items() if is_whole}
        damaged = dict.fromkeys(found.keys() - whole.keys(), PROCESSING_FAILURE)
        if whole:
            self._records.verified(request_id, whole)
        if damaged:
            self._records.fail(request_id, damaged)

    def _is_whole(self, key: str) -> bool:
        try:
            forget_cached(self._files.path(key))
            whole = self._files.verify(key)
        except (ObjectMissing, OSError) as error:
            logger.error("object file %s cannot be read, so nothing is committed to: %s", key, error)  # noqa: TRY400 -- the error says all
            return False
        if not whole:
            logger.error("object file %s is damaged, so nothing is committed to", key)
        return whole


def forget_cached(path: Path) -> None:
    """Let a file be read from the disk next: what memory has of it says nothing of what the disk keeps.

    Raises
    ------
    OSError
    """
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
