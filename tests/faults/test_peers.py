"""Peers that lie, break off, creep or crowd: their own association ends, and nothing else is touched."""

from __future__ import annotations

import contextlib
import hashlib
import random
import resource
import struct
import threading
from collections.abc import Callable

import pytest

from node.dimse.scu import echo
from tests.faults.pdus import (
    COMMITMENT_CONTEXT,
    ECHO_CONTEXT,
    STORE_CONTEXT,
    UID,
    abort,
    association_request,
    echo_command,
    messages,
    p_data,
    p_data_of,
    release_request,
    store_command,
    store_request,
)
from tests.faults.raw_peer import ABORTED, ACCEPTED, RELEASED, SECONDS, RawPeer
from tests.faults.seeds import data_set_of, file_bytes, small_ct
from tests.station.receiving_node import SCANNER, TIMEOUTS, Receiving, wait_until

OTHER = UID + ".9"
COMMAND = p_data(STORE_CONTEXT, 3, store_command(UID))
DATA = data_set_of(file_bytes(small_ct(SOPInstanceUID=UID)))
MESSAGE_ID = struct.pack("<HHIH", 0x0000, 0x0110, 2, 7)
FIELD = struct.pack("<HHIH", 0x0000, 0x0100, 2, 1)
FIELD_OF_ONE_BYTE = struct.pack("<HHIB", 0x0000, 0x0100, 1, 1)
PADDING = struct.pack("<HH2s2xI", 0xFFFC, 0xFFFC, b"OB", 64) + b"\0" * 64
"""Data Set Trailing Padding (PS3.10 7.2)."""
HALF = len(DATA) // 2


