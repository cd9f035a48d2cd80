"""Bodies of answers that are made while they are sent: memory holds three pieces, however long they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from node.domain.errors import GroundglassError, ObjectMissing
from node.web.negotiation import fresh

logger = logging.getLogger(__name__)

PIECE: Final = 1 << 19
"""Bytes that are sent at a time."""
LONG: Final = 1 << 16
"""Bytes of a part that is sent by itself."""
SHORT: Final = 1 << 20
"""Bytes of a body that is sent, or taken, at once: a slice of a CT is."""
REVALIDATED: Final = "private, no-cache"
"""Of patients' data: kept by the client alone, and asked about each time (RFC 9111 section 5.2.2)."""


class StreamedResponse(Response):
    """An answer whose body comes from an iterator, one piece read ahead in a thread while another is sent.

    An error after the first byte ends the connection, so that the client never takes a part for the whole.

    Parameters
    ----------
    pieces : generator of sequence of bytes
        What is sent at a time. Closed at the end, also when the client goes away.
    headers : mapping of str to str
    length : int, optional
        Bytes of the body, where they are known.
    status_code : int
    """

    def __init__(
        self,
        pieces: Generator[Sequence[bytes]],
        *,
        headers: Mapping[str, str],
        length: int | None = None,
        status_code: int = 200,
    ) -> None:
        self._pieces = pieces
        self.status_code = status_code
        self.background = None
        sized = {} if length is None else {"Content-Length": str(length)}
        self.init_headers({**headers, **sized})

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Take the headers as they are: nothing is known of the body."""
        self.raw_headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in (headers or {}).items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        gone = asyncio.ensure_future(_gone(receive))
        upcoming = self._read_on()
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            piece = await asyncio.shield(upcoming)
            upcoming = self._read_on()
            while piece is not None and not gone.done():
                following = await asyncio.shield(upcoming)
                upcoming = self._read_on()
                # The last piece says that it is: a client that has all bytes asks for more at once.
                for number, part in enumerate(piece, start=1):
                    more = following is not None or number < len(piece)
                    await send({"type": "http.response.body", "body": part, "more_body": more})
                piece = following
        except (GroundglassError, OSError) as error:
            logger.error("an answer was broken off: %s", error)  # noqa: TRY400 - the message says it all
        finally:
            gone.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)  # what runs cannot be closed
            self._pieces.close()  # at once: a loop that ends has no more threads to do it

    def _read_on(self) -> asyncio.Future[Sequence[bytes] | None]:
        """Begin to read the next piece in a thread; None stands for the end."""
        return asyncio.get_running_loop().run_in_executor(None, next, self._pieces, None)


async def _gone(receive: Receive) -> None:
    """Return when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def body_of(
    parts: Iterable[bytes], *, headers: Mapping[str, str], length: int | None, status_code: int = 200
) -> Response:
    """Return the answer with a body: made at once where it is short, else while it is sent.

    The first piece is made at once in either case, so that what can be refused is refused with a status.

    Parameters
    ----------
    parts : iterable of bytes
        The body.
    headers : mapping of str to str
    length : int or None
        Bytes of the body, where they are known.
    status_code : int
    """
    if length is not None and length <= SHORT:
        return Response(b"".join(parts), status_code, headers=headers)
    pieces = gathered(parts)
    first = next(pieces, ())
    if sum(map(len, first)) < PIECE:
        return Response(b"".join(first), status_code, headers=headers)
    return StreamedResponse(_behind(first, pieces), headers=headers, length=length, status_code=status_code)


def _behind(first: Sequence[bytes], pieces: Generator[Sequence[bytes]]) -> Generator[Sequence[bytes]]:
    with closing(pieces):
        yield first
        yield from pieces


def gathered(parts: Iterable[bytes]) -> Generator[Sequence[bytes]]:
    """Yield the same bytes in pieces of about `PIECE`, none of them empty."""
    kept: list[bytes] = []
    size = 0
    for part in filter(None, parts):
        kept.append(part)
        size += len(part)
        if size >= PIECE:
            yield _joined(kept)
            kept, size = [], 0
    if kept:
        yield _joined(kept)


def _joined(parts: Sequence[bytes]) -> Sequence[bytes]:
    """Return the same bytes, the short ones put together: to copy a long one costs more than to send it."""
    joined: list[bytes] = []
    for is_short, some in groupby(parts, lambda part: len(part) < LONG):
        run = list(some)
        joined += [b"".join(run)] if is_short else run
    return joined


def file_pieces(path: Path, size: int) -> Iterator[bytes]:
    """Yield the bytes of an object file.

    Raises
    ------
    ObjectMissing
        It has not the size that the index names.
    """
    left = size
    with path.open("rb", buffering=0) as stream:
        while left:
            piece = stream.read(left if left <= PIECE + PIECE // 2 else PIECE)  # no short rest
            if not piece:
                raise ObjectMissing("an object file is shorter than the index says; restore it from a backup")
            left -= len(piece)
            yield piece


def unchanged(request: Request, headers: Mapping[str, str]) -> Response | None:
    """Return the answer that the client has this representation already, None where it has not."""
    return Response(status_code=304, headers=headers) if fresh(request, headers["ETag"]) else None
