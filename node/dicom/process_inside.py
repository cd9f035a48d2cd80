"""What stands inside a process beside the node: ``python -m MODULE REQUESTS ANSWERS SHARED LIFE MEMORY``.

Bytes of a peer are read there. What it may use is bounded before the first of them is, so that a bomb or an
endless loop ends this process and nothing else. It ends by itself when the node does.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.dicom.process_wire import Answer, answer_line


def serve(arguments: list[str], served: Callable[[dict[str, Any], int], Answer], *, most_bytes: int) -> int:
    """Serve requests until there are no more.

    Parameters
    ----------
    arguments : list of str
        Descriptors of the requests, the answers, the shared file and the node's life, and the bytes of memory
        that may be used.
    served : callable
        Given a request and the descriptor of the shared file; returns the answer.
    most_bytes : int
        Of the shared file.
    """
    requests, answers, shared, life, memory = map(int, arguments)
    _end_with(life)
    _bound(memory, most_bytes)
    os.write(answers, answer_line({}))  # ready
    with open(requests, "rb") as lines:  # noqa: PTH123 -- a descriptor, no path
        for line in lines:
            request = json.loads(line)
            number = request.pop("number")
            _bound_time(request["seconds"])
            os.write(answers, answer_line({"number": number, **served(request, shared)}))
    return 0


def _end_with(life: int) -> None:
    """Let the system end this process, in the middle of its work too, when nobody holds the other end.

    Nothing is ever written to that pipe: SIGIO, which nobody here handles, says that it was closed.
    """
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)


def _bound(memory: int, most_bytes: int) -> None:
    """Limit what is allocated beyond what the libraries take, what is written, and what is left."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    limit = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _bound_time(seconds: int) -> None:
    """Limit the processor time of the next request; beyond it the system ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
