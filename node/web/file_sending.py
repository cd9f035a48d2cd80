"""Object files that the system sends to a client: their bytes never pass through this program (sendfile(2)).

uvicorn knows no such thing: the connection lends its socket, see `node.web.connection`. With TLS there is
none to lend, and the bytes are read and sent.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

from starlette.types import Receive, Scope, Send

from node.domain.errors import GroundglassError, ObjectMissing
from node.web.streaming import StreamedResponse, file_pieces, gathered

logger = logging.getLogger(__name__)

LENDS_SOCKET: Final = "groundglass.lends_socket"
"""Extension of the scope; its ``send`` sends a `FileBody` behind the head of an answer, and is awaited."""
TURN: Final = 1 << 24
"""Bytes that one thread sends before it looks whether the client is still there."""
LAST: Final = 4096
"""Bytes of the last file that are kept for the end, where nothing stands behind it."""
SHORTER: Final = "an object file is shorter than the index says; restore it from a backup"
PATIENCE_MS: Final = 5
"""For which a thread waits for the client to take more, before it leaves the waiting to the loop ..."""
MOST_WAITS: Final = 20
"""... and how often in one turn: a client that takes a little each time must not keep it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FilePart:
    """One file of a body."""

    head: bytes
    """What stands before it; may be empty."""
    path: Path
    size: int
    """Bytes of the file."""


class FileBody:
    """A body of files on its way to a client; used by one thread at a time.

    Parameters
    ----------
    parts : sequence of FilePart
    tail : bytes
        What stands behind the last one.
    """

    def __init__(self, parts: Sequence[FilePart], tail: bytes) -> None:
        self._upcoming = deque(parts)
        self._text = b""
        self._file: BinaryIO | None = None
        self._at = self._left = self._kept = 0
        self.rest = tail
        """The last bytes, which are not sent here. Whoever sends them tells the server that the answer is
        whole; it must know when the client has all of it, for then that asks for more."""
        self.over = False
        """Whether all but the rest was sent."""

    def send_some(self, connection: socket.socket) -> int:
        """Send what a client takes now, `TURN` bytes at most; return how many.

        Parameters
        ----------
        connection : socket.socket
            That does not block.

        Raises
        ------
        ObjectMissing
            A file is shorter than it was stored.
        OSError
            The client has gone, a file is not there, or the disk refused.
        """
        sent = 0
        waits = 0
        while sent < TURN and not self.over:
            try:
                sent += self._send(connection)
            except BlockingIOError:
                waits += 1
                if waits > MOST_WAITS or not _takes_more(connection):
                    break
        return sent

    def close(self) -> None:
        """Close the file that is on its way."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _send(self, connection: socket.socket) -> int:
        """Do the next step; return how many bytes it sent."""
        if self._text:
            sent = connection.send(self._text, socket.MSG_MORE)  # in one segment with what follows
            self._text = self._text[sent:]
            return sent
        if self._file is None:
            self._begin()
            return 0
        if not self._left:
            self._end(self._file)
            return 0
        sent = os.sendfile(connection.fileno(), self._file.fileno(), self._at, min(self._left, TURN))
        if not sent:
            raise ObjectMissing(SHORTER)
        self._at, self._left = self._at + sent, self._left - sent
        return sent

    def _begin(self) -> None:
        if not self._upcoming:
            self.over = True
            return
        part = self._upcoming.popleft()
        self._file = part.path.open("rb", buffering=0)
        self._kept = 0 if self._upcoming or self.rest else min(LAST, part.size)
        self._text, self._at, self._left = part.head, 0, part.size - self._kept

    def _end(self, file: BinaryIO) -> None:
        if self._kept:
            self.rest = os.pread(file.fileno(), self._kept, self._at)
            if len(self.rest) < self._kept:
                raise ObjectMissing(SHORTER)
        self.close()


def _takes_more(connection: socket.socket) -> bool:
    """Whether a client takes more within a moment."""
    waiting = select.poll()
    waiting.register(connection, select.POLLOUT)
    return bool(waiting.poll(PATIENCE_MS))


class FilesResponse(StreamedResponse):
    """An answer whose body is made of files as they lie.

    Parameters
    ----------
    parts : sequence of FilePart
    tail : bytes
    headers : mapping of str to str
    length : int
        Bytes of the body.
    status_code : int
    """

    def __init__(
        self,
        parts: Iterable[FilePart],
        tail: bytes,
        *,
        headers: Mapping[str, str],
        length: int,
        status_code: int,
    ) -> None:
        self._parts = tuple(parts)
        self._tail = tail
        pieces = gathered(chain(_bytes(self._parts), (tail,)))
        super().__init__(pieces, headers=headers, length=length, status_code=status_code)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        lend = scope.get("extensions", {}).get(LENDS_SOCKET)
        if lend is None or scope["method"] == "HEAD":
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            with closing(FileBody(self._parts, self._tail)) as body:
                await lend["send"](body)
        except (GroundglassError, OSError) as error:
            logger.error("an answer was broken off: %s", error)  # noqa: TRY400 - the message says it all
            return
        if body.over:
            await send({"type": "http.response.body", "body": body.rest, "more_body": False})


def _bytes(parts: Iterable[FilePart]) -> Iterator[bytes]:
    for part in parts:
        yield part.head
        yield from file_pieces(part.path, part.size)
