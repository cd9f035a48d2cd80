"""Destinations that hang with their connection open."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import dcmread

from node.deliver.dicom_sender import DicomSender
from node.dimse.entity import Timeouts
from node.domain.network import DicomDestination
from node.receive.sink import FolderSink
from tests.station.proof_ground import make_objects
from tests.station.receiving_node import AE_TITLE, DEADLINE, WallClock

MORE_THAN_BUFFERS_HOLD = 16 << 20
SHORT = Timeouts(connect=5.0, acse=0.5, dimse=0.5, network=0.2)


def pass_on_one_pdu(origin: socket.socket, to: socket.socket) -> None:
    head = origin.recv(6, socket.MSG_WAITALL)
    to.sendall(head + origin.recv(struct.unpack(">2xI", head)[0], socket.MSG_WAITALL))


@contextmanager
def hanging_after_negotiation(port: int) -> Iterator[int]:
    """Stand before an application entity, and read no more once an association is established."""
    done = threading.Event()

    def hang() -> None:
        caller, _ = listening.accept()
        with caller, socket.create_connection(("127.0.0.1", port)) as entity:
            pass_on_one_pdu(caller, entity)
            pass_on_one_pdu(entity, caller)
            done.wait(DEADLINE)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=hang)
        thread.start()
        yield listening.getsockname()[1]
        done.set()
        thread.join(DEADLINE)


def test_a_peer_that_reads_no_more_holds_nobody_up(tmp_path: Path) -> None:
    objects = make_objects(tmp_path / "objects", 2)
    large = dcmread(objects[0].path)
    large.private_block(0x0009, "GROUNDGLASS TEST", create=True).add_new(
        1, "OB", bytes(MORE_THAN_BUFFERS_HOLD)
    )
    large.save_as(objects[0].path)
    sink = FolderSink("PACS", "127.0.0.1", 0, tmp_path / "pacs", clock=WallClock())
    with hanging_after_negotiation(sink.start()) as port:
        destination = DicomDestination(
            name="pacs", ae_title="PACS", host="127.0.0.1", port=port, accept_demonstration=True
        )
        sender = DicomSender(destination, calling_ae_title=AE_TITLE, timeouts=SHORT)
        replies: list[object] = []
        sending = threading.Thread(
            target=lambda: replies.extend(sender.send(objects, may_leave=lambda _: True)), daemon=True
        )
        sending.start()
        sending.join(DEADLINE)
        assert not sending.is_alive()
    sink.stop()
    (reply,) = replies  # what was not tried has used up no attempt
    assert (reply.delivery_id, reply.delivered, reply.retryable) == (1, False, True)
