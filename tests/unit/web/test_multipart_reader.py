"""Multipart bodies as they arrive: whole, in pieces of any size, malformed, cut short, endless."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import GroundglassError
from node.web.errors import BadRequest, TooLarge
from node.web.multipart_reader import (
    MultipartLimits,
    MultipartReader,
    PartBegins,
    PartContent,
    PartEnds,
    header_fields,
)

LIMITS = MultipartLimits(parts=20, preamble_bytes=200, header_bytes=300)
DICOM = b"Content-Type: application/dicom"
BOUNDARY_CHARACTERS = "abcXYZ019'()+_,-./:=?"

boundaries = st.text(BOUNDARY_CHARACTERS, min_size=1, max_size=80)
sizes = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def pieces(body: bytes, steps: list[int]) -> list[bytes]:
    """Cut a body into pieces of these sizes, over and over."""
    cut, at, turn = [], 0, 0
    while at < len(body):
        cut.append(body[at : at + steps[turn % len(steps)]])
        at += len(cut[-1])
        turn += 1
    return cut


def read(boundary: str, chunks: list[bytes]) -> list[tuple[dict[str, str], bytes]]:
    """Return headers and content of every whole part; the order of events is checked on the way."""
    reader, parts, state = MultipartReader(boundary, LIMITS), [], None
    for chunk in chunks:
        for event in reader.feed(chunk):
            if isinstance(event, PartBegins):
                assert state is None
                state = (dict(event.headers), bytearray())
            elif isinstance(event, PartContent):
                assert state is not None
                assert event.data
                state[1].extend(event.data)
            else:
                assert isinstance(event, PartEnds)
                assert state is not None
                parts.append((state[0], bytes(state[1])))
                state = None
    reader.close()
    assert state is None
    return parts


def body_of(boundary: str, contents: list[bytes], *, preamble: bytes = b"", epilogue: bytes = b"") -> bytes:
    head = f"--{boundary}\r\n".encode() + DICOM + b"\r\n\r\n"
    lead = preamble + b"\r\n" if preamble else b""
    return lead + b"".join(head + item + b"\r\n" for item in contents) + f"--{boundary}--".encode() + epilogue


def outcome(boundary: str, chunks: list[bytes]) -> object:
    try:
        return read(boundary, chunks)
    except GroundglassError as error:
        return type(error)


@st.composite
def near_misses(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A boundary, and contents full of what is almost its delimiter, but never is."""
    boundary = draw(boundaries)
    delimiter = f"\r\n--{boundary}"
    almost = st.integers(0, len(delimiter) - 1).map(lambda length: delimiter[:length].encode())
    part = st.lists(st.one_of(almost, st.binary(max_size=5), st.just(b"\r"), st.just(b"\r\n")), max_size=12)
    contents = draw(st.lists(part.map(b"".join), max_size=5))
    mark = delimiter.encode()
    return boundary, [item for item in contents if mark not in b"\r\n" + item + b"\r\n"]


@given(near_misses(), sizes, st.booleans())
def test_every_part_comes_out_as_it_went_in_however_it_is_cut(
    drawn: tuple[str, list[bytes]], steps: list[int], framed: bool
) -> None:
    boundary, contents = drawn
    frame = {"preamble": b"This is DICOM", "epilogue": b"\r\n--more"} if framed else {}
    body = body_of(boundary, contents, **frame)
    assert read(boundary, pieces(body, steps)) == [
        ({"content-type": "application/dicom"}, item) for item in contents
    ]


@given(near_misses(), sizes, st.data())
def test_a_body_that_is_damaged_reads_the_same_in_one_piece_and_in_many(
    drawn: tuple[str, list[bytes]], steps: list[int], data: st.DataObject
) -> None:
    boundary, contents = drawn
    body = bytearray(body_of(boundary, contents))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    assert outcome(boundary, [bytes(body)]) == outcome(boundary, pieces(bytes(body), steps))


@given(near_misses(), st.data())
def test_no_body_that_was_cut_short_counts_as_whole(
    drawn: tuple[str, list[bytes]], data: st.DataObject
) -> None:
    boundary, contents = drawn
    body = body_of(boundary, contents)
    with pytest.raises(BadRequest):
        read(boundary, [body[: data.draw(st.integers(0, len(body) - 1))]])


