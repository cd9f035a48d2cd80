"""Objects that are odd in every way, stored by HTTP and then asked for in every form: no answer fails."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import pytest

from node.domain.identity import derived_uid
from tests.station.stow_ground import TYPE, body_of
from tests.station.whole_web_ground import Target, harmless, target

__all__ = ["target"]

STUDY, SERIES = derived_uid("odd", "study"), derived_uid("odd", "series")
UNDEFINED = 0xFFFFFFFF
LONG = {b"OB", b"OW", b"OD", b"OF", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT"}
FLOATS = struct.pack("<4d", float("nan"), float("inf"), float("-inf"), 1e308)
SQ_ITEM, SQ_ITEM_END, SQ_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """Return a data element in Explicit VR Little Endian, whatever it says."""
    count = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    return head + (struct.pack("<HI", 0, count) if vr in LONG else struct.pack("<H", count)) + value


def nested(depth: int) -> bytes:
    """Return sequences within sequences, of undefined length."""
    begin = element(0x00081140, b"SQ", b"", UNDEFINED) + SQ_ITEM + struct.pack("<I", UNDEFINED)
    end = SQ_ITEM_END + bytes(4) + SQ_END + bytes(4)
    return begin * depth + end * depth


def identified(name: str, **changes: bytes) -> dict[int, bytes]:
    """Return the elements of a small image by tag; to be changed."""
    uid = derived_uid("odd", name).encode()
    texts = {
        0x00080016: (b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
        0x00080018: (b"UI", uid + b"\0" * (len(uid) % 2)),
        0x00080060: (b"CS", b"CT"),
        0x00100010: (b"PN", b"Odd^One "),
        0x00100020: (b"LO", b"ODD1"),
        0x0020000D: (b"UI", STUDY.encode() + b"\0" * (len(STUDY) % 2)),
        0x0020000E: (b"UI", SERIES.encode() + b"\0" * (len(SERIES) % 2)),
        0x00280002: (b"US", b"\1\0"),
        0x00280004: (b"CS", b"MONOCHROME2 "),
        0x00280010: (b"US", b"\4\0"),
        0x00280011: (b"US", b"\4\0"),
        0x00280100: (b"US", b"\x10\0"),
        0x00280101: (b"US", b"\x10\0"),
        0x00280102: (b"US", b"\x0f\0"),
        0x00280103: (b"US", b"\0\0"),
        0x7FE00010: (b"OW", bytes(32)),
    }
    return {tag: element(tag, vr, value) for tag, (vr, value) in texts.items()}


def with_elements(name: str, *elements: bytes, without: int = 0) -> bytes:
    """Return the data set of a small image with these elements in place of its own, or among them."""
    tags = identified(name)
    for item in elements:
        group, number = struct.unpack_from("<HH", item)
        tags[group << 16 | number] = item
    tags.pop(without, None)
    return b"".join(tags[tag] for tag in sorted(tags))


ODD = {
    "deep": with_elements("deep", nested(20)),
    "too deep": with_elements("too deep", nested(5000)),
    "no numbers": with_elements(
        "no numbers",
        element(0x00189306, b"FD", FLOATS),
        element(0x00189309, b"FL", struct.pack("<f", float("nan"))),
        element(0x00200013, b"IS", b"1e999x"),
        element(0x00281050, b"DS", b"abc\\nan\\inf "),
        element(0x00281051, b"DS", b"1e400 "),
        element(0x00280030, b"DS", b"\\\\\\\\"),
        element(0x00280009, b"AT", b"\1\2\3"),
        element(0x00180088, b"DS", b"1" * 60),
    ),
    "no text": with_elements(
        "no text",
        element(0x00080005, b"CS", b"ISO_IR 999\\x" + bytes(6)),
        element(0x00100010, b"PN", bytes(range(256))[:200] + b"====^^^^^^^=^="),
        element(0x00081030, b"LO", b"\xff\xfe\xed\xa0\x80\x1b$)B" + bytes(3)),
        element(0x00080050, b"SH", b"</script>\r\n\x00\x01 "),
        element(0x00080020, b"DA", b"20261399"),
        element(0x00080030, b"TM", b"999999.9"),
    ),
    "wrong vr": with_elements(
        "wrong vr",
        element(0x00080060, b"SQ", b""),
        element(0x00280008, b"IS", b"99999999"),
        element(0x00090010, b"ZZ", b"xy"),
        element(0x00091001, b"UN", bytes(70000)),
    ),
    "no pixels": with_elements("no pixels", without=0x7FE00010),
    "empty pixels": with_elements("empty pixels", element(0x7FE00010, b"OW", b"")),
    "few pixels": with_elements(
        "few pixels", element(0x00280010, b"US", b"\xff\xff"), element(0x00280011, b"US", b"\xff\xff")
    ),
    "many frames": with_elements("many frames", element(0x00280008, b"IS", b"2147483647")),
    "no rows": with_elements("no rows", element(0x00280010, b"US", b"\0\0")),
    "odd bits": with_elements("odd bits", element(0x00280100, b"US", b"\7\0")),
    "odd samples": with_elements("odd samples", element(0x00280002, b"US", b"\xff\xff")),
    "no photometry": with_elements("no photometry", without=0x00280004),
    "a palette": with_elements(
        "a palette",
        element(0x00280004, b"CS", b"PALETTE COLOR "),
        element(0x00281101, b"US", b"\0\0\0\0\xff\xff"),
        element(0x00281201, b"OW", b"\1"),
    ),
    "a long list": with_elements("a long list", element(0x00080008, b"CS", b"\\" * 60000)),
    "out of order": with_elements("out of order") + element(0x00100020, b"LO", b"ODD2"),
    "another encoding": with_elements("another encoding", element(0x7FE00010, b"OB", b"", UNDEFINED)),
}


def part10(name: str, syntax: bytes = b"1.2.840.10008.1.2.1\0") -> bytes:
    uid = derived_uid("odd", name).encode()
    meta = (
        element(0x00020002, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0")
        + element(0x00020003, b"UI", uid + b"\0" * (len(uid) % 2))
        + element(0x00020010, b"UI", syntax)
    )
    size = element(0x00020000, b"UL", struct.pack("<I", len(meta)))
    return bytes(128) + b"DICM" + size + meta + ODD[name]


@pytest.fixture(scope="module")
def stored(target: Target) -> Iterator[list[str]]:
    """Return the paths of those that were stored."""
    status, _, body = target.call("POST", "/studies", body_of(map(part10, ODD)), Content_Type=TYPE)
    assert status in {200, 202}, body
    taken = [item["00081155"]["Value"][0] for item in json.loads(body)["00081199"]["Value"]]
    assert len(taken) >= len(ODD) - 4
    return [f"/studies/{STUDY}/series/{SERIES}/instances/{uid}" for uid in taken]


def strictly(text: bytes) -> object:
    """Read JSON as RFC 8259 has it: no NaN, no Infinity."""

    def refuse(name: str) -> object:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text.decode("utf-8", "strict"), parse_constant=refuse)


def test_metadata_of_odd_objects_are_json(target: Target, stored: list[str]) -> None:
    for path in stored:
        status, _, body = answer = target.get(path + "/metadata", Accept="application/dicom+json")
        assert harmless(answer) == 200, (path, answer)
        [item] = strictly(body)
        assert item["00080018"]["Value"][0] in path
    status, _, body = target.get(f"/studies/{STUDY}/metadata", Accept="application/dicom+json")
    assert (status, len(strictly(body))) == (200, len(stored))


def test_searches_find_odd_objects(target: Target, stored: list[str]) -> None:
    for level in ("/studies", f"/studies/{STUDY}/series", f"/studies/{STUDY}/instances"):
        status, _, body = target.get(f"{level}?PatientID=ODD1&includefield=all")
        assert status == 200
        assert len(strictly(body)) == (len(stored) if level.endswith("instances") else 1)


def test_objects_frames_pictures_and_values_of_odd_objects(target: Target, stored: list[str]) -> None:
    for path in stored:
        assert target.get(path, Accept="*/*")[0] == 200
        for end in ("/rendered", "/thumbnail", "/frames/1", "/frames/2147483647", "/rendered?window=1,1"):
            for accept in ("*/*", "image/png", 'multipart/related; type="application/octet-stream"'):
                assert harmless(target.get(path + end, Accept=accept)) in {200, 400, 404, 406}, (path, end)
        for place in ("7FE00010", "00091001", "00281201", "00081140/1/00081140/1/00081150"):
            assert harmless(target.get(f"{path}/bulkdata/{place}", Accept="*/*")) in {200, 404, 406}
    assert harmless(target.get(f"/studies/{STUDY}/rendered", Accept="*/*")) in {200, 404, 406}
