"""A bounded walk over the data elements of a data set (PS3.5 section 7), up to the pixel data.

The node reads every header before it answers a C-STORE, on bytes that a peer made. This walk reads only the
wanted elements, skips the others unread, knows where the pixel data begin and whether they are all there, and
ends on hostile input with an error of the node, never with a warning, a deep recursion or a large allocation.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from node.dicom.stream import ByteSource
from node.dicom.text import CharacterSet
from node.domain.errors import NotDicom, TruncatedObject

UNDEFINED = 0xFFFFFFFF  # PS3.5 section 7.1.1
ITEM = 0xFFFEE000
ITEM_END = 0xFFFEE00D
SEQUENCE_END = 0xFFFEE0DD
SPECIFIC_CHARACTER_SET = 0x00080005
PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})  # float, double float and integer pixel data

SHORT_LENGTH_VRS = frozenset(  # PS3.5 table 7.1-2: the VRs with a 16-bit length; all others have 32 bits
    b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()
)
PLAIN_VRS = {code: code.decode("ascii") for code in SHORT_LENGTH_VRS}
PLAIN_HEAD_BYTES = 8
ODD_GROUPS = frozenset({0x7FE0, 0xFFFE})  # pixel data; items and delimiters
BINARY_INTEGERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i"}
BINARY_REALS = {"FL": "f", "FD": "d"}

MAX_VALUE_BYTES = 1 << 16
"""A wanted value longer than this is taken as absent: no attribute the node asks for comes near it."""
MAX_KEPT_BYTES = 1 << 26
"""Of all wanted values of one data set together."""
MAX_ELEMENTS = 1_000_000
MAX_DEPTH = 24


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How data elements are written."""

    implicit: bool
    little_endian: bool

    @property
    def order(self) -> str:
        """Return the byte order character of `struct`."""
        return "<" if self.little_endian else ">"


HEADS = {
    Encoding(implicit=implicit, little_endian=little): struct.Struct(
        ("<" if little else ">") + ("HH0sI" if implicit else "HH2sH")
    )
    for implicit in (False, True)
    for little in (False, True)
}
"""Tag, value representation if there is one, and length of a plain element (PS3.5 section 7.1)."""


@dataclass(frozen=True, slots=True)
class Element:
    """One wanted data element."""

    vr: str
    """Value representation, empty when the encoding is implicit."""
    value: bytes
    items: tuple[Attributes, ...] = ()
    """Items of a sequence."""


@dataclass(frozen=True)
class Attributes:
    """Wanted data elements of one data set or item, with tolerant access: what is malformed is absent."""

    elements: Mapping[int, Element]
    encoding: Encoding
    character_set: CharacterSet

    def __contains__(self, tag: int) -> bool:
        return tag in self.elements

    def text(self, tag: int) -> str:
        """Return the value as Unicode without padding, empty when absent."""
        element = self.elements.get(tag)
        return self.character_set.decode(element.value) if element is not None else ""

    def texts(self, tag: int) -> tuple[str, ...]:
        """Return the values of a multi-valued text, without padding; empty when absent."""
        text = self.text(tag)
        return tuple(part.strip(" \0") for part in text.split("\\")) if text else ()

    def numbers(self, tag: int, count: int) -> tuple[float, ...] | None:
        """Return exactly ``count`` finite numbers of a decimal string or binary real, else None."""
        element = self.elements.get(tag)
        if element is None:
            return None
        code = BINARY_REALS.get(element.vr)
        try:
            if code is not None:
                values = struct.unpack(f"{self.encoding.order}{count}{code}", element.value)
            else:
                values = tuple(float(part) for part in self.texts(tag))
        except (ValueError, struct.error):
            return None
        return values if len(values) == count and all(math.isfinite(value) for value in values) else None

    def number(self, tag: int) -> float | None:
        """Return one finite number, else None."""
        values = self.numbers(tag, 1)
        return values[0] if values is not None else None

    def integer(self, tag: int) -> int | None:
        """Return the number of an integer string (PS3.5 section 6.2, VR IS), else None."""
        value = self.number(tag)
        return int(value) if value is not None and value.is_integer() and abs(value) < 2**31 else None

    def unsigned(self, tag: int) -> int | None:
        """Return the number of a US attribute, else None."""
        element = self.elements.get(tag)
        if element is None:
            return None
        if element.vr in {"IS", "DS"}:
            return self.integer(tag)
        code = BINARY_INTEGERS.get(element.vr, BINARY_INTEGERS["US"])
        try:
            return int(struct.unpack_from(self.encoding.order + code, element.value)[0])
        except struct.error:
            return None

    def items(self, tag: int) -> tuple[Attributes, ...]:
        """Return the items of a sequence, empty when absent."""
        element = self.elements.get(tag)
        return element.items if element is not None else ()