@given(st.binary(max_size=200), st.lists(st.binary(max_size=30)))
def test_no_bytes_at_all_bring_another_error(noise: bytes, chunks: list[bytes]) -> None:
    for body in ([noise], [b"--b\r\n", *chunks, noise], [b"--b\r\n\r\n", *chunks]):
        assert isinstance(outcome("b", body), list) or outcome("b", body) in (BadRequest, TooLarge)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", BadRequest),
        (b"no delimiter at all", BadRequest),
        (b"--other\r\n\r\nx\r\n--other--", BadRequest),
        (b"x" * 500 + b"\r\n--b\r\n\r\nx\r\n--b--", BadRequest),
        (b"--bb\r\n\r\nx\r\n--b--", BadRequest),
        (b"--b \t \r\n\r\nx\r\n--b ", BadRequest),
        (b"--b\r\nno field\r\n\r\nx\r\n--b--", BadRequest),
        (b"--b\r\nna me: x\r\n\r\nx\r\n--b--", BadRequest),
        (b"--b\r\nname: \x00\r\n\r\nx\r\n--b--", BadRequest),
        (b"--b\n\nx\n--b--", BadRequest),
        (b"--b" + b" " * 400 + b"\r\n\r\nx\r\n--b--", BadRequest),
        (b"--b\r\nname: " + b"x" * 400 + b"\r\n\r\nx\r\n--b--", TooLarge),
        (b"--b\r\nname: " + b"x" * 400, TooLarge),
        (b"--b\r\n\r\n\r\n" * 21 + b"--b--", TooLarge),
    ],
)
def test_what_is_no_multipart_body_is_refused(body: bytes, error: type[GroundglassError]) -> None:
    assert outcome("b", [body]) is error
    assert outcome("b", pieces(body, [1])) is error


@pytest.mark.parametrize("boundary", ["", "a" * 129, "ends with space ", "ü", "a\r\nb", 'a"b', "a;b"])
def test_a_boundary_that_is_none_is_refused(boundary: str) -> None:
    with pytest.raises(BadRequest):
        MultipartReader(boundary, LIMITS)


def test_a_million_parts_are_given_up_at_the_limit() -> None:
    reader = MultipartReader("b", LIMITS)
    events = (event for _ in range(1_000_000) for event in reader.feed(b"--b\r\n\r\n\r\n"))
    assert sum(isinstance(event, PartEnds) for event in itertools.islice(events, 2 * LIMITS.parts)) == 20
    with pytest.raises(TooLarge, match="20 parts"):
        next(events)


def test_an_endless_part_is_passed_on_and_not_kept() -> None:
    reader = MultipartReader("b", LIMITS)
    assert [type(event) for event in reader.feed(b"--b\r\n\r\n")] == [PartBegins]
    for _ in range(100):
        passed = sum(
            len(event.data) for event in reader.feed(b"\r\n-" * 1000) if isinstance(event, PartContent)
        )
        assert abs(passed - 3000) < len(b"\r\n--b")


def test_folded_fields_and_fields_that_stand_twice() -> None:
    section = b"\r\nContent-Type: application/dicom;\r\n\ttransfer-syntax=*\r\ncontent-type: text/plain\r\nX:"
    assert header_fields(section) == {"content-type": "application/dicom; transfer-syntax=*", "x": ""}
    assert header_fields(b"") == {}


@pytest.mark.parametrize("cut", range(60))
def test_a_preamble_up_to_its_limit_is_read_however_it_is_cut(cut):
    boundary, preamble = "b" * 60, b"p" * (LIMITS.preamble_bytes - 2)
    body = body_of(boundary, [b"content"], preamble=preamble)
    at = len(preamble) + cut
    assert read(boundary, [body[:at], body[at:]]) == read(boundary, [body])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_a_part_without_content_ends_where_the_next_one_begins(size):
    body = b"--b\r\n" + DICOM + b"\r\n\r\n--b\r\n" + DICOM + b"\r\n\r\n\r\ncontent\r\n--b--"
    headers = {"content-type": "application/dicom"}
    assert read("b", pieces(body, [size])) == [(headers, b""), (headers, b"\r\ncontent")]
