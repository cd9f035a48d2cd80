"""What the node and a process beside it tell each other: a line each way, and the bytes in a file of both.

What comes back is checked as if a peer had written it: the process has read a peer's bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Final

LINE: Final = 4096
"""Bytes of an answer at most: a pipe takes so many at once or none (POSIX PIPE_BUF on Linux)."""
MOST_TEXT: Final = 500

Answer = Mapping[str, object]


def answer_line(answer: Answer) -> bytes:
    """Return an answer as a line that a pipe takes at once: its one text is short."""
    return json.dumps(answer).encode("ascii") + b"\n"


def read_answer(line: bytes) -> Answer:
    """Read the line of a process.

    Raises
    ------
    ValueError
        It is none.
    """
    try:
        answer = json.loads(line)
    except RecursionError as error:  # of a thousand brackets
        raise ValueError("an answer is no deeper than an object") from error
    if not isinstance(answer, dict):
        raise ValueError("an answer is an object")  # noqa: TRY004 -- one error for whatever it is
    return answer


def shown(text: object) -> str:
    """Return what a process said, as it may stand in a message."""
    return "".join(filter(str.isprintable, str(text)))[:MOST_TEXT]


def read_bytes(descriptor: int, size: int) -> bytes | None:
    """Return the first bytes of the file, None when there are fewer."""
    data = bytearray(size)
    return bytes(data) if read_into(descriptor, memoryview(data)) else None


def read_into(descriptor: int, view: memoryview) -> bool:
    """Fill a buffer from the beginning of the file; return whether there was enough."""
    at = 0
    while at < len(view):
        count = os.preadv(descriptor, [view[at:]], at)
        if not count:
            return False
        at += count
    return True


def write_from(descriptor: int, data: bytes | memoryview) -> None:
    """Write bytes to the beginning of the file.

    Raises
    ------
    OSError
    """
    view = memoryview(data).cast("B")
    at = 0
    while at < len(view):
        at += os.pwrite(descriptor, view[at:], at)
