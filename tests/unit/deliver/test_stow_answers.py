from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.deliver.stow_answers import is_list, names, stored
from node.http.session import Answer

TAGS = st.sampled_from(["00081198", "00081199", "00081155", "00081197", "00081196", "00080018", "Value", "x"])
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("2.25.1")
DOCUMENTS = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TAGS, inner, max_size=4),
    max_leaves=20,
)


def answer(status: int, document: Any) -> Answer:
    return Answer(status=status, content_type="application/dicom+json", body=json.dumps(document).encode())


@given(status=st.sampled_from([200, 202, 409]), document=DOCUMENTS)
def test_whatever_is_answered_is_judged(status: int, document: Any) -> None:
    reply = stored(answer(status, document), 7, "2.25.1")
    assert reply.delivery_id == 7
    assert not (reply.delivered and reply.retryable)
    assert len(reply.detail) < 200
    assert isinstance(names(answer(status, document), "2.25.1"), bool)


@given(body=st.binary(max_size=50))
def test_what_is_no_json_names_nothing(body: bytes) -> None:
    told = Answer(status=200, content_type="application/dicom+json", body=body)
    assert not names(told, "2.25.1")


@given(uids=st.lists(st.sampled_from(["2.25.1", "2.25.2", "2.25.3"])))
def test_an_instance_is_found_where_it_is_named(uids: list[str]) -> None:
    told = answer(200, [{"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids])
    assert names(told, "2.25.1") == ("2.25.1" in uids)
    assert is_list(told)


@given(failed=st.booleans(), status=st.sampled_from([200, 202, 409]), reason=st.integers(0, 0xFFFF))
def test_what_is_named_as_failed_has_not_arrived(failed: bool, status: int, reason: int) -> None:
    item = {
        "00081155": {"vr": "UI", "Value": ["2.25.1"]},
        "00081197": {"vr": "US", "Value": [reason]},
    }
    document = {"00081198" if failed else "00081199": {"vr": "SQ", "Value": [item]}}
    reply = stored(answer(status, document), 7, "2.25.1")
    there = (reason == 0x0111) if failed else status != 409
    assert reply.delivered is there