def status(peer: RawPeer) -> int | None:
    """Return the status of the next response, None when the association ends instead."""
    answer = peer.answer()
    return int(answer.Status) if answer is not None else None


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
    "object without message id": (
        p_data(STORE_CONTEXT, 3, store_command(UID).replace(MESSAGE_ID, b"")),
        p_data(STORE_CONTEXT, 2, DATA),
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
        assert status(honest) == 0x0000
        honest.send(release_request())
        assert honest.end() == RELEASED
    assert receiving.rows("SELECT sop_instance_uid FROM instances") == [(OTHER,)]
    wait_until(lambda: None not in receiving.ends(), "both ends are recorded")
    kept_whole(receiving)


def test_a_response_that_nobody_waits_for_is_ignored(receiving: Receiving) -> None:
    with RawPeer(receiving.port) as peer:
        peer.associate()
        peer.send(messages()["response"], store_request())
        assert status(peer) == 0x0000
    kept_whole(receiving)


def test_messages_may_share_a_pdu(receiving: Receiving) -> None:
    values = [
        (ECHO_CONTEXT, 3, echo_command(1)),
        (STORE_CONTEXT, 3, store_command(UID)),
        (STORE_CONTEXT, 2, DATA),
    ]
    with RawPeer(receiving.port) as peer:
        peer.associate()
        peer.send(p_data_of(*values))
        assert [status(peer), status(peer)] == [0x0000, 0x0000]
    assert receiving.instance_count() == 1
    kept_whole(receiving)


def test_a_pdu_larger_than_negotiated_arrives_whole(receiving: Receiving) -> None:
    large = data_set_of(file_bytes(small_ct(SOPInstanceUID=UID, PixelData=b"\0" * 200_000)))
    with RawPeer(receiving.port) as peer:
        peer.associate()
        peer.send(COMMAND, p_data(STORE_CONTEXT, 2, large))
        assert status(peer) == 0x0000
    assert receiving.stored(UID)[0].endswith(large)


@pytest.mark.parametrize("cut", [1, 60, 127])
def test_an_object_shorter_than_its_pixel_data_say_is_refused(receiving: Receiving, cut: int) -> None:
    with RawPeer(receiving.port) as peer:
        peer.associate()
        peer.send(COMMAND, p_data(STORE_CONTEXT, 2, DATA[:-cut]))
        assert status(peer) == 0xC000
        peer.send(store_request(OTHER))
        assert status(peer) == 0x0000
    assert receiving.instance_count() == 1
    kept_whole(receiving)


def test_an_object_longer_than_its_pixel_data_say_is_kept_as_it_came(receiving: Receiving) -> None:
    with RawPeer(receiving.port) as peer:
        peer.associate()
        peer.send(COMMAND, p_data(STORE_CONTEXT, 2, DATA + PADDING))
        assert status(peer) == 0x0000
    assert receiving.stored(UID)[0].endswith(DATA + PADDING)


def test_a_slow_sender_is_served_and_a_stuck_one_is_not(receiving_node: Callable[..., Receiving]) -> None:
    node = receiving_node(idle_seconds=0.6)
    with RawPeer(node.port) as slow, RawPeer(node.port) as stuck:
        slow.associate()
        stuck.associate()
        slow.send(COMMAND)
        stuck.send(COMMAND, p_data(STORE_CONTEXT, 2, DATA)[:100])
        pause = threading.Event()
        for at in range(0, len(DATA), 256):
            pause.wait(0.2)
            last = 2 if at + 256 >= len(DATA) else 0
            slow.send(p_data(STORE_CONTEXT, last, DATA[at : at + 256]))
        assert status(slow) == 0x0000
        assert stuck.end() in {0, ABORTED}
    wait_until(lambda: "timeout" in node.ends(), "the stuck one is recorded as timed out")
    kept_whole(node)


UNASKED = {"nothing": b"", "half an association request": association_request()[:100]}
LAST_WORDS = {
    "an association request": b"",
    "half a command set": COMMAND[:30],
    "a command set": COMMAND,
    "half an object": COMMAND + p_data(STORE_CONTEXT, 0, DATA[:HALF]),
    "an object": store_request(),
    "half a release": release_request()[:5],
}


def test_a_peer_that_is_gone_without_a_word_costs_its_own_time_alone(
    receiving_node: Callable[..., Receiving],
) -> None:
    """Half-open: no FIN and no RST ever comes, and nothing else."""
    node = receiving_node(idle_seconds=0.6, acse_seconds=0.6)
    with contextlib.ExitStack() as gone:
        for words in UNASKED.values():
            gone.enter_context(RawPeer(node.port)).send(words)
        for words in LAST_WORDS.values():
            peer = gone.enter_context(RawPeer(node.port))
            assert peer.associate() == ACCEPTED
            peer.send(words)
        with RawPeer(node.port) as other:
            assert other.associate() == ACCEPTED
            other.send(store_request(OTHER))
            assert status(other) == 0x0000
            other.send(release_request())
            assert other.end() == RELEASED
        wait_until(lambda: node.listener.connections == 0, "nothing is left of them")
        wait_until(lambda: None not in node.ends(), "every end is recorded")
    assert sorted(str(end) for end in node.ends()) == ["released"] + ["timeout"] * len(LAST_WORDS)
    assert {uid for (uid,) in node.rows("SELECT sop_instance_uid FROM instances")} == {UID, OTHER}
    kept_whole(node)


ROUNDS = [6, pytest.param(200, marks=pytest.mark.faults)]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_an_association_may_break_at_any_byte(receiving: Receiving, rounds: int) -> None:
    chance = random.Random(rounds)
    broken: list[str] = []
    for number in range(rounds):
        uid = f"{UID}.{number}"
        talk = association_request() + store_request(uid) + store_request(uid + ".1") + release_request()
        with RawPeer(receiving.port) as peer:
            peer.send(talk[: chance.randrange(len(talk))])
            if chance.random() < 0.5:
                peer.reset()
        broken += [uid, uid + ".1"]
    wait_until(lambda: receiving.listener.connections == 0, "every connection is gone")
    assert None not in receiving.ends()
    kept_whole(receiving)
    kept = {uid for (uid,) in receiving.rows("SELECT sop_instance_uid FROM instances")}
    assert kept <= set(broken)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_one_instance_on_two_associations_at_once_is_one(receiving: Receiving, rounds: int) -> None:
    answers: list[object] = []
    ready = threading.Barrier(2)

    def send(comment: str) -> None:
        with RawPeer(receiving.port) as peer:
            peer.associate()
            for number in range(rounds):
                request = store_request(f"{UID}.{number}", ImageComments=comment * (number % 2))
                ready.wait(timeout=SECONDS)
                peer.send(request)
                answers.append(status(peer))
            peer.send(release_request())
            peer.end()

    senders = [threading.Thread(target=send, args=(name,)) for name in ("a", "b")]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert answers == [0x0000] * 2 * rounds
    assert receiving.instance_count() == rounds, "the same object twice is one"
    [(asides,)] = receiving.rows("SELECT count(*) FROM asides WHERE reason = 'to-compare'")
    assert asides == rounds // 2, "another object under the same UID is kept aside"
    kept_whole(receiving)


@pytest.mark.parametrize("count", [60, pytest.param(10_000, marks=pytest.mark.faults)])
def test_connections_that_say_nothing_leave_room_for_others(
    receiving_node: Callable[..., Receiving], count: int
) -> None:
    allow_open_files(count + 1000)
    node = receiving_node(max_associations=10, acse_seconds=60.0)
    before = threading.active_count()
    with contextlib.ExitStack() as crowd:
        for _ in range(count):
            crowd.enter_context(RawPeer(node.port, source="127.0.0.2"))
        for _ in range(5):
            echo(node.remote, calling_ae_title=SCANNER, timeouts=TIMEOUTS)
        with RawPeer(node.port) as scanner:
            assert scanner.associate() == ACCEPTED
            scanner.send(store_request())
            assert status(scanner) == 0x0000
        assert threading.active_count() - before < 200
    wait_until(lambda: node.listener.connections == 0, "their places are free again")


def allow_open_files(count: int) -> None:
    """Let this process have so many files open; the system allows root as many as it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard)))
