"""Metadata documents of object files: made here, or in a process of their own beside the node."""

from __future__ import annotations

import json
import logging
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from node.dicom.json_model import data_set_json
from node.dicom.process_apart import Lost, ProcessApart
from node.dicom.process_wire import Answer, read_bytes, shown

log = logging.getLogger(__name__)

WORKER: Final = "node.dicom.documents_worker"
INLINE_BYTES: Final = 1024
"""Longest binary value that stands in a document; a longer one stands there by its address."""
COMPRESSION: Final = 6
MEMORY_BYTES: Final = 1 << 29
"""Of the process, beyond its libraries. A document has at most 64 MiB of values, held a few times over."""
MOST_BYTES: Final = 1 << 28
"""Of the documents of one request, compressed."""
SECONDS: Final = 30
"""Of processor time for one request: thousands of times what files of a CT take."""
PATIENCE: Final = 120
"""Seconds on the clock: its priority is the lowest, and others may have the processors."""
HEAD: Final = struct.Struct(">?Q")
"""Before each result: whether it is a document, and its bytes."""


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """Why there is no document of a file."""

    reason: str


def packed(path: Path) -> bytes:
    """Return the document of a file, compressed.

    Raises
    ------
    DicomError, OSError
    """
    with path.open("rb") as stream:
        return zlib.compress(data_set_json(stream, inline_bytes=INLINE_BYTES), COMPRESSION)


def unpacked(document: bytes) -> bytes:
    """Return a document that `packed` made: DICOM JSON, see `node.dicom.json_model.data_set_json`."""
    return zlib.decompress(document)


def names_written(paths: Sequence[Path]) -> bytes:
    """Return paths as the process reads them."""
    return b"\0".join(map(os.fsencode, paths))


def names_read(data: bytes) -> list[Path]:
    """Return paths that `names_written` wrote."""
    return [Path(os.fsdecode(name)) for name in data.split(b"\0")]


class DocumentProcess:
    """Makes documents apart from the node; used by one thread at a time."""

    def __init__(self) -> None:
        self._process = ProcessApart(WORKER, memory_bytes=MEMORY_BYTES)

    def packed(self, paths: Sequence[Path]) -> list[bytes | Unreadable]:
        """Return the documents of files, in their order.

        Where the process is lost over several files, another one is asked for each of them: one alone has
        none then.

        Raises
        ------
        ProcessUnavailable
        """
        if not paths:
            return []
        try:
            return self._asked(paths)
        except Lost as error:
            self._process.stop()
            log.warning("the process that makes metadata is gone: it %s", error)
            if len(paths) == 1:
                return [Unreadable(reason=f"the process that makes it {error}")]
        except BaseException:  # its answer may still come, and is nobody's
            self._process.stop()
            raise
        return [made for path in paths for made in self.packed([path])]

    def stop(self) -> None:
        """End the process; it starts again when it is needed."""
        self._process.stop()

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._process.pid

    def _asked(self, paths: Sequence[Path]) -> list[bytes | Unreadable]:
        names = names_written(paths)

        def line(number: int) -> bytes:
            return json.dumps({"number": number, "size": len(names), "seconds": SECONDS}).encode() + b"\n"

        return self._process.ask(line, names, partial(results_read, count=len(paths)), patience=PATIENCE)


def result_written(made: bytes | Unreadable) -> bytes:
    """Return what stands in the shared file for one path."""
    if isinstance(made, Unreadable):
        text = made.reason.encode("utf-8", "replace")
        return HEAD.pack(False, len(text)) + text
    return HEAD.pack(True, len(made)) + made


def results_read(answer: Answer, descriptor: int, *, count: int) -> list[bytes | Unreadable]:
    """Take what was made over from the shared file.

    Raises
    ------
    Lost
        It is not what was asked for.
    """
    size = answer.get("size")
    if not isinstance(size, int) or not 0 < size <= MOST_BYTES:
        raise Lost("gave something else than documents", may_pass=False)
    data = read_bytes(descriptor, size)
    results: list[bytes | Unreadable] = []
    at = 0
    while data is not None and len(results) < count and at + HEAD.size <= size:
        is_document, length = HEAD.unpack_from(data, at)
        at += HEAD.size + length
        content = data[at - length : at]
        results.append(
            content if is_document else Unreadable(reason=shown(content.decode("utf-8", "replace")))
        )
    if len(results) != count or at != size:
        raise Lost("gave another number of documents", may_pass=False)
    return results
