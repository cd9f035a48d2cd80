"""One value of a stored object, found by its place and read in pieces: for what is too large for a header."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np

from node.dicom.elements import ITEM, PIXEL_DATA, UNDEFINED, Encoding, Walk, Wanted
from node.dicom.part10 import open_walk
from node.dicom.stream import ByteSource
from node.dicom.tags import Tag

PIECE: Final = 1 << 20
"""Bytes read at a time; a multiple of every word."""
MOST_LEVELS: Final = 24
WORD_BYTES: Final = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
"""By value representation (PS3.5 table 6.2-1 and section 7.3); the others have no byte order."""


@dataclass(frozen=True, kw_only=True)
class BulkValue:
    """The value of one element, not read yet."""

    source: ByteSource
    """At the value's first byte."""
    length: int
    word_bytes: int
    """Bytes to be reversed for little endian, 1 for none."""

    def pieces(self) -> Iterator[bytes]:
        """Yield the value, little endian.

        Raises
        ------
        TruncatedObject, NotDicom, ObjectTooLarge
        """
        left = self.length
        while left:
            piece = self.source.read(min(left, PIECE))
            left -= len(piece)
            yield little_endian(piece, self.word_bytes)


def little_endian(piece: bytes, word_bytes: int) -> bytes:
    """Return words of ``word_bytes`` that are big endian as little endian ones; 1 leaves them as they are.

    What is left over at the end is no word, and stays.
    """
    if word_bytes == 1:
        return piece
    whole = len(piece) // word_bytes * word_bytes
    words = np.frombuffer(piece, f"u{word_bytes}", count=whole // word_bytes)
    return words.byteswap().tobytes() + piece[whole:]


def bytes_of_pixel(bits_allocated: int) -> int:
    """Return the bytes of a word of Pixel Data of VR OW.

    A pixel of 32 or 64 bits is turned as a whole, as whoever writes big endian does it; two of 8 bits lie in
    a word of 16 (PS3.5 section 8.1.1).
    """
    return bits_allocated // 8 if bits_allocated in {32, 64} else WORD_BYTES["OW"]


def find_value(stream: BinaryIO, place: Sequence[int]) -> BulkValue | None:
    """Find the value of an element.

    Parameters
    ----------
    stream : BinaryIO
        A PS3.10 file at its first byte; open for as long as the value is read.
    place : sequence of int
        A tag; or the tag of a sequence, the number of an item from 1, and a tag within it; and so on.

    Returns
    -------
    BulkValue or None
        None when there is no such element, or it is a sequence or encapsulated pixel data.

    Raises
    ------
    NotDicom, TruncatedObject, ObjectTooLarge
    """
    if len(place) % 2 == 0 or len(place) > 2 * MOST_LEVELS:
        return None
    return open_walk(stream, Wanted(values=frozenset()), _Finder).find(place)


class _Finder(Walk):
    """A walk down to one element."""

    _bits_allocated = 0

    def find(self, place: Sequence[int]) -> BulkValue | None:
        encoding, end = self.encoding, None
        for tag, number in zip(place[:-1:2], place[1::2], strict=True):
            head = self._seek(tag, encoding, end)
            if head is None:
                return None
            vr, length = head
            if vr == "UN":  # PS3.5 section 6.2.2
                encoding = Encoding(implicit=True, little_endian=True)
            entered, end = self._enter(number, encoding, self._end(length))
            if not entered:
                return None
        head = self._seek(place[-1], encoding, end)
        if head is None or head[1] == UNDEFINED or head[0] == "SQ":
            return None
        vr, length = head
        word_bytes = 1 if encoding.little_endian else WORD_BYTES.get(vr, 1)
        if word_bytes > 1 and vr == "OW" and len(place) == 1 and place[0] in PIXEL_DATA:
            word_bytes = bytes_of_pixel(self._bits_allocated)
        return BulkValue(source=self.source, length=length, word_bytes=word_bytes)

    def _end(self, length: int) -> int | None:
        return None if length == UNDEFINED else self.source.position + length

    def _seek(self, wanted: int, encoding: Encoding, end: int | None) -> tuple[str, int] | None:
        """Go to the value of a tag among the elements up to ``end``, and return its VR and length."""
        top = encoding is self.encoding and end is None
        while end is None or self.source.position < end:
            if top and self._at_end():
                return None
            tag, vr, length = self._element_head(encoding)
            if tag == wanted:
                return vr, length
            if tag >> 16 == ITEM >> 16:
                return None
            if top and tag == Tag.BitsAllocated and length == 2:  # a US
                self._bits_allocated = struct.unpack(encoding.order + "H", self.source.peek(2))[0]
            self._element(tag, vr, length, encoding, 0)
        return None

    def _enter(self, number: int, encoding: Encoding, end: int | None) -> tuple[bool, int | None]:
        """Go to the first element of an item (from 1); return whether there is one, and its end."""
        for _ in range(1, number):
            if not self._skip_item(encoding, end):
                return False, None
        if end is not None and self.source.position >= end:
            return False, None
        tag, length = self._item_head(encoding)
        return tag == ITEM, self._end(length)

    def _skip_item(self, encoding: Encoding, end: int | None) -> bool:
        if end is not None and self.source.position >= end:
            return False
        tag, length = self._item_head(encoding)
        if tag != ITEM:
            return False
        if length == UNDEFINED:
            self._data_set(encoding, None, 1)
        else:
            self.source.skip(length)
        return True
