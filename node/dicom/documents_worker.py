"""The process that makes metadata documents; see `node.dicom.process_inside`.

Its priority is the lowest: nobody waits for what it makes, and what is asked for before is made by the node.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

import node.unneeded  # noqa: F401 -- before pydicom
from node.dicom.documents import MOST_BYTES, Unreadable, names_read, packed, result_written
from node.dicom.process_inside import serve
from node.dicom.process_wire import Answer, read_bytes, write_from
from node.domain.errors import DicomError

LOWEST: Final = 19
"""Nice value (nice(2))."""


def served(values: dict[str, Any], shared: int) -> Answer:
    """Make the documents of the files whose names the shared file holds."""
    names = read_bytes(shared, values["size"]) or b""
    made = b"".join(result_written(_made(path)) for path in names_read(names))
    write_from(shared, made)
    return {"size": len(made)}


def _made(path: Path) -> bytes | Unreadable:
    try:
        return packed(path)
    except (DicomError, OSError) as error:
        return Unreadable(reason=str(error))
    except MemoryError:
        return Unreadable(reason="it takes more memory than it may")


if __name__ == "__main__":
    os.nice(LOWEST)
    sys.exit(serve(sys.argv[1:], served, most_bytes=MOST_BYTES))
