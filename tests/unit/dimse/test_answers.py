"""Answers read by the thread that waits for them; real associations on the loopback."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pynetdicom import AE, evt

from node.app import SystemClock
from node.dimse.answers import answered_promptly, unread
from node.dimse.entity import Timeouts, application_entity
from node.dimse.framing import NO_DATA_SET, command_set, even, message
from node.dimse.messages import BoundedMessages

VERIFICATION = "1.2.840.10008.1.1"
DEADLINE = 10.0


class Peer:
    """Answers verifications as it is told to."""

    def __init__(self) -> None:
        self.port = 0
        self.answer: Callable[[evt.Event], int] = lambda _: 0x0000

    def take(self, event: evt.Event) -> int:
        return self.answer(event)


@pytest.fixture(scope="module")
def listening() -> Iterator[Peer]:
    peer = Peer()
    entity = AE(ae_title="PEER")
    entity.add_supported_context(VERIFICATION)
    handlers = [(evt.EVT_C_ECHO, peer.take)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    peer.port = server.server_address[1]
    yield peer
    server.shutdown()


@pytest.fixture
def peer(listening: Peer) -> Peer:
    listening.answer = lambda _: 0x0000
    return listening


def opened(port: int, **limits: float) -> Any:
    entity = application_entity("NODE", timeouts=Timeouts(**limits))
    entity.add_requested_context(VERIFICATION)
    association = entity.associate("127.0.0.1", port, ae_title="PEER")
    assert association.is_established
    return association


def ask(association: Any, message_id: int) -> None:
    """Send a C-ECHO-RQ (PS3.7 table 9.3-12) past the state machine, as sub-operations are sent."""
    elements = {
        0x0002: even(VERIFICATION.encode(), b"\0"),
        0x0100: struct.pack("<H", 0x0030),
        0x0110: struct.pack("<H", message_id),
        0x0800: struct.pack("<H", NO_DATA_SET),
    }
    (context,) = association.accepted_contexts
    association.dul.socket.send(message(context.context_id, command_set(elements), b"", max_pdu=0))


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> set[threading.Thread]:
    """Return the threads that read messages."""
    threads: set[threading.Thread] = set()
    whole = BoundedMessages.receive_values

    def receive_values(self: BoundedMessages, values: memoryview) -> None:
        threads.add(threading.current_thread())
        whole(self, values)

    monkeypatch.setattr(BoundedMessages, "receive_values", receive_values)
    return threads


def test_who_waits_reads_and_gives_the_connection_back(peer, readers):
    association = opened(peer.port)
    with unread(association), answered_promptly(association, SystemClock()):
        for number in (1, 2, 3):
            ask(association, number)
            _, answer = association.dimse.get_msg(block=True)
            assert answer.MessageIDBeingRespondedTo == number
    assert readers == {threading.current_thread()}
    assert association.send_c_echo().Status == 0x0000
    assert readers == {threading.current_thread(), association.dul}
    association.release()
    assert association.is_released


def test_what_has_come_is_taken_without_waiting(peer, readers):
    association = opened(peer.port)
    with unread(association), answered_promptly(association, SystemClock()) as look:
        look()
        assert readers == set()
        ask(association, 1)
        end = time.monotonic() + DEADLINE
        while association.dimse.msg_queue.empty() and time.monotonic() < end:
            look()
        assert readers == {threading.current_thread()}
    association.release()


def test_an_abort_ends_the_wait(peer):
    def leave(event: evt.Event) -> int:
        event.assoc.abort(block=False)
        return 0x0000

    peer.answer = leave
    association = opened(peer.port)
    with unread(association), answered_promptly(association, SystemClock()):
        ask(association, 1)
        begun = time.monotonic()
        assert association.dimse.get_msg(block=True) == (None, None)
        assert time.monotonic() - begun < DEADLINE
    association.join(DEADLINE)
    assert association.is_aborted
    association.dul.join(DEADLINE)
    assert not association.dul.is_alive()


def test_the_wait_is_no_longer_than_allowed(peer):
    done = threading.Event()

    def wait(_: evt.Event) -> int:
        done.wait(DEADLINE)
        return 0x0000

    peer.answer = wait
    association = opened(peer.port, dimse=0.1)
    with unread(association), answered_promptly(association, SystemClock()):
        ask(association, 1)
        begun = time.monotonic()
        assert association.dimse.get_msg(block=True) == (None, None)
        assert time.monotonic() - begun < DEADLINE / 2
    done.set()
    association.release()
    assert association.is_released
