"""Answers that were made in memory and are taken by a client as slowly as it likes."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Final

from starlette.responses import Response

from node.web.errors import Busy
from node.web.streaming import PIECE, SHORT, StreamedResponse

MOST_HELD: Final = 1 << 28
"""Bytes of long answers that are on their way at the same time."""


class Held:
    """Counts the memory of answers on their way.

    Parameters
    ----------
    most : int
        Bytes; one answer alone may be longer.
    """

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most = most
        self._size = 0
        self._lock = threading.Lock()

    def answer(self, body: bytes, headers: Mapping[str, str]) -> Response:
        """Return the answer with a body; a long one is counted until it was sent, or the client has gone.

        Raises
        ------
        Busy
            Clients are slow to take others.
        """
        if len(body) <= SHORT:
            return Response(body, headers=headers)
        with self._lock:
            if self._size and self._size + len(body) > self._most:
                raise Busy("too much is on its way to clients that take it slowly; ask again later")
            self._size += len(body)
        return StreamedResponse(self._pieces(body), headers=headers, length=len(body))

    def _pieces(self, body: bytes) -> Generator[Sequence[bytes]]:
        try:
            for begin in range(0, len(body), PIECE):
                yield (body[begin : begin + PIECE],)
        finally:
            with self._lock:
                self._size -= len(body)
