"""What clients accept, as they write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from node.web.errors import BadRequest
from node.web.json_answers import json_type
from node.web.negotiation import accepted, content_type, fresh, media_ranges, quality_of


def request(query: str = "", **headers: str) -> Request:
    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "query_string": query.encode(), "headers": named})


def test_media_types_come_best_first_with_their_parameters() -> None:
    found = accepted(
        request(
            accept='image/jpeg;q=0.5, multipart/related; type="application/dicom"; transfer-syntax=*, '
            'Multipart/Related;type=image/jls;Transfer-Syntax="1.2.840.10008.1.2.4.80";q=0.7 ,,text/*;q=0'
        )
    )
    assert [item.type for item in found] == ["multipart/related", "multipart/related", "image/jpeg", "text/*"]
    assert (found[0].root, found[0].transfer_syntax) == ("application/dicom", "*")
    assert (found[1].root, found[1].transfer_syntax) == ("image/jls", "1.2.840.10008.1.2.4.80")
    assert found[3].covers("text/html")
    assert quality_of(found, "text/html") == 0


def test_the_parameter_of_the_url_stands_before_the_header() -> None:
    assert accepted(request("accept=image/png", accept="image/jpeg"))[0].type == "image/png"
    assert accepted(request())[0].type == "*/*"
    for plus in ("+", "%2B"):
        [found] = accepted(request(f"accept=application/dicom{plus}json; q=0.5"))
        assert (found.type, found.quality) == ("application/dicom+json", 0.5)


def test_the_most_exact_range_decides() -> None:
    ranges = media_ranges("application/*;q=0.2, application/json;q=0, */*;q=0.9")
    assert quality_of(ranges, "application/json") == 0
    assert quality_of(ranges, "application/dicom+json") == 0.2
    assert quality_of(ranges, "image/png") == 0.9
    assert json_type(request(accept="application/json")) == "application/json"
    assert json_type(request(accept="*/*")) == "application/dicom+json"


@pytest.mark.parametrize(
    "text",
    ["a", "a/b;q=2", "a/b;q=0.1234", 'a/b;c="', "a/b c/d", "a/b;=d", "a/b," * 65, " " * 9000, "a/b;c=\x01"],
)
def test_what_is_malformed_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        media_ranges(text)


@given(st.text(alphabet='ab/*;,="\\ q=0.1\x00é', max_size=60))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        found = media_ranges(text)
    except BadRequest:
        return
    assert all(0 <= item.quality <= 1 and "/" in item.type for item in found)


def test_a_body_has_one_type() -> None:
    found = content_type('multipart/related; boundary="a \\"b"; type=application/dicom')
    assert found.parameters == {"boundary": 'a "b', "type": "application/dicom"}
    for text in ("", "a/b, c/d"):
        with pytest.raises(BadRequest):
            content_type(text)


def test_what_a_client_has_is_known_by_its_tag() -> None:
    assert fresh(request(if_none_match='W/"a", "b"'), '"a"')
    assert fresh(request(if_none_match="*"), '"a"')
    assert not fresh(request(if_none_match='"c"'), '"a"')
    assert not fresh(request(), '"a"')
