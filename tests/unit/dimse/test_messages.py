"""Presentation data values of P-DATA-TF PDUs (PS3.8 section 9.3.5, annex E.2)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA

from node.dimse.messages import MessageUnacceptable, presentation_data_values

ODD = st.integers(0, 127).map(lambda half: 2 * half + 1)
VALUES = st.lists(st.tuples(ODD, st.integers(0, 255), st.binary(max_size=60)), min_size=1, max_size=6)


def encoded(values: list[tuple[int, int, bytes]]) -> bytes:
    """Return the content of the PDU, as the library encodes it."""
    primitive = P_DATA()
    for context_id, control, fragment in values:
        primitive.presentation_data_value_list.append((context_id, bytes([control]) + fragment))
    pdu = P_DATA_TF()
    pdu.from_primitive(primitive)
    return pdu.encode()[6:]


@given(VALUES)
def test_values_are_those_that_the_library_encodes(values):
    found = presentation_data_values(memoryview(encoded(values)))
    assert [(context, control, bytes(fragment)) for context, control, fragment in found] == values


@given(VALUES, st.data())
def test_a_pdu_that_is_cut_or_longer_is_no_message(values, data):
    content = encoded(values)
    whole = {0}
    for _context, _control, fragment in values:
        whole.add(max(whole) + 6 + len(fragment))
    cut = data.draw(st.integers(0, len(content) - 1))
    parts = presentation_data_values(memoryview(content[:cut]))
    if cut in whole and cut:
        assert len(list(parts)) < len(values)
    else:
        with pytest.raises(MessageUnacceptable):
            list(parts)
    with pytest.raises(MessageUnacceptable):
        list(presentation_data_values(memoryview(content + b"\0" * data.draw(st.integers(1, 5)))))


@given(st.binary(max_size=80))
def test_any_bytes_are_values_or_refused(content):
    try:
        found = list(presentation_data_values(memoryview(content)))
    except MessageUnacceptable:
        return
    assert sum(6 + len(fragment) for _context, _control, fragment in found) == len(content)


@pytest.mark.parametrize("length", [0, 1, 3, 0xFFFFFFFF])
def test_a_length_that_is_not_that_of_the_value_is_refused(length):
    with pytest.raises(MessageUnacceptable):
        list(presentation_data_values(memoryview(struct.pack(">IBB", length, 1, 2))))
