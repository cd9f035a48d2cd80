"""A data set written anew in another uncompressed encoding, element by element, with flat memory.

Sequences and items get undefined lengths (PS3.5 section 7.5), since what they will hold is not known when
they begin. Group lengths, retired and wrong afterwards, are left out (PS3.5 section 7.2).
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR

from node.dicom.bulk_values import WORD_BYTES, bytes_of_pixel, little_endian
from node.dicom.elements import (
    ITEM,
    ITEM_END,
    MAX_DEPTH,
    PIXEL_DATA,
    SEQUENCE_END,
    SHORT_LENGTH_VRS,
    UNDEFINED,
    Encoding,
    PixelData,
    Walk,
    Wanted,
    require_pixel_data,
)
from node.dicom.stream import ByteSource
from node.dicom.tags import Tag
from node.domain.errors import NotDicom

BLOCK = 1 << 20
"""Bytes of a value that are in memory at a time; a multiple of every word."""
READY = 1 << 16
"""Bytes that are gathered before they are given away."""
SHORT_LIMIT = 0xFFFF
VRS = frozenset(  # PS3.5 section 6.2
    {*(code.decode() for code in SHORT_LENGTH_VRS), "OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC"}
    | {"UN", "UR", "UT", "UV"}
)

Changes = Mapping[int, "Change | None"]
"""What becomes of elements of the data set itself, by tag; None leaves one out."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """Another value."""

    vr: str
    value: bytes
    """Little endian, of an even length below 64 KiB."""


@dataclass(frozen=True, slots=True)
class _Level:
    """Between which encodings the elements of one data set or item are carried over."""

    given: Encoding
    wanted: Encoding
    depth: int
    signed: bool
    """PixelRepresentation of the data set around it (PS3.3 C.7.6.3.1): decides between US and SS."""


class Reencoder(Walk):
    """One data set on its way into another encoding.

    Parameters
    ----------
    source : ByteSource
        At the first data element.
    given : Encoding
        Of the source.
    implicit : bool
        Whether value representations become implicit; the order of bytes becomes little endian.
    changes : mapping, optional
        Other values of elements outside of sequences; one that was absent is put in.
    pixels : callable, optional
        Yields what is written in the place of the element Pixel Data.
    """

    def __init__(
        self,
        source: ByteSource,
        given: Encoding,
        *,
        implicit: bool,
        changes: Changes | None = None,
        pixels: Callable[[], Iterator[bytes]] | None = None,
    ) -> None:
        super().__init__(source, given, Wanted(values=frozenset()))
        self._target = Encoding(implicit=implicit, little_endian=True)
        self._pending = sorted((changes or {}).items())
        self._pixels = pixels
        self._ready = bytearray()
        self._word_of_pixels = 2

    def blocks(self) -> Iterator[bytes]:
        """Yield the data set in its new encoding, at most about 1 MiB at a time.

        Raises
        ------
        NotDicom, TruncatedObject, ObjectTooLarge
        """
        yield from self._elements(_Level(self.encoding, self._target, 0, signed=False), None)
        self._changed(UNDEFINED)
        yield from self._taken()

    def _elements(self, level: _Level, end: int | None) -> Iterator[bytes]:
        while end is None or self.source.position < end:
            if level.depth == 0 and self._at_end():
                break
            tag, vr, length = self._element_head(level.given)
            if tag == ITEM_END:
                break
            changed = level.depth == 0 and self._changed(tag)
            if level.depth == 0 and tag in PIXEL_DATA and self._pixels is not None:
                yield from self._taken()
                yield from self._pixels()
                known = None if length == UNDEFINED else length
                require_pixel_data(self.source, PixelData(tag=tag, offset=self.source.position, length=known))
                continue
            if changed or tag & 0xFFFF == 0:
                self._element(tag, vr, length, level.given, level.depth)  # wanted is nothing: skipped
                continue
            if tag == Tag.PixelRepresentation and length == 2:  # a US
                level = dataclasses.replace(level, signed=any(self.source.peek(2)))
            if tag == Tag.BitsAllocated and length == 2 and level.depth == 0:
                bits = struct.unpack(level.given.order + "H", self.source.peek(2))[0]
                self._word_of_pixels = bytes_of_pixel(bits)
            yield from self._carried(level, tag, vr, length)
            if len(self._ready) >= READY:
                yield from self._taken()
        if end is not None and self.source.position > end:
            raise NotDicom("an item of a sequence ends before the last element in it does")

    def _carried(self, level: _Level, tag: int, vr: str, length: int) -> Iterator[bytes]:
        """Write one element."""
        known = vr or representation_of(tag, signed=level.signed)
        if length == UNDEFINED:
            if known in {"OB", "OW"} or tag in PIXEL_DATA:
                self._ready += element_head(tag, "OB", UNDEFINED, implicit=level.wanted.implicit)
                yield from self._fragments()
            elif vr == "UN":  # its items are implicit, whatever is around them (PS3.5 section 6.2.2)
                inner = Encoding(implicit=True, little_endian=True)
                self._ready += element_head(tag, "UN", UNDEFINED, implicit=level.wanted.implicit)
                yield from self._items_out(_Level(inner, inner, level.depth + 1, level.signed), None)
            else:
                yield from self._sequence(level, tag, None)
        elif known == "SQ" and length and level.given != level.wanted:
            yield from self._sequence(level, tag, self.source.position + length)
        else:
            self._ready += element_head(tag, known, length, implicit=level.wanted.implicit)
            word = WORD_BYTES.get(known, 1)
            if tag in PIXEL_DATA and level.depth == 0 and known == "OW":
                word = self._word_of_pixels
            yield from self._value(length, 1 if level.given.little_endian else word)

    def _sequence(self, level: _Level, tag: int, end: int | None) -> Iterator[bytes]:
        self._ready += element_head(tag, "SQ", UNDEFINED, implicit=level.wanted.implicit)
        yield from self._items_out(dataclasses.replace(level, depth=level.depth + 1), end)

    def _items_out(self, level: _Level, end: int | None) -> Iterator[bytes]:
        if level.depth > MAX_DEPTH:
            raise NotDicom(f"sequences are nested deeper than {MAX_DEPTH}")
        while end is None or self.source.position < end:
            tag, length = self._item_head(level.given)
            if tag == SEQUENCE_END:
                break
            if tag != ITEM:
                raise NotDicom(
                    f"element ({tag >> 16:04X},{tag & 0xFFFF:04X}) stands where an item must begin"
                )
            self._ready += item_head(ITEM, UNDEFINED)
            stop = None if length == UNDEFINED else self.source.position + length
            yield from self._elements(level, stop)
            self._ready += item_head(ITEM_END, 0)
        self._ready += item_head(SEQUENCE_END, 0)

    def _fragments(self) -> Iterator[bytes]:
        """Copy encapsulated pixel data (PS3.5 section A.4)."""
        little = Encoding(implicit=False, little_endian=True)
        tag, length = self._item_head(little)
        while tag == ITEM and length != UNDEFINED:
            self._ready += item_head(tag, length)
            yield from self._value(length, 1)
            tag, length = self._item_head(little)
        if tag != SEQUENCE_END:
            raise NotDicom("encapsulated pixel data are not a sequence of fragments (PS3.5 A.4)")
        self._ready += item_head(tag, 0)

    def _value(self, length: int, word: int) -> Iterator[bytes]:
        while length > 0:
            data = self.source.read(min(length, BLOCK))
            length -= len(data)
            self._ready += little_endian(data, word)
            if len(self._ready) >= READY:
                yield from self._taken()

    def _changed(self, tag: int) -> bool:
        """Write the changes up to an element; return whether it is one of them."""
        found = False
        while self._pending and self._pending[0][0] <= tag:
            at, change = self._pending.pop(0)
            found = found or at == tag
            if change is not None:
                implicit = self._target.implicit
                self._ready += element_head(at, change.vr, len(change.value), implicit=implicit)
                self._ready += change.value
        return found

    def _taken(self) -> Iterator[bytes]:
        if self._ready:
            taken, self._ready = bytes(self._ready), bytearray()
            yield taken


def representation_of(tag: int, *, signed: bool) -> str:
    """Return the VR of an element whose VR is implicit (PS3.6; PS3.5 section A.1).

    Parameters
    ----------
    tag : int
    signed : bool
        PixelRepresentation is 1.

    Returns
    -------
    str
        UN for what is not known, as for private elements (PS3.5 section 6.2.2).
    """
    if tag >> 16 & 1:  # private: only the elements that reserve blocks are known (PS3.5 section 7.8.1)
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    try:
        found = dictionary_VR(tag)
    except KeyError:
        return "UN"
    if "OW" in found:  # "OB or OW", "US or OW": under implicit VR it is OW
        return "OW"
    if found == "US or SS":
        return "SS" if signed else "US"
    return found


def element_head(tag: int, vr: str, length: int, *, implicit: bool) -> bytes:
    """Return tag, VR and length, little endian (PS3.5 section 7.1).

    What is no VR, or cannot say how long its value is, becomes UN (PS3.5 section 6.2.2).
    """
    group, element = tag >> 16, tag & 0xFFFF
    if implicit:
        return struct.pack("<HHI", group, element, length)
    code = vr.encode("ascii") if vr in VRS else b"UN"
    if code in SHORT_LENGTH_VRS:
        if length <= SHORT_LIMIT:
            return struct.pack("<HH2sH", group, element, code, length)
        code = b"UN"
    return struct.pack("<HH2sHI", group, element, code, 0, length)


def item_head(tag: int, length: int) -> bytes:
    """Return the head of an item or of a delimiter (PS3.5 section 7.5)."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, length)
