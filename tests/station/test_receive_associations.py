"""Who comes in, how associations end, and what a hostile or broken peer can do."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import build_context

from node.dimse.admission import Rejection
from node.dimse.answers import unread
from node.dimse.entity import application_entity
from node.dimse.scu import Remote, echo
from node.domain.errors import DestinationRefused, DestinationUnavailable
from tests.station.receiving_node import (
    AE_TITLE,
    DEADLINE,
    SCANNER,
    TIMEOUTS,
    Receiving,
    send_files,
    wait_until,
    write_instance,
)

VERIFICATION = "1.2.840.10008.1.1"


def open_association(node: Receiving, calling_ae_title: str = SCANNER, called: str = AE_TITLE) -> Association:
    """Open an association for CT and verification."""
    entity = application_entity(calling_ae_title, timeouts=TIMEOUTS)
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    entity.add_requested_context(VERIFICATION)
    return entity.associate("127.0.0.1", node.port, ae_title=called)


def store_fragments(association: Association, *fragments: bytes) -> None:
    """Send a C-STORE request with these fragments of its data set; none is marked as the last."""
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = CTImageStorage
    request.AffectedSOPInstanceUID = "1.2.3"
    request.Priority = 0
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    message.command_set.CommandDataSetType = 1
    context = next(cx for cx in association.accepted_contexts if cx.abstract_syntax == CTImageStorage)
    for primitive in message.encode_msg(context.context_id, 16384):
        association.dul.send_pdu(primitive)
    for fragment in fragments:
        association.dul.send_pdu(pdata(context.context_id, b"\x00" + fragment))


def pdata(context_id: int, value: bytes) -> P_DATA:
    primitive = P_DATA()
    primitive.presentation_data_value_list.append((context_id, value))
    return primitive


@pytest.mark.parametrize(
    ("calling", "called", "rejection"),
    [
        ("STRANGER", AE_TITLE, Rejection.CALLING_AE_TITLE),
        ("ELSEWHERE", AE_TITLE, Rejection.CALLING_AE_TITLE),
        (SCANNER, "ANY-SCP", Rejection.CALLED_AE_TITLE),
    ],
)
def test_a_caller_that_is_not_listed_is_refused_and_recorded(receiving, calling, called, rejection):
    association = open_association(receiving, calling, called)

    assert association.is_rejected
    answer = association.acceptor.primitive
    assert (answer.result, answer.result_source, answer.diagnostic) == rejection.value
    wait_until(lambda: len(receiving.records.refused_callers()) == 1, "the refused caller is recorded")
    [refused] = receiving.records.refused_callers()
    assert (refused.calling_ae_title, refused.address) == (calling, "127.0.0.1")
    assert receiving.ends() == []


def test_rights_decide_what_is_accepted(receiving, tmp_path):
    path, _ = write_instance(tmp_path / "a.dcm")

    echo(receiving.remote, calling_ae_title="MONITOR", timeouts=TIMEOUTS)
    with pytest.raises(DestinationRefused):
        send_files(receiving.remote, path, calling_ae_title="MONITOR")

    assert receiving.instance_count() == 0


def test_dcmtk_verifies(receiving):
    program = shutil.which("echoscu")
    assert program, "DCMTK is among the system packages of the tests"
    command = [program, "-aet", SCANNER, "-aec", AE_TITLE, "127.0.0.1", str(receiving.port)]

    subprocess.run(command, check=True, capture_output=True, timeout=30)
    refused = subprocess.run([*command[:2], "STRANGER", *command[3:]], check=False, timeout=30)

    assert refused.returncode != 0


def test_the_end_of_an_association_is_recorded_as_it_was(receiving):
    open_association(receiving).release()
    wait_until(lambda: receiving.ends() == ["released"], "released")

    open_association(receiving).abort()
    wait_until(lambda: receiving.ends() == ["released", "aborted"], "aborted by the peer")

    cut = open_association(receiving)
    cut.dul.socket.socket.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: receiving.ends()[2:] == ["aborted"], "connection cut")
    cut.abort()


def test_silence_ends_in_a_timeout(receiving_node):
    node = receiving_node(idle_seconds=0.2)
    association = open_association(node)

    wait_until(lambda: node.ends() == ["timeout"], "timed out")
    association.abort()


def test_an_abort_in_the_middle_of_an_object_leaves_nothing(receiving):
    association = open_association(receiving)
    store_fragments(association, b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", b"\x00" * 10_000)
    wait_until(lambda: any(path.stat().st_size > 10_000 for path in receiving.spooled()), "spooled")

    association.abort()

    wait_until(lambda: receiving.ends() == ["aborted"], "aborted")
    wait_until(lambda: receiving.spooled() == [], "nothing is left in the spool")
    assert receiving.instance_count() == 0


def test_an_endless_object_is_cut_off(receiving_node):
    node = receiving_node(max_object_bytes=50_000)
    association = open_association(node)

    store_fragments(association, *(b"\x00" * 16_000 for _ in range(8)))

    wait_until(lambda: association.is_aborted, "the node aborts")
    wait_until(lambda: node.ends() == ["aborted"], "aborted")
    assert node.spooled() == []


@pytest.mark.parametrize(
    "values",
    [
        [b"\x00data before its command set"],
        [b"\x01" + b"\x00" * 16_000] * 6,
        [b"\x03" + b"\xff" * 40],
        [b"\x03" + struct.pack("<HHI", 0, 0x0100, 2) + b"\xee\xee"],
    ],
    ids=["data first", "endless command set", "garbage", "unknown command"],
)
@pytest.mark.filterwarnings("ignore:End of file reached")
def test_malformed_messages_abort_their_association_alone(receiving, values):
    other = open_association(receiving)
    association = open_association(receiving)

    for value in values:
        association.dul.send_pdu(pdata(association.accepted_contexts[0].context_id, value))

    wait_until(lambda: association.is_aborted, "the node aborts")
    assert other.send_c_echo().Status == 0x0000
    other.release()
    wait_until(lambda: set(receiving.ends()) == {"aborted", "released"}, "both ends are recorded")


def test_a_store_request_without_data_set_is_not_understood(receiving):
    association = open_association(receiving)
    request = C_STORE_RQ()
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = 1, 0
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CTImageStorage, "1.2.3"
    request.primitive_to_message(primitive)

    with unread(association):
        for part in request.encode_msg(association.accepted_contexts[0].context_id, 16384):
            association.dul.send_pdu(part)
        _, answer = association.dimse.get_msg(block=True)

    assert answer.Status == 0xC000
    association.release()


def connection(node: Receiving) -> socket.socket:
    return socket.create_connection(("127.0.0.1", node.port), timeout=DEADLINE)


def test_a_pdu_of_four_gigabytes_is_not_waited_for(receiving):
    with connection(receiving) as raw:
        raw.sendall(struct.pack(">BBL", 0x01, 0, 0xFFFFFFFF))
        assert raw.recv(100) == b""


def test_half_a_pdu_does_not_hold_a_thread(receiving_node):
    node = receiving_node(acse_seconds=0.2)
    with connection(node) as silent, connection(node) as stalled:
        stalled.sendall(struct.pack(">BBL", 0x01, 0, 500) + b"\x00" * 100)
        assert silent.recv(100) == b""
        assert stalled.recv(100) == b""
    wait_until(lambda: node.listener.connections == 0, "both connections are gone")


def test_a_page_request_is_dropped(receiving):
    with connection(receiving) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n")
        received = raw.recv(100)
    assert received[:1] in {b"", b"\x07"}  # nothing, or A-ABORT
    assert receiving.ends() == []


def test_one_association_more_than_allowed_is_rejected_for_now(receiving_node):
    node = receiving_node(max_associations=2)
    first, second = open_association(node), open_association(node)
    assert first.is_established
    assert second.is_established

    third = open_association(node)

    answer = third.acceptor.primitive
    assert (answer.result, answer.result_source, answer.diagnostic) == Rejection.LIMIT.value
    first.release()
    wait_until(lambda: node.ends().count("released") == 1, "the first one is gone")
    wait_until(lambda: node.listener.connections == 1, "its place is free")
    fourth = open_association(node)
    assert fourth.is_established
    fourth.release()
    second.release()


def test_sockets_do_not_delay_and_pdus_are_large(receiving):
    association = open_association(receiving)

    def acceptors() -> list[threading.Thread]:
        return [
            thread
            for thread in threading.enumerate()
            if thread.name.startswith("AcceptorThread") and thread.is_alive() and thread.is_established
        ]

    wait_until(lambda: len(acceptors()) == 1, "the acceptor has sent its answer and goes on")
    [acceptor] = acceptors()
    option = acceptor.dul.socket.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert option != 0
    assert association.acceptor.maximum_length == 131072
    association.release()


def test_stopping_aborts_what_does_not_end_by_itself(receiving):
    association = open_association(receiving)
    before = time.monotonic()

    assert receiving.listener.stop(grace_seconds=0.1)

    assert time.monotonic() - before < DEADLINE
    assert receiving.listener.connections == 0
    assert receiving.ends() == ["restart"]
    wait_until(lambda: association.is_aborted, "the peer sees an abort")
    with pytest.raises(DestinationUnavailable):
        echo(receiving.remote, calling_ae_title=SCANNER, timeouts=TIMEOUTS)


def test_stopping_ends_every_one_of_many_associations_at_once(receiving_node):
    node = receiving_node(max_associations=24, idle_seconds=60.0, acse_seconds=60.0)
    opened = [open_association(node) for _ in range(24)]

    assert node.listener.stop(grace_seconds=0.05, abort_seconds=DEADLINE / 2), "none waits until it is idle"

    assert node.ends() == ["restart"] * 24
    wait_until(lambda: all(association.is_aborted for association in opened), "every peer sees an abort")


def test_noise_after_an_abort_is_thrown_away(receiving_node):
    node = receiving_node(acse_seconds=30.0)
    with connection(node) as raw:
        raw.sendall(b"G" * (1 << 20))
        received = bytearray()
        try:
            while part := raw.recv(1 << 16):
                received += part
        except ConnectionResetError:  # it was still sending
            pass
    assert len(received) <= 3 * 10, "an A-ABORT (PS3.8 section 9.3.8), not one for each look"
    wait_until(lambda: node.listener.connections == 0, "nobody waits for the time to be over")


def test_stopping_does_not_wait_for_a_peer_that_is_frozen(receiving_node):
    node = receiving_node(acse_seconds=60.0, idle_seconds=60.0)
    sent: list[bytes] = []
    entity = application_entity(SCANNER, timeouts=TIMEOUTS)
    record = (evt.EVT_DATA_SENT, lambda event: sent.append(bytes(event.data)))
    contexts = [build_context(VERIFICATION)]
    association = entity.associate(
        "127.0.0.1", node.port, contexts=contexts, ae_title=AE_TITLE, evt_handlers=[record]
    )
    association.release()
    with connection(node) as frozen:  # asks as the association did, then neither reads nor closes
        frozen.sendall(sent[0])
        wait_until(lambda: node.ends() == ["released", None], "the frozen peer is associated")

        assert node.listener.stop(grace_seconds=0.05, abort_seconds=0.2)

    assert node.ends() == ["released", "restart"]


def test_nobody_listens_on_a_closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = Remote(ae_title="NOBODY", host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(DestinationUnavailable, match="does not answer"):
            echo(closed, calling_ae_title=SCANNER, timeouts=TIMEOUTS)
