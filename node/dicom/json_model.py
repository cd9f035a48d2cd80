"""The DICOM JSON model (PS3.18 annex F): values of data elements, and whole data sets without their bulk."""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final

from pydicom.datadict import dictionary_VR

from node.dicom.bulk_values import WORD_BYTES, little_endian
from node.dicom.elements import (
    ITEM,
    ITEM_END,
    MAX_DEPTH,
    MAX_KEPT_BYTES,
    PIXEL_DATA,
    SEQUENCE_END,
    SPECIFIC_CHARACTER_SET,
    UNDEFINED,
    Encoding,
    PixelData,
    Walk,
    Wanted,
    require_pixel_data,
)
from node.dicom.part10 import open_walk
from node.dicom.stream import FileBytes
from node.dicom.text import CharacterSet
from node.domain.errors import DicomError, NotDicom

BULK_BASE: Final = b"\xff"
"""Stands in written data sets for the URL of their instance: a byte that UTF-8 never has."""
_BASE_CHARACTER: Final = "\udcff"
"""What ``surrogateescape`` writes as that byte; no decoded text has it."""
LONGEST_VALUE: Final = 1 << 16
"""Bytes of a text or of a list of numbers that stands in the JSON; a longer one is bulk data."""
PIXEL_REPRESENTATION: Final = 0x00280103
TRAILING_PADDING: Final = 0xFFFCFFFC
AMBIGUOUS: Final = {
    "OB or OW": ("OW", "OW"),
    "US or OW": ("OW", "OW"),
    "US or SS": ("US", "SS"),
    "US or SS or OW": ("US", "SS"),
}
"""What the dictionary leaves open: for unsigned and for signed pixels (PS3.5 section A.1)."""
INTEGERS: Final = {"SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
REALS: Final = {"FD": "d", "FL": "f"}
BINARY: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
ONE_TEXT: Final = frozenset({"LT", "ST", "UR", "UT"})
"""Value representations of one value, in which a backslash is a character (PS3.5 section 6.2)."""
TEXTS: Final = ONE_TEXT | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UC", "UI"}
OF_CHARACTER_SET: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
KNOWN: Final = TEXTS | BINARY | INTEGERS.keys() | REALS.keys() | {"AT", "SQ"}
NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
SAFE_INTEGERS: Final = 1 << 53
"""Beyond it a number of JSON is not exact for every reader (RFC 8259 section 6)."""
LONGEST_NUMBER: Final = 32
IMPLICIT: Final = Encoding(implicit=True, little_endian=True)
DEFAULT_REPERTOIRE: Final = CharacterSet(terms=())
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

JsonElement = dict[str, Any]
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def json_texts(vr: str, values: Sequence[str]) -> JsonElement:
    """Return the element of values that are text (PS3.18 section F.2.2).

    Parameters
    ----------
    vr : str
    values : sequence of str
        Without padding; none for an empty element.
    """
    if not any(values):
        return {"vr": vr}
    if vr == "PN":
        return {"vr": vr, "Value": [_name(value) for value in values]}
    if vr in {"DS", "IS", "US"}:
        return {"vr": vr, "Value": [_number(value) for value in values]}
    return {"vr": vr, "Value": [value or None for value in values]}


def tag_name(tag: int) -> str:
    """Return a tag as the JSON model names it."""
    return f"{tag:08X}"


def written(document: Mapping[str, Any]) -> bytes:
    """Return a data set, or an element, of the JSON model as UTF-8."""
    return _ENCODER.encode(document).encode("utf-8", "surrogateescape")


def data_set_json(stream: BinaryIO, *, inline_bytes: int) -> bytes:
    """Return the data set of an object as DICOM JSON, with its bulk data by reference.

    Parameters
    ----------
    stream : BinaryIO
        A PS3.10 file at its first byte.
    inline_bytes : int
        Longest binary value that stands in the JSON.

    Returns
    -------
    bytes
        UTF-8. Where a BulkDataURI begins stands `BULK_BASE`, to be replaced by the URL of the instance.

    Raises
    ------
    NotDicom, TruncatedObject, ObjectTooLarge
    """
    return open_walk(stream, Wanted(values=frozenset()), _JsonWalk).document(inline_bytes)


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What elements before others say of them."""

    encoding: Encoding
    character_set: CharacterSet = DEFAULT_REPERTOIRE
    signed: bool = False
    """Whether the pixels are."""
    place: tuple[str, ...] = ()
    """Tags and numbers of items down to here."""


class _JsonWalk(Walk):
    """A walk that writes everything but bulk data.

    Each element is written when it was read: the numbers of one alone may take twenty times their bytes.
    """

    _inline_bytes = 0

    def document(self, inline_bytes: int) -> bytes:
        """Return the data set, written."""
        self._inline_bytes = inline_bytes
        return self._members(_Context(encoding=self.encoding), None)

    def _members(self, context: _Context, end: int | None) -> bytes:
        """Write the elements up to ``end``, an item delimiter, or the end of the source at the top level."""
        found: dict[int, bytes] = {}
        while end is None or self.source.position < end:
            if not context.place and self._at_end():
                break
            tag, vr, length = self._element_head(context.encoding)
            if tag == ITEM_END:
                break
            if tag >> 16 == ITEM >> 16:
                raise NotDicom("a delimiter stands where an element must begin")
            if tag & 0xFFFF == 0 or tag == TRAILING_PADDING:  # a group length says nothing here
                self.source.skip(length)
                continue
            element, context = self._one(tag, vr, length, context)
            if element is not None:
                found[tag] = element
        if end is not None and self.source.position > end:
            raise NotDicom("an item of a sequence ends before the last element in it does")
        return b"{%b}" % b",".join(b'"%08X":%b' % member for member in found.items())

    def _one(self, tag: int, vr: str, length: int, context: _Context) -> tuple[bytes | None, _Context]:
        """Write one element, and return what it says of those behind it."""
        unknown, vr = vr == "UN", _vr(tag, vr, length, signed=context.signed)
        if vr == "SQ":
            inner = replace(context, encoding=IMPLICIT) if unknown else context  # PS3.5 section 6.2.2
            return self._sequence(tag, length, inner), context
        if length == UNDEFINED or vr in BINARY or length > LONGEST_VALUE:
            return written(self._bulk(tag, vr, length, context)), context
        raw = self._read(length)
        if tag == SPECIFIC_CHARACTER_SET:
            # The JSON is in UTF-8, and says so where the object names a character set (PS3.18 section F.2).
            element = None if context.place else written({"vr": "CS", "Value": ["ISO_IR 192"]})
            return element, replace(context, character_set=CharacterSet.parse(raw))
        if tag == PIXEL_REPRESENTATION:
            context = replace(context, signed=raw[:1] + raw[-1:] != b"\0\0")
        return written(_element(vr, raw, context)), context

    def _bulk(self, tag: int, vr: str, length: int, context: _Context) -> JsonElement:
        if length != UNDEFINED and length <= self._inline_bytes and tag not in PIXEL_DATA:
            raw = self._read(length)
            if not raw:
                return {"vr": vr}
            words = 1 if context.encoding.little_endian else WORD_BYTES.get(vr, 1)
            return {"vr": vr, "InlineBinary": base64.b64encode(little_endian(raw, words)).decode("ascii")}
        size = None if length == UNDEFINED else length
        require_pixel_data(self.source, PixelData(tag=tag, offset=self.source.position, length=size))
        place = "/".join((*context.place, tag_name(tag)))
        return {"vr": vr, "BulkDataURI": f"{_BASE_CHARACTER}/bulkdata/{place}"}

    def _read(self, length: int) -> bytes:
        self._kept += length
        if self._kept > MAX_KEPT_BYTES:
            raise NotDicom(f"the data set has more than {MAX_KEPT_BYTES >> 20} MiB of attributes")
        return self.source.read(length)

    def _sequence(self, tag: int, length: int, context: _Context) -> bytes | None:
        place = (*context.place, tag_name(tag))
        if len(place) > 2 * MAX_DEPTH:
            raise NotDicom(f"sequences are nested deeper than {MAX_DEPTH}")
        end = None if length == UNDEFINED else self.source.position + length
        try:
            items = self._items_of(replace(context, place=place), end)
        except DicomError:
            # Intake enters no sequence that it does not need: one that is malformed is left out.
            if end is None or context.place or not isinstance(self.source, FileBytes):
                raise
            self.source.skip(end - self.source.position)
            return None
        return b'{"vr":"SQ","Value":[%b]}' % b",".join(items) if items else b'{"vr":"SQ"}'

    def _items_of(self, context: _Context, end: int | None) -> list[bytes]:
        items: list[bytes] = []
        while end is None or self.source.position < end:
            tag, length = self._item_head(context.encoding)
            if tag == SEQUENCE_END:
                break
            if tag != ITEM:
                raise NotDicom("another element stands where an item must begin")
            stop = None if length == UNDEFINED else self.source.position + length
            inner = replace(context, place=(*context.place, str(len(items) + 1)))
            items.append(self._members(inner, stop))
        if end is not None and self.source.position > end:
            raise NotDicom("a sequence ends before the last item in it does")
        return items


def _vr(tag: int, vr: str, length: int, *, signed: bool) -> str:
    """Return the value representation of an element, whose encoding may not name it."""
    if length == UNDEFINED:
        return "OW" if tag in PIXEL_DATA and vr not in {"OB", "OW"} else vr if vr in {"OB", "OW"} else "SQ"
    if vr in KNOWN and vr != "UN":
        return vr
    try:
        named = dictionary_VR(tag)
    except KeyError:
        creator = (tag >> 16) % 2 == 1 and 0x10 <= tag & 0xFFFF <= 0xFF  # PS3.5 section 7.8.1
        named = "LO" if creator else "UN"
    named = AMBIGUOUS.get(named, (named, named))[signed]
    if named not in KNOWN or (vr and named == "SQ"):  # what is written as UN is not entered
        return "UN"
    return named


def _element(vr: str, raw: bytes, context: _Context) -> JsonElement:
    """Return the element of a value that is neither binary nor a sequence."""
    if vr in TEXTS:
        return json_texts(vr, _texts(vr, raw, context.character_set))
    values: list[Any] = []
    order = context.encoding.order
    try:
        if vr == "AT":
            halves = struct.unpack(f"{order}{len(raw) // 2}H", raw)
            pairs = zip(halves[::2], halves[1::2], strict=True)
            values = [f"{group:04X}{element:04X}" for group, element in pairs]
        elif vr in INTEGERS:
            size = struct.calcsize(order + INTEGERS[vr])
            values = [_exact(item) for item in struct.unpack(f"{order}{len(raw) // size}{INTEGERS[vr]}", raw)]
        else:
            size = struct.calcsize(order + REALS[vr])
            values = [_real(item) for item in struct.unpack(f"{order}{len(raw) // size}{REALS[vr]}", raw)]
    except (struct.error, ValueError):  # no whole number of values
        return {"vr": "UN", "InlineBinary": base64.b64encode(raw).decode("ascii")}
    return {"vr": vr, "Value": values} if values else {"vr": vr}


def _texts(vr: str, raw: bytes, character_set: CharacterSet) -> list[str]:
    decoder = character_set if vr in OF_CHARACTER_SET else DEFAULT_REPERTOIRE
    text = decoder.decode(raw)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")  # no lone surrogates
    if not text:
        return []
    if vr in ONE_TEXT:
        return [" " * (len(raw) - len(raw.lstrip(b" "))) + text]  # those at its beginning are of the text
    return [part.strip(" \0") for part in text.split("\\")]


def _name(value: str) -> dict[str, str] | None:
    groups = zip(NAME_GROUPS, value.split("="), strict=False)
    return {group: text.strip(" ") for group, text in groups if text.strip(" ")} or None


def _number(text: str) -> int | float | str | None:
    """Return the number of a text; one that is none stays as it is, so that nothing is lost."""
    if not text:
        return None
    if len(text) <= LONGEST_NUMBER:
        if _INTEGER.fullmatch(text):
            return _exact(int(text))
        if _DECIMAL.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
    return text


def _exact(number: int) -> int | str:
    return number if abs(number) < SAFE_INTEGERS else str(number)


def _real(number: float) -> float | str:
    """Return a number; what JSON cannot say stands as text (PS3.18 section F.2.3.1)."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "inf" if number > 0 else "-inf"