@dataclass(frozen=True, kw_only=True)
class PixelData:
    """Where the pixel data lie."""

    tag: int
    offset: int
    """Of the first byte of the value, within the byte source."""
    length: int | None
    """None for encapsulated pixel data (undefined length, PS3.5 A.4)."""
    vr: str = ""
    """Empty where it is implicit."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which elements are read; the same at every level."""

    values: frozenset[int]
    sequences: frozenset[int] = frozenset()
    """Sequences that are entered."""
    largest_value: int = MAX_VALUE_BYTES
    """Bytes of a value; a larger one is skipped."""


@dataclass
class Walk:
    """One walk over one data set.

    Parameters
    ----------
    source : ByteSource
        Positioned at the first data element.
    encoding : Encoding
    wanted : Wanted
    """

    source: ByteSource
    encoding: Encoding
    wanted: Wanted
    character_set: CharacterSet = field(default=CharacterSet(terms=()), init=False)
    pixel_data: PixelData | None = field(default=None, init=False)
    _count: int = field(default=0, init=False)
    _kept: int = field(default=0, init=False)

    def run(self) -> Attributes:
        """Read the data set up to its pixel data, or to its end.

        Raises
        ------
        TruncatedObject
            When an element ends beyond the end of the source.
        NotDicom
            When the bytes are not data elements.
        """
        return self._data_set(self.encoding, None, 0)

    def _data_set(self, encoding: Encoding, end: int | None, depth: int) -> Attributes:
        """Read elements up to ``end``, an item delimiter, or the end of the source at the top level."""
        found: dict[int, Element] = {}
        while end is None or self.source.position < end:
            if depth == 0:
                self._advance(encoding, found)
                if self._at_end():
                    break
            tag, vr, length = self._element_head(encoding)
            if tag == ITEM_END:
                break
            if depth == 0 and tag in PIXEL_DATA:
                size = None if length == UNDEFINED else length
                self.pixel_data = PixelData(tag=tag, offset=self.source.position, length=size, vr=vr)
                break
            element = self._element(tag, vr, length, encoding, depth)
            if element is not None:
                found[tag] = element
        if end is not None and self.source.position > end:
            raise NotDicom("an item of a sequence ends before the last element in it does")
        return Attributes(found, encoding, self.character_set)

    def _advance(self, encoding: Encoding, found: dict[int, Element]) -> None:
        """Take what can be taken in another way than element by element."""

    def _element(self, tag: int, vr: str, length: int, encoding: Encoding, depth: int) -> Element | None:
        enter = tag in self.wanted.sequences
        if length == UNDEFINED and (
            vr in {"OB", "OW"} or tag in PIXEL_DATA
        ):  # the encapsulated pixels of an icon
            require_pixel_data(self.source, PixelData(tag=tag, offset=self.source.position, length=None))
            return None
        if length == UNDEFINED or (enter and length > 0):
            inner = (
                Encoding(implicit=True, little_endian=True) if vr == "UN" else encoding
            )  # PS3.5 section 6.2.2
            items = self._items(
                inner, None if length == UNDEFINED else self.source.position + length, depth + 1
            )
            return Element(vr, b"", items) if enter else None
        if tag not in self.wanted.values and tag != SPECIFIC_CHARACTER_SET:
            self.source.skip(length)
            return None
        if length > self.wanted.largest_value:
            self.source.skip(length)
            return None
        self._kept += length
        if self._kept > MAX_KEPT_BYTES:
            raise NotDicom(f"the data set has more than {MAX_KEPT_BYTES >> 20} MiB of attributes")
        value = self.source.read(length)
        if tag == SPECIFIC_CHARACTER_SET:
            if depth == 0:
                self.character_set = CharacterSet.parse(value)
            return None
        return Element(vr, value)

    def _items(self, encoding: Encoding, end: int | None, depth: int) -> tuple[Attributes, ...]:
        if depth > MAX_DEPTH:
            raise NotDicom(f"sequences are nested deeper than {MAX_DEPTH}")
        items: list[Attributes] = []
        while end is None or self.source.position < end:
            tag, length = self._item_head(encoding)
            if tag == SEQUENCE_END:
                break
            if tag != ITEM:
                raise NotDicom(
                    f"element ({tag >> 16:04X},{tag & 0xFFFF:04X}) stands where an item must begin"
                )
            stop = None if length == UNDEFINED else self.source.position + length
            items.append(self._data_set(encoding, stop, depth))
        return tuple(items)

    def _item_head(self, encoding: Encoding) -> tuple[int, int]:
        self._tick()
        group, element, length = struct.unpack(encoding.order + "HHI", self.source.read(8))
        return group << 16 | element, length

    def _element_head(self, encoding: Encoding) -> tuple[int, str, int]:
        self._tick()
        head = self.source.read(8)
        group, element, length = struct.unpack(encoding.order + "HHI", head)
        tag = group << 16 | element
        code = head[4:6]
        if encoding.implicit or group == 0xFFFE or not (code.isalpha() and code.isupper()):
            return (
                tag,
                "",
                length,
            )  # delimiters have no VR; a missing VR is read as implicit (seen in the field)
        if code in SHORT_LENGTH_VRS:
            return tag, code.decode("ascii"), struct.unpack_from(encoding.order + "H", head, 6)[0]
        if head[6:8] != b"\0\0":  # an unknown VR that uses the reserved bytes as a 16-bit length
            return tag, code.decode("ascii"), struct.unpack_from(encoding.order + "H", head, 6)[0]
        return tag, code.decode("ascii"), struct.unpack(encoding.order + "I", self.source.read(4))[0]

    def _tick(self) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise NotDicom(f"the data set has more than {MAX_ELEMENTS} elements")

    def _at_end(self) -> bool:
        """Whether nothing but padding follows; a piece of an element head is a truncation."""
        rest = self.source.peek(8)
        if len(rest) == 8:
            return False
        if rest.strip(b"\0"):
            raise TruncatedObject(
                f"the object ends within the head of an element, {len(rest)} bytes after the last"
            )
        return True


