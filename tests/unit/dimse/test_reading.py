"""PDUs out of a connection, however its bytes come."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dimse.reading import LARGE_BUFFER, PDU_HEAD, SMALL_BUFFER, PduReader, ReadingLimits, UnknownPdu

SECONDS = 5.0


class HeldClock:
    """Monotonic seconds that pass when told."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


def reader_of(clock: HeldClock | None = None, max_bytes: int = 1 << 20) -> PduReader:
    limits = ReadingLimits(max_bytes=max_bytes, seconds=SECONDS)
    return PduReader(lambda: limits, clock)


def pdu(kind: int, length: int) -> bytes:
    return PDU_HEAD.pack(kind, length) + bytes((kind * 31 + number) % 251 for number in range(length))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


LENGTHS = st.one_of(
    st.integers(0, 40),
    st.sampled_from([SMALL_BUFFER - 7, SMALL_BUFFER - 6, SMALL_BUFFER, SMALL_BUFFER + 1, 40_000]),
)


@given(st.lists(st.tuples(st.integers(1, 7), LENGTHS), max_size=8), st.data())
def test_however_bytes_come_the_pdus_are_the_same(kinds_and_lengths, data):
    sent = [pdu(kind, length) for kind, length in kinds_and_lengths]
    stream = b"".join(sent)
    places = st.integers(0, len(stream))
    cuts = sorted(data.draw(st.lists(places, max_size=12)))
    reader, found = reader_of(), []
    here, there = socket.socketpair()
    with here, there:
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            for part in range(begin, end, 1 << 15):  # less than a socket pair holds
                there.sendall(stream[part : min(part + (1 << 15), end)])
                while (read := reader.next(here)) is not None:
                    found.append(bytes(read))
        there.close()
        with pytest.raises(ConnectionResetError):
            reader.next(here)
    assert found == sent


def test_a_pdu_before_the_end_of_the_connection_is_read_first(ends):
    here, there = ends
    there.sendall(pdu(5, 4) + pdu(7, 4)[:3])
    there.shutdown(socket.SHUT_WR)
    reader = reader_of()
    assert reader.next(here) == pdu(5, 4)
    with pytest.raises(ConnectionResetError):
        reader.next(here)


@pytest.mark.parametrize("length", [LARGE_BUFFER - PDU_HEAD.size, LARGE_BUFFER, 1 << 20])
def test_a_large_pdu_takes_what_it_needs(ends, length):
    here, there = ends
    here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    reader, left, found = reader_of(), memoryview(pdu(4, length)), None
    while left:
        there.setblocking(False)
        left = left[there.send(left) :]
        found = reader.next(here)
    assert found == pdu(4, length)


@pytest.mark.parametrize("kind", [0x00, 0x08, 0x47, 0xFF])
def test_a_type_that_there_is_not_is_told_and_stays(ends, kind):
    here, there = ends
    there.sendall(pdu(kind, 4))
    reader = reader_of()
    for _ in range(2):
        with pytest.raises(UnknownPdu):
            reader.next(here)


def test_more_than_allowed_is_not_waited_for(ends):
    here, there = ends
    reader = reader_of(max_bytes=1000)
    there.sendall(pdu(4, 1000))
    assert reader.next(here) == pdu(4, 1000)
    there.sendall(PDU_HEAD.pack(4, 1001))
    with pytest.raises(OSError, match="larger than any allowed"):
        reader.next(here)


@pytest.mark.parametrize("before", [b"", pdu(5, 4)], ids=["alone", "with the PDU before it"])
def test_the_rest_of_a_pdu_has_its_time(ends, before):
    here, there = ends
    clock = HeldClock()
    reader = reader_of(clock)
    assert reader.next(here) is None
    assert reader.patience() is None, "nothing is late that has not begun"
    there.sendall(before + pdu(4, 100)[:50])
    if before:
        assert reader.next(here) == before
    assert reader.next(here) is None
    assert reader.patience() == SECONDS
    clock.seconds += SECONDS - 1
    there.sendall(b"\0")
    assert reader.next(here) is None
    assert reader.patience() == 1.0, "a byte now and then is no whole PDU"
    clock.seconds += 1
    with pytest.raises(TimeoutError):
        reader.next(here)


def test_a_whole_pdu_begins_the_time_anew(ends):
    here, there = ends
    clock = HeldClock()
    reader = reader_of(clock)
    there.sendall(pdu(4, 10)[:5])
    assert reader.next(here) is None
    clock.seconds += SECONDS - 1
    there.sendall(pdu(4, 10)[5:])
    assert reader.next(here) == pdu(4, 10)
    assert reader.next(here) is None
    assert reader.patience() is None


def test_what_is_thrown_away_does_not_come_back(ends):
    here, there = ends
    reader = reader_of()
    there.sendall(b"noise" * 10)
    with pytest.raises(UnknownPdu):
        reader.next(here)
    assert not reader.drop(here), "nothing more has come"
    there.sendall(b"noise")
    assert reader.drop(here)
    there.sendall(pdu(5, 4))
    assert reader.next(here) == pdu(5, 4)
    there.close()
    with pytest.raises(ConnectionResetError):
        reader.drop(here)
