"""The codec process: ``python -m node.dicom.codec_worker REQUESTS ANSWERS PIXELS LIFE MEMORY``.

Native code reads bytes of a peer here. What it may use is bounded before the first of them is read, so that a
bomb or an endless loop ends this process and nothing else. It ends by itself when the node does.
"""

from __future__ import annotations

import fcntl
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from node.dicom.codec_wire import (
    MOST_RESULT_BYTES,
    MOST_TEXT,
    Request,
    Task,
    answer_line,
    image_answer,
    read_bytes,
    write_from,
)
from node.dicom.codecs import InProcessCodecs
from node.domain.errors import DicomError


def main(arguments: list[str]) -> int:
    """Serve requests until there are no more.

    Parameters
    ----------
    arguments : list of str
        Descriptors of the requests, the answers, the pixels and the node's life, and the bytes of memory that
        may be used.
    """
    requests, answers, pixels, life, memory = map(int, arguments)
    _end_with(life)
    _bound(memory)
    codecs = InProcessCodecs()
    os.write(answers, answer_line({}))  # ready
    with open(requests, "rb") as lines:  # noqa: PTH123 -- a descriptor, no path
        for line in lines:
            number, request = Request.read(line)
            _bound_time(request.seconds)
            os.write(answers, answer_line({"number": number, **_served(codecs, request, pixels)}))
    return 0


def _served(codecs: InProcessCodecs, request: Request, pixels: int) -> Mapping[str, object]:
    data = read_bytes(pixels, request.size)
    if data is None:
        return {"refused": "the frame did not arrive"}
    try:
        if request.task is Task.ENCODE:
            codestream = codecs.encode(data, request.transfer_syntax_uid, request.layout)
            write_from(pixels, codestream)
            return {"size": len(codestream)}
        image = codecs.decode(data, request.transfer_syntax_uid, request.layout)
        write_from(pixels, np.ascontiguousarray(image.words).data)
    except DicomError as error:
        return {"refused": str(error).encode("ascii", "replace")[:MOST_TEXT].decode("ascii")}
    return image_answer(image)


def _end_with(life: int) -> None:
    """Let the system end this process, in the middle of a frame too, when nobody holds the other end.

    Nothing is ever written to that pipe: SIGIO, which nobody here handles, says that it was closed.
    """
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)


def _bound(memory: int) -> None:
    """Limit what is allocated beyond what the codecs themselves take, what is written, and what is left."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    limit = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_RESULT_BYTES, MOST_RESULT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _bound_time(seconds: int) -> None:
    """Limit the processor time of the next frame; beyond it the system ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
