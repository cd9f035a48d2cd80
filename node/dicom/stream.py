"""Bounded byte sources: nothing a peer announces is read or allocated beyond what is there."""

from __future__ import annotations

import io
import os
import zlib
from typing import BinaryIO, Protocol

from node.domain.errors import NotDicom, ObjectTooLarge, TruncatedObject

INFLATED_LIMIT = 1 << 30
"""Bytes that a deflated data set may become."""

CHUNK = 1 << 16
WINDOW = 1 << 14
"""First bytes of a file that are read at once: most headers of images end within."""


class ByteSource(Protocol):
    """Bytes that are read forward once, with their end known."""

    position: int

    def read(self, count: int) -> bytes:
        """Return exactly ``count`` bytes or raise `TruncatedObject`."""
        ...

    def peek(self, count: int) -> bytes:
        """Return up to ``count`` bytes without moving."""
        ...

    def skip(self, count: int) -> None:
        """Move ``count`` bytes forward or raise `TruncatedObject`."""
        ...

    def window(self) -> tuple[bytes, int]:
        """Return bytes that are in memory, and the position of the first of them."""
        ...


class FileBytes:
    """A seekable file, from its present position to its end.

    Parameters
    ----------
    stream : BinaryIO
        Positioned at the first byte to be read.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.position = self._base = stream.tell()
        self._stream = stream
        self._window = stream.read(WINDOW)
        self._size = stream.seek(0, os.SEEK_END)

    def read(self, count: int) -> bytes:
        """Return exactly ``count`` bytes or raise `TruncatedObject`."""
        begin = self.position
        self.skip(count)
        return self._bytes(begin, count)

    def peek(self, count: int) -> bytes:
        """Return up to ``count`` bytes without moving."""
        return self._bytes(self.position, min(count, self._size - self.position))

    def skip(self, count: int) -> None:
        """Move ``count`` bytes forward or raise `TruncatedObject`."""
        end = self.position + count
        if end > self._size:
            raise TruncatedObject(_too_short(count, self._size - self.position))
        self.position = end

    def window(self) -> tuple[bytes, int]:
        """Return bytes that are in memory, and the position of the first of them."""
        return self._window, self._base

    def _bytes(self, begin: int, count: int) -> bytes:
        offset = begin - self._base
        if offset + count <= len(self._window):
            return self._window[offset : offset + count]
        self._stream.seek(begin)
        return self._stream.read(count)


class InflatedBytes:
    """The content of a deflated data set (PS3.5 A.5), inflated piece by piece and never beyond a limit.

    Parameters
    ----------
    source : ByteSource
        Positioned at the first deflated byte.
    limit : int
        Most bytes that may come out.
    """

    def __init__(self, source: ByteSource, limit: int = INFLATED_LIMIT) -> None:
        self.position = 0
        self._source = source
        self._limit = limit
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)  # RFC 1951 without a zlib header, PS3.5 A.5
        self._ready = bytearray()

    def read(self, count: int) -> bytes:
        """Return exactly ``count`` bytes or raise `TruncatedObject`."""
        self._fill(count)
        if len(self._ready) < count:
            raise TruncatedObject(_too_short(count, len(self._ready)))
        found = bytes(self._ready[:count])
        del self._ready[:count]
        self.position += count
        return found

    def peek(self, count: int) -> bytes:
        """Return up to ``count`` bytes without moving."""
        self._fill(count)
        return bytes(self._ready[:count])

    def skip(self, count: int) -> None:
        """Move ``count`` bytes forward or raise `TruncatedObject`."""
        while count > 0:
            step = min(count, CHUNK)
            self.read(step)
            count -= step

    def window(self) -> tuple[bytes, int]:
        """Return nothing: what is inflated comes piece by piece."""
        return b"", 0

    def _fill(self, count: int) -> None:
        if self.position + count > self._limit:
            raise ObjectTooLarge(
                f"the deflated data set would become larger than {self._limit} bytes; "
                "send it in another transfer syntax"
            )
        while len(self._ready) < count and not self._inflate.eof:
            pending = self._inflate.unconsumed_tail or self._next_chunk()
            try:
                piece = self._inflate.decompress(pending, CHUNK)
            except zlib.error as error:
                raise NotDicom(
                    f"the data set is not the deflate stream that its syntax announces: {error}"
                ) from error
            if not piece and not pending:
                return
            self._ready += piece

    def _next_chunk(self) -> bytes:
        chunk = self._source.peek(CHUNK)
        self._source.skip(len(chunk))
        return chunk


def open_bytes(data: bytes) -> BinaryIO:
    """Return ``data`` as a stream."""
    return io.BytesIO(data)


def _too_short(wanted: int, left: int) -> str:
    return f"the object ends early: {wanted} bytes were announced and {max(left, 0)} are left"
