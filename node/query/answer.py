"""The identifiers of answers: values of the index in, bytes for the peer out (PS3.4 section C.4.1.1.3.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from node.decide.queries import Entity, Items, Key, Values
from node.dicom.elements import SHORT_LENGTH_VRS
from node.dicom.text import G1_OF_TERM
from node.query.identifier import QUERY_RETRIEVE_LEVEL, SPECIFIC_CHARACTER_SET

TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""Value representations to which the character set applies (PS3.5 section 6.1.2.3)."""
RETRIEVE_AE_TITLE = 0x00080054
INSTANCE_AVAILABILITY = 0x00080056
TIMEZONE_OFFSET = 0x00080201
UTF_8 = "ISO_IR 192"
LONGEST_VALUE = 0xFFFE
"""Of a value representation with a 16-bit length (PS3.5 section 7.1.2)."""
ITEM = 0xFFFEE000


@dataclass(frozen=True, kw_only=True)
class _Field:
    """One element of every answer."""

    tag: int
    vr: str
    keyword: str
    items: tuple[Key, ...] = ()


class AnswerWriter:
    """Writes the identifiers of the answers to one query.

    Text goes out in the character set of the query where it can say it, else in UTF-8 (PS3.4 C.4.1.1.3.2).

    Parameters
    ----------
    keys : iterable of Key
        What is asked for.
    constants : mapping of int to str
        Elements that are the same in every answer, by tag.
    character_set : tuple of str
        Defined terms of the query.
    implicit : bool
        Whether the value representations are implicit.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        *,
        constants: Mapping[int, str],
        character_set: tuple[str, ...],
        implicit: bool,
    ) -> None:
        self._implicit = implicit
        self._fields = sorted(
            [
                *(_Field(tag=tag, vr=_vr(tag), keyword=text) for tag, text in constants.items()),
                *(
                    _Field(
                        tag=key.attribute.tag,
                        vr=key.attribute.vr,
                        keyword=key.attribute.keyword,
                        items=key.items,
                    )
                    for key in keys
                ),
                _Field(tag=TIMEZONE_OFFSET, vr="SH", keyword="TimezoneOffsetFromUTC"),
            ],
            key=lambda item: item.tag,
        )
        self._constants = {
            tag: self._element(tag, _vr(tag), text.encode("ascii")) for tag, text in constants.items()
        }
        self._own = _single_byte(character_set)

    def write(self, entity: Entity) -> bytes:
        """Return the identifier of one answer; what is absent is sent empty."""
        for term, codec in (("", "ascii"), self._own, (UTF_8, "utf_8")):
            try:
                body = b"".join(self._written(entity, codec))
            except UnicodeEncodeError:
                continue
            if not term:
                return body
            return self._element(SPECIFIC_CHARACTER_SET, "CS", term.encode("ascii")) + body
        raise ValueError("text that no Unicode encoding can write")  # lone surrogates are cleaned at intake

    def _written(self, entity: Entity, codec: str) -> Iterable[bytes]:
        for item in self._fields:
            constant = self._constants.get(item.tag)
            if constant is not None:
                yield constant
            elif item.vr == "SQ":
                yield self._sequence(item, entity.sequences.get(item.keyword, ()), codec)
            else:
                value = entity.texts.get(item.keyword, "")
                if value or item.tag != TIMEZONE_OFFSET:
                    yield self._element(item.tag, item.vr, _encoded(item.vr, value, codec))

    def _sequence(self, asked: _Field, items: Items, codec: str) -> bytes:
        body = b""
        for item in items:
            elements = b"".join(
                self._element(
                    key.attribute.tag,
                    key.attribute.vr,
                    _encoded(key.attribute.vr, item.get(key.attribute.keyword, ""), codec),
                )
                for key in asked.items
            )
            body += struct.pack("<HHI", ITEM >> 16, ITEM & 0xFFFF, len(elements)) + elements
        return self._element(asked.tag, "SQ", body)

    def _element(self, tag: int, vr: str, value: bytes) -> bytes:
        if len(value) % 2:
            value += b"\0" if vr == "UI" else b" "
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if self._implicit:
            return head + struct.pack("<I", len(value)) + value
        code = vr.encode("ascii")
        if code in SHORT_LENGTH_VRS:
            value = value[:LONGEST_VALUE]
            return head + code + struct.pack("<H", len(value)) + value
        return head + code + struct.pack("<HI", 0, len(value)) + value


def _vr(tag: int) -> str:
    return "AE" if tag == RETRIEVE_AE_TITLE else "CS"


def _encoded(vr: str, value: Values, codec: str) -> bytes:
    text = value if isinstance(value, str) else "\\".join(value)
    if vr == "US":
        return struct.pack("<H", int(text) & 0xFFFF) if text else b""
    if vr in TEXT:
        return text.encode(codec)
    return text.encode("ascii", "replace")


def _single_byte(terms: tuple[str, ...]) -> tuple[str, str]:
    """Return the term and codec of a query's character set that has one byte a character, else UTF-8."""
    if len(terms) == 1:
        codec = G1_OF_TERM.get(terms[0], "")
        if codec.startswith("iso8859"):
            return terms[0], codec
    return UTF_8, "utf_8"


def constants_of(level: str, ae_title: str) -> dict[int, str]:
    """Return the elements that every answer has (PS3.4 section C.4.1.1.3.2)."""
    return {
        QUERY_RETRIEVE_LEVEL: level,
        RETRIEVE_AE_TITLE: ae_title,
        INSTANCE_AVAILABILITY: "ONLINE",
    }
