"""Destinations that hang with their connection open."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydicom import dcmread

from node.deliver.dicom_sender import DicomSender
from node.dimse.entity import Timeouts
from node.domain.delivery import OutgoingObject
from node.domain.errors import DestinationUnavailable
from node.domain.network import DicomDestination
from node.receive.sink import FolderSink
from tests.station.proof_ground import make_objects
from tests.station.receiving_node import AE_TITLE, DEADLINE, WallClock

MORE_THAN_BUFFERS_HOLD = 16 << 20
HALF_A_HEADER = b"\x04\x00\x00"
HALF_A_PDU = b"\x04\x00" + struct.pack(">I", 100) + b"half"
LARGER_THAN_ANY = b"\x04\x00" + struct.pack(">I", 0xFFFFFFFF) + b"some"
SHORT = Timeouts(connect=5.0, acse=0.3, dimse=0.3, network=0.2)


def pass_on_one_pdu(origin: socket.socket, to: socket.socket) -> None:
    head = origin.recv(6, socket.MSG_WAITALL)
    to.sendall(head + origin.recv(struct.unpack(">2xI", head)[0], socket.MSG_WAITALL))


@contextmanager
def hanging(port: int, last_words: bytes = b"", *, established: bool = True) -> Iterator[int]:
    """Stand before an application entity, and read no more once an association is established, or before."""
    done = threading.Event()

    def hang() -> None:
        caller, _ = listening.accept()
        with caller, socket.create_connection(("127.0.0.1", port)) as entity:
            if established:
                pass_on_one_pdu(caller, entity)
                pass_on_one_pdu(entity, caller)
            caller.sendall(last_words)
            done.wait(DEADLINE)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=hang)
        thread.start()
        yield listening.getsockname()[1]
        done.set()
        thread.join(DEADLINE)


@contextmanager
def slow_line(port: int, bytes_a_second: int) -> Iterator[int]:
    """Stand before an application entity, and pass on to it no more than so much."""
    pause = threading.Event()

    def back(entity: socket.socket, caller: socket.socket) -> None:
        while answer := entity.recv(65536):
            caller.sendall(answer)

    def forth() -> None:
        caller, _ = listening.accept()
        with caller, socket.create_connection(("127.0.0.1", port)) as entity:
            answering = threading.Thread(target=back, args=(entity, caller))
            answering.start()
            with suppress(OSError):
                while part := caller.recv(bytes_a_second // 20):
                    entity.sendall(part)
                    pause.wait(len(part) / bytes_a_second)
                entity.shutdown(socket.SHUT_WR)
            answering.join(DEADLINE)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=forth)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(DEADLINE)


@pytest.fixture
def entity(tmp_path: Path) -> Iterator[int]:
    sink = FolderSink("PACS", "127.0.0.1", 0, tmp_path / "pacs", clock=WallClock())
    yield sink.start()
    sink.stop()


def sent_to(port: int, objects: Sequence[OutgoingObject]) -> list[object]:
    """Return what became of objects, or the error; fails when that is not known in time."""
    destination = DicomDestination(
        name="pacs", ae_title="PACS", host="127.0.0.1", port=port, accept_demonstration=True
    )
    sender = DicomSender(destination, calling_ae_title=AE_TITLE, timeouts=SHORT)
    told: list[object] = []

    def send() -> None:
        try:
            told.extend(sender.send(objects, may_leave=lambda _: True))
        except DestinationUnavailable as error:
            told.append(error)

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    sending.join(DEADLINE)
    assert not sending.is_alive()
    return told


def test_a_peer_that_reads_no_more_holds_nobody_up(tmp_path: Path, entity: int) -> None:
    objects = make_objects(tmp_path / "objects", 2)
    large = dcmread(objects[0].path)
    block = large.private_block(0x0009, "GROUNDGLASS TEST", create=True)
    block.add_new(1, "OB", bytes(MORE_THAN_BUFFERS_HOLD))
    large.save_as(objects[0].path)
    with hanging(entity) as port:
        (reply,) = sent_to(port, objects)  # what was not tried has used up no attempt
    assert (reply.delivery_id, reply.delivered, reply.retryable) == (1, False, True)


def test_a_large_object_may_take_its_time_on_a_slow_line(tmp_path: Path, entity: int) -> None:
    objects = make_objects(tmp_path / "objects", 1)
    large = dcmread(objects[0].path)
    block = large.private_block(0x0009, "GROUNDGLASS TEST", create=True)
    block.add_new(1, "OB", bytes(1_000_000))
    large.save_as(objects[0].path)
    with slow_line(entity, bytes_a_second=1_000_000) as port:
        (reply,) = sent_to(port, objects)
    assert reply.delivered


@pytest.mark.parametrize("words", [b"", HALF_A_HEADER, HALF_A_PDU, LARGER_THAN_ANY])
def test_a_peer_that_does_not_end_its_answer_holds_nobody_up(
    tmp_path: Path, entity: int, words: bytes
) -> None:
    with hanging(entity, words) as port:
        (reply,) = sent_to(port, make_objects(tmp_path / "objects", 2))
    if words is LARGER_THAN_ANY and isinstance(reply, DestinationUnavailable):
        return  # the association was over before the first object was sent
    assert (reply.delivery_id, reply.delivered, reply.retryable) == (1, False, True)


@pytest.mark.parametrize("words", [b"", HALF_A_HEADER, HALF_A_PDU, LARGER_THAN_ANY])
def test_a_peer_that_does_not_end_the_negotiation_holds_nobody_up(
    tmp_path: Path, entity: int, words: bytes
) -> None:
    with hanging(entity, words, established=False) as port:
        (error,) = sent_to(port, make_objects(tmp_path / "objects", 1))
    assert isinstance(error, DestinationUnavailable)
