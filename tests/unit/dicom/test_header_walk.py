"""The walk that takes plain elements at once reads what the one that takes each for itself reads."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dicom.elements import (
    PIXEL_DATA,
    SHORT_LENGTH_VRS,
    SPECIFIC_CHARACTER_SET,
    Attributes,
    Encoding,
    HeaderWalk,
    Walk,
    Wanted,
)
from node.dicom.stream import WINDOW, FileBytes, open_bytes
from node.domain.errors import DicomError

SEQUENCE = 0x00081140
WANTED = Wanted(
    values=frozenset({0x00080016, 0x00080018, 0x00100010, 0x00280010, 0x7FE00000}),
    sequences=frozenset({SEQUENCE}),
    largest_value=40,
)
TAGS = st.sampled_from(
    [*WANTED.values, SEQUENCE, SPECIFIC_CHARACTER_SET, *PIXEL_DATA, 0xFFFEE000, 0xFFFEE00D, 0x00090010]
)
CODES = st.sampled_from([*SHORT_LENGTH_VRS, b"OB", b"SQ", b"UN", b"ZZ", b"\0\1"])
LENGTHS = st.one_of(st.none(), st.integers(0, 70), st.just(0xFFFF), st.just(0xFFFFFFFF))


@st.composite
def elements(draw, *, implicit: bool, order: str) -> bytes:
    """Return the bytes of one element, now and then with a length that is not that of its value."""
    tag, code, value = draw(TAGS), draw(CODES), draw(st.binary(max_size=60))
    length = draw(LENGTHS)
    length = len(value) if length is None else length
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return head + struct.pack(order + "I", length) + value
    if code in SHORT_LENGTH_VRS:
        return head + code + struct.pack(order + "H", length & 0xFFFF) + value
    return head + code + b"\0\0" + struct.pack(order + "I", length) + value


def outcome(kind: type[Walk], data: bytes, encoding: Encoding) -> object:
    """Return all that a walk tells, or how it fails."""
    walk = kind(FileBytes(open_bytes(data)), encoding, WANTED)
    try:
        found = walk.run()
    except DicomError as error:
        return type(error), str(error)
    return plain(found), walk.pixel_data, walk.source.position, walk.character_set


def plain(found: Attributes) -> object:
    """Return attributes as what can be compared."""
    return {
        tag: (element.vr, element.value, [plain(item) for item in element.items])
        for tag, element in found.elements.items()
    }


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("little_endian", [False, True])
@given(data=st.data())
def test_both_walks_read_the_same(implicit, little_endian, data):
    order = "<" if little_endian else ">"
    several = st.lists(elements(implicit=implicit, order=order), max_size=12)
    content = b"".join(data.draw(several))[: data.draw(st.integers(0, 500))]
    encoding = Encoding(implicit=implicit, little_endian=little_endian)
    assert outcome(HeaderWalk, content, encoding) == outcome(Walk, content, encoding)


@given(st.integers(WINDOW - 80, WINDOW + 20), st.binary(max_size=60))
def test_a_header_may_go_beyond_what_was_read_at_once(size, value):
    filler = struct.pack("<HH2sH", 0x0009, 0x0010, b"LO", size - 8) + b" " * (size - 8)
    content = filler + struct.pack("<HH2sH", 0x0010, 0x0010, b"PN", len(value)) + value
    encoding = Encoding(implicit=False, little_endian=True)
    assert outcome(HeaderWalk, content, encoding) == outcome(Walk, content, encoding)
