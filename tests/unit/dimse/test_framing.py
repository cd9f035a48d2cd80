"""PDUs of whole messages: the library reads them as it reads its own."""

from __future__ import annotations

import struct
from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import read_dataset
from pynetdicom.pdu import P_DATA_TF

from node.dimse.framing import LARGEST_UNLIMITED, command_set, fragment_size, message


def read(pdus: bytes, max_pdu: int) -> tuple[bytes, bytes, int]:
    """Return command set and data set of one message, and the number of PDUs, by the library's own reader."""
    parts = {True: b"", False: b""}
    ended = {True: False, False: False}
    count = at = 0
    while at < len(pdus):
        length = struct.unpack_from(">I", pdus, at + 2)[0]
        assert max_pdu == 0 or length <= max_pdu
        pdu = P_DATA_TF()
        pdu.decode(pdus[at : at + 6 + length])
        for item in pdu.presentation_data_value_items:
            assert item.presentation_context_id == 5
            control, value = item.presentation_data_value[0], item.presentation_data_value[1:]
            is_command = bool(control & 1)
            assert not ended[is_command]
            assert is_command or ended[True]
            parts[is_command] += value
            ended[is_command] = bool(control & 2)
        at, count = at + 6 + length, count + 1
    assert ended[True]
    assert ended[False] == bool(parts[False])
    return parts[True], parts[False], count


@given(
    command=st.binary(min_size=2, max_size=300),
    data_set=st.binary(max_size=3000),
    max_pdu=st.sampled_from([0, 64, 128, 1000, 16384]),
)
def test_a_message_is_read_as_it_was_written(command, data_set, max_pdu):
    found = read(message(5, command, data_set, max_pdu=max_pdu), max_pdu)
    assert found[:2] == (command, data_set)


def test_a_small_message_is_one_pdu():
    assert read(message(5, b"cc", b"dd", max_pdu=16384), 16384)[2] == 1


def test_a_command_set_is_that_of_the_standard():
    encoded = command_set({0x0900: struct.pack("<H", 0xFF00), 0x0002: b"1.2\0"})
    command = read_dataset(BytesIO(encoded), True, True)
    assert command.CommandGroupLength == len(encoded) - 12
    assert command.AffectedSOPClassUID == "1.2"
    assert command.Status == 0xFF00


@given(st.integers(0, 0xFFFFFFFF))
def test_no_length_of_a_peer_makes_fragments_none_or_huge(max_pdu):
    size = fragment_size(max_pdu)
    assert 2 <= size < LARGEST_UNLIMITED
    assert size % 2 == 0
    assert len(message(5, b"12", bytes(64), max_pdu=max_pdu)) >= 66
