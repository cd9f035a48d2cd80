"""Peers that lie, break off, creep or crowd: their own association ends, and nothing else is touched."""

from __future__ import annotations

import hashlib
import struct

import pytest

from tests.faults.pdus import (
    COMMITMENT_CONTEXT,
    ECHO_CONTEXT,
    STORE_CONTEXT,
    UID,
    abort,
    association_request,
    p_data,
    release_request,
    store_command,
    store_request,
)
from tests.faults.raw_peer import ABORTED, ACCEPTED, RELEASED, RawPeer
from tests.faults.seeds import data_set_of, file_bytes, small_ct
from tests.station.receiving_node import Receiving, wait_until

OTHER = UID + ".9"
COMMAND = p_data(STORE_CONTEXT, 3, store_command(UID))
DATA = data_set_of(file_bytes(small_ct(SOPInstanceUID=UID)))
FIELD = struct.pack("<HHIH", 0x0000, 0x0100, 2, 1)
FIELD_OF_ONE_BYTE = struct.pack("<HHIB", 0x0000, 0x0100, 1, 1)
HALF = len(DATA) // 2


def kept_whole(node: Receiving) -> None:
    """Check that index and files agree, and that nothing is left half received."""
    wait_until(lambda: node.spooled() == [], "nothing is left in the spool")
    for key, sha256, size in node.rows("SELECT object_key, sha256, size FROM instances"):
        content = node.files.path(key).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (sha256, size)


LIES = {
    "a second command set renames the object": (
        COMMAND,
        p_data(STORE_CONTEXT, 0, DATA[:HALF]),
        p_data(STORE_CONTEXT, 3, store_command(OTHER)),
        p_data(STORE_CONTEXT, 2, DATA[HALF:]),
    ),
    "command and data on two contexts": (COMMAND, p_data(ECHO_CONTEXT, 2, DATA)),
    "context that was never proposed": (p_data(99, 3, store_command(UID)), p_data(99, 2, DATA)),
    "object on the context of verification": (
        p_data(ECHO_CONTEXT, 3, store_command(UID)),
        p_data(ECHO_CONTEXT, 2, DATA),
    ),
    "object on the context of commitment": (
        p_data(COMMITMENT_CONTEXT, 3, store_command(UID)),
        p_data(COMMITMENT_CONTEXT, 2, DATA),
    ),
    "data before command": (p_data(STORE_CONTEXT, 2, DATA), COMMAND),
    "number of one byte": (
        p_data(
            STORE_CONTEXT, 3, store_command(UID).replace(b"\0\0\0\x01\2\0\0\0\1\0", b"\0\0\0\x01\1\0\0\0\1")
        ),
    ),
    "fragment without header": (struct.pack(">BBIIB", 0x04, 0, 5, 1, STORE_CONTEXT),),
    "fragment longer than its PDU": (struct.pack(">BBIIBB", 0x04, 0, 6, 1 << 20, STORE_CONTEXT, 3),),
    "PDU without fragments": (struct.pack(">BBI", 0x04, 0, 0), p_data(STORE_CONTEXT, 2, b"")),
    "PDU of a type that is none": (struct.pack(">BBI", 0x44, 0, 0),),
    "second association request": (association_request(),),
    "object cut by an abort": (COMMAND, p_data(STORE_CONTEXT, 0, DATA[:HALF]), abort()),
    "object cut by a release": (COMMAND, p_data(STORE_CONTEXT, 0, DATA[:HALF]), release_request()),
    "PDU of 4 GiB": (struct.pack(">BBI", 0x04, 0, 0xFFFFFFFF), DATA),
}


@pytest.mark.parametrize("parts", LIES.values(), ids=LIES)
def test_a_lying_peer_ends_its_own_association_alone(receiving: Receiving, parts: tuple[bytes, ...]) -> None:
    with RawPeer(receiving.port) as honest, RawPeer(receiving.port) as liar:
        assert honest.associate() == ACCEPTED
        assert liar.associate() == ACCEPTED
        liar.send(*parts)
        assert liar.end() in {0, ABORTED, RELEASED}
        honest.send(store_request(OTHER))
        answer = honest.answer()
        assert answer is not None
        assert answer.Status == 0x0000
        honest.send(release_request())
        assert honest.end() == RELEASED
    assert receiving.rows("SELECT sop_instance_uid FROM instances") == [(OTHER,)]
    wait_until(lambda: None not in receiving.ends(), "both ends are recorded")
    kept_whole(receiving)
