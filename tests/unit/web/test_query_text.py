"""A search by URL asks for what the same C-FIND asks for."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom.dsutils import encode
from starlette.requests import Request

from node.domain.errors import QueryMalformed
from node.domain.query import Level
from node.query.identifier import Negotiated, read_query
from node.web.errors import BadRequest
from node.web.query_text import RETURNED, WebQuery, read_search
from tests.station.finding_ground import identifier_of

KEYS = {
    "PatientID": ["P1", "P*", "", "*", "'; --"],
    "PatientName": ["doe^jane", "Müller*", "=山田*", "?"],
    "StudyDate": ["20240101", "20240101-20240131", "-2024", "yesterday", "-", "20240101-"],
    "StudyTime": ["07", "0730-", "25"],
    "ModalitiesInStudy": ["CT", "C?"],
    "StudyInstanceUID": ["1.2.3", "1.2.3\\1.2.4", ""],
    "SeriesNumber": ["1", "+2"],
    "NumberOfStudyRelatedInstances": ["", "3"],
    "Rows": ["", "512"],
    "PixelSpacing": [""],
}
EVERY = Negotiated(relational=True)


def search(query: str, level: Level = Level.IMAGE, **path: str) -> WebQuery:
    scope = {
        "type": "http",
        "method": "GET",
        "query_string": query.encode(),
        "headers": [],
        "path_params": path,
    }
    return read_search(Request(scope), level)


@settings(max_examples=50)
@given(st.data())
def test_a_url_says_what_an_identifier_says(data: st.DataObject) -> None:
    level = data.draw(st.sampled_from([Level.STUDY, Level.SERIES, Level.IMAGE]))
    chosen = data.draw(st.sets(st.sampled_from(sorted(KEYS))))
    keys = {keyword: data.draw(st.sampled_from(KEYS[keyword])) for keyword in sorted(chosen)}
    identifier = identifier_of(level, {"SpecificCharacterSet": "ISO_IR 192", **keys})
    written = encode(identifier, is_implicit_vr=True, is_little_endian=True)
    assert written is not None
    url = urlencode({keyword: text.replace("\\", ",") for keyword, text in keys.items()})
    levels = (Level.STUDY, Level.SERIES, Level.IMAGE)
    try:
        theirs = read_query(written, implicit=True, levels=levels, negotiated=EVERY)
    except QueryMalformed:
        with pytest.raises(QueryMalformed):
            search(url, level)
        return
    ours = search(url, level)
    assert ours.narrowing == theirs.narrowing
    asked = {key.attribute.keyword for key in theirs.keys}
    assert asked <= {key.attribute.keyword for key in ours.keys} | {"NumberOfStudyRelatedInstances"}
    assert list(ours.keys) == sorted(ours.keys, key=lambda key: key.attribute.tag)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_parameter_does_more_than_be_refused(name: str, value: str) -> None:
    refusal = ""
    try:
        search(urlencode({name: value}))
    except (BadRequest, QueryMalformed) as error:
        refusal = str(error)
    assert value not in refusal or len(value) < 4


def test_the_path_says_what_is_asked_and_what_need_not_be_answered() -> None:
    within = search("", Level.IMAGE, study="1.2", series="1.2.3")
    assert {keyword: next(iter(key.values)) for keyword, key in within.narrowing.items()} == {
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": "1.2.3",
    }
    assert {key.attribute.keyword for key in within.keys} == RETURNED[Level.IMAGE]
    anywhere = {key.attribute.keyword for key in search("", Level.IMAGE).keys}
    gathered = {"ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"}
    assert RETURNED[Level.STUDY] - anywhere == gathered
    with pytest.raises(BadRequest):
        search("StudyInstanceUID=1.3", Level.IMAGE, study="1.2")


def test_keys_within_sequences_are_asked_for_by_their_path() -> None:
    query = search("RequestAttributesSequence.RequestedProcedureID=7&00400275.00400009=8", Level.SERIES)
    [key] = [item for item in query.keys if item.attribute.keyword == "RequestAttributesSequence"]
    asked = {item.attribute.keyword: item.criterion for item in key.items if item.criterion is not None}
    assert asked.keys() == {"RequestedProcedureID", "ScheduledProcedureStepID"}
    assert query.warnings == ()
    assert search("00400275.00280010=1", Level.SERIES).warnings != ()


def test_what_is_included_may_be_within_a_sequence_or_answered_anyway() -> None:
    path = "RequestAttributesSequence.ScheduledProcedureStepID"
    for text in (path, "00400275.00400009", f"RetrieveURL,{path},00080056"):
        query = search(f"includefield={text}", Level.IMAGE)
        assert query.warnings == (), text
        assert "RequestAttributesSequence" in {item.attribute.keyword for item in query.keys}
    assert search("includefield=PixelSpacing.ScheduledProcedureStepID").warnings != ()
    for text in ("00400275.", ".00400275", "00400275.1", "00400275.Nothing"):
        with pytest.raises(BadRequest):
            search(f"includefield={text}")


def test_limits_are_numbers_and_stand_once() -> None:
    query = search("limit=5&offset=10")
    assert (query.limit, query.offset) == (5, 10)
    assert search("").limit is None
    for text in ("limit=", "limit=1e3", "offset=-1", f"limit={2**31}", "offset=1&offset=1", "limit=٣"):
        with pytest.raises(BadRequest):
            search(text)