class HeaderWalk(Walk):
    """A walk for every image that arrives: plain elements that lie in memory are taken at once.

    What is done with them is what `Walk` does; whatever needs more thought is left to it.
    """

    def _advance(self, encoding: Encoding, found: dict[int, Element]) -> None:
        window, base = self.source.window()
        begin = position = self.source.position - base
        last = len(window) - PLAIN_HEAD_BYTES
        head, wanted, largest = HEADS[encoding], self.wanted.values, self.wanted.largest_value
        while position <= last:
            group, element, code, length = head.unpack_from(window, position)
            vr = "" if encoding.implicit else PLAIN_VRS.get(code)
            tag = group << 16 | element
            end = position + PLAIN_HEAD_BYTES + length
            if vr is None or end > len(window) or group in ODD_GROUPS:
                break
            if tag == SPECIFIC_CHARACTER_SET or tag in self.wanted.sequences:
                break
            if tag in wanted and length <= largest:
                found[tag] = Element(vr, window[position + PLAIN_HEAD_BYTES : end])
                self._kept += length
            position = end
            self._count += 1
        self.source.skip(max(position - begin, 0))


def require_pixel_data(source: ByteSource, place: PixelData) -> None:
    """Check that the announced pixel data are all there, without reading them.

    Parameters
    ----------
    source : ByteSource
        Positioned at the first byte of the value.
    place : PixelData

    Raises
    ------
    TruncatedObject
        When the source ends before the value does.
    NotDicom
        When encapsulated pixel data are not a sequence of items.
    """
    if place.length is not None:
        source.skip(place.length)
        return
    while True:
        group, element, length = struct.unpack("<HHI", source.read(8))
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            return
        if tag != ITEM or length == UNDEFINED:
            raise NotDicom("encapsulated pixel data are not a sequence of fragments (PS3.5 A.4)")
        source.skip(length)
