"""The outbox emptied into real storage SCPs: pynetdicom's, DCMTK's and the node's own."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import EnhancedSRStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dsutils import split_dataset

from node.deliver.dicom_sender import DicomSender
from node.domain.delivery import Delivery, OutgoingObject
from node.domain.errors import DestinationUnavailable, UnknownSubject
from node.domain.network import DicomDestination
from node.receive.sink import FolderSink
from tests.station.outbox_ground import ARCHIVE, PACS, Outbox, make_outbox, sender_to
from tests.station.receiving_node import AE_TITLE, DEADLINE, LIMITS, TIMEOUTS, WallClock, wait_until


def data_set_of(path: Path) -> bytes:
    _, offset = split_dataset(path)
    return path.read_bytes()[offset:]


@contextmanager
def storage_scp(answer: Callable[[evt.Event], int], **options: object) -> Iterator[int]:
    """Run pynetdicom's own SCP; yields its port."""
    entity = AE(ae_title="PACS")
    for context in options.get("contexts", AllStoragePresentationContexts):
        entity.add_supported_context(
            context.abstract_syntax, options.get("transfer_syntaxes", [ExplicitVRLittleEndian])
        )
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, answer)])
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = make_outbox(tmp_path / "node", (PACS, ARCHIVE))
    yield made
    made.store.close()


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[tuple[FolderSink, int]]:
    made = FolderSink("PACS", "127.0.0.1", 0, tmp_path / "pacs", clock=WallClock())
    yield made, made.start()
    made.stop()


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:  # bound but not listening: connections are refused
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_all_objects_arrive_as_they_were_made(outbox, sink):
    folder, port = sink
    courier = outbox.courier(sender_to(PACS, port))

    assert courier.run_once(PACS) == 3
    assert courier.run_once(PACS) == 0

    assert outbox.states(PACS) == ["sent"] * 3
    received = {path.stem: path for path in folder.files()}
    for path in outbox.paths:
        uid = str(dcmread(path).SOPInstanceUID)
        assert data_set_of(received[uid]) == data_set_of(path)
        assert dcmread(received[uid]).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert outbox.states(ARCHIVE) == ["pending"] * 3


def test_one_association_and_the_report_after_what_it_references(outbox):
    seen: list[tuple[int, str]] = []

    def answer(event: evt.Event) -> int:
        seen.append((id(event.assoc), str(event.request.AffectedSOPClassUID)))
        return 0x0000

    with storage_scp(answer) as port:
        assert outbox.courier(sender_to(PACS, port)).run_once(PACS) == 3

    assert len({association for association, _ in seen}) == 1
    assert [sop_class == EnhancedSRStorage for _, sop_class in seen] == [False, False, True]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0xB000, "sent"),
        (0x0111, "sent"),
        (0xA700, "pending"),
        (0x0110, "pending"),
        (0xA900, "refused"),
        (0xC123, "refused"),
        (0x0124, "refused"),
    ],
)
def test_an_answer_decides_what_becomes_of_a_delivery(outbox, status, state):
    answers = iter([0x0000, status, 0x0000])
    with storage_scp(lambda _event: next(answers)) as port:
        outbox.courier(sender_to(PACS, port)).run_once(PACS)

    assert outbox.states(PACS) == ["sent", state, "sent"]
    second = outbox.deliveries(PACS)[1]
    assert (second.answer or second.detail).startswith(f"{status:04X}H")


def test_what_failed_waits_and_is_sent_again_alone(outbox):
    answers = iter([0x0000, 0xA700, 0x0000, 0x0000])
    with storage_scp(lambda _event: next(answers)) as port:
        courier = outbox.courier(sender_to(PACS, port))
        assert courier.run_once(PACS) == 2
        waiting = outbox.deliveries(PACS)[1]
        assert waiting.due_at == outbox.clock.now() + timedelta(seconds=10)

        outbox.clock.at += timedelta(seconds=9)
        assert courier.run_once(PACS) == 0
        outbox.clock.at += timedelta(seconds=1)
        assert courier.run_once(PACS) == 1

    assert outbox.states(PACS) == ["sent"] * 3
    assert next(answers, None) is None


def test_a_dead_destination_delays_no_other_and_uses_up_no_attempt(outbox, sink, closed_port):
    folder, port = sink
    courier = outbox.courier(sender_to(PACS, closed_port), sender_to(ARCHIVE, port))

    assert courier.run_once(PACS) == 0
    assert courier.run_once(ARCHIVE) == 3
    assert len(folder.files()) == 3

    for _ in range(10):
        outbox.clock.at += timedelta(hours=1)
        courier.run_once(PACS)
    assert outbox.states(PACS) == ["pending"] * 3
    assert {item.attempts for item in outbox.deliveries(PACS)} == {0}


def test_what_is_answered_badly_again_and_again_is_given_up_at_last(outbox, sink):
    with storage_scp(lambda _event: 0xA700) as port:
        courier = outbox.courier(sender_to(PACS, port))
        for _ in range(12):
            courier.run_once(PACS)
            outbox.clock.at += timedelta(hours=1)
    assert outbox.states(PACS) == ["refused"] * 3
    assert "given up after 3 attempts" in outbox.deliveries(PACS)[0].detail

    outbox.store.outbox.release(outbox.study_id, PACS, "tester", "the PACS is back")

    assert outbox.courier(sender_to(PACS, sink[1])).run_once(PACS) == 3


def test_a_restart_in_the_middle_sends_again_without_a_second_object(outbox, sink):
    folder, port = sink
    courier = outbox.courier(sender_to(PACS, port))
    [first, *_] = outbox.store.outbox.claim(
        PACS, limit=10
    )  # a courier that is killed before it notes anything
    sender_to(PACS, port).send([outgoing(outbox, first)], may_leave=lambda _: True)
    assert outbox.states(PACS) == ["sending"] * 3

    assert courier.recover() == 3
    assert courier.run_once(PACS) == 3

    assert outbox.states(PACS) == ["sent"] * 3
    assert len(folder.files()) == 3


def outgoing(outbox: Outbox, delivery: Delivery) -> OutgoingObject:
    return OutgoingObject(
        delivery_id=delivery.id,
        kind=delivery.kind,
        study_instance_uid=delivery.study_instance_uid,
        series_instance_uid=delivery.series_instance_uid,
        sop_class_uid=delivery.sop_class_uid,
        sop_instance_uid=delivery.sop_instance_uid,
        transfer_syntax_uid=delivery.transfer_syntax_uid,
        path=outbox.store.files.path(delivery.object_key),
    )


def test_an_association_that_breaks_loses_nothing(outbox, sink):
    count = iter(range(10))

    def answer(event: evt.Event) -> int:
        if next(count) == 1:
            event.assoc.abort()
        return 0x0000

    with storage_scp(answer) as port:
        assert outbox.courier(sender_to(PACS, port)).run_once(PACS) == 1
    assert outbox.states(PACS) == ["sent", "pending", "pending"]

    outbox.clock.at += timedelta(minutes=1)
    assert outbox.courier(sender_to(PACS, sink[1])).run_once(PACS) == 2


def test_an_interrupted_courier_gives_its_claims_back(outbox):
    class Broken:
        name = PACS

        def send(self, objects, *, may_leave):
            raise MemoryError

        def prove(self, objects, *, transaction_uid, asked):
            raise MemoryError

        def echo(self):
            raise MemoryError

    with pytest.raises(MemoryError):
        outbox.courier(Broken()).run_once(PACS)

    assert outbox.states(PACS) == ["pending"] * 3


def test_an_object_file_that_is_gone_stops_only_its_own_delivery(outbox, sink):
    outbox.store.files.delete(outbox.deliveries(PACS)[0].object_key)

    assert outbox.courier(sender_to(PACS, sink[1])).run_once(PACS) == 2

    assert outbox.states(PACS) == ["refused", "sent", "sent"]


def test_a_damaged_object_file_stops_only_its_own_delivery(outbox, sink):
    path = outbox.store.files.path(outbox.deliveries(PACS)[1].object_key)
    path.chmod(0o600)
    path.write_bytes(b"")

    assert outbox.courier(sender_to(PACS, sink[1])).run_once(PACS) == 2

    assert outbox.states(PACS) == ["sent", "refused", "sent"]


def test_a_destination_that_takes_no_reports_refuses_only_the_report(outbox):
    contexts = [cx for cx in AllStoragePresentationContexts if cx.abstract_syntax != EnhancedSRStorage]
    with storage_scp(lambda _event: 0x0000, contexts=contexts) as port:
        assert outbox.courier(sender_to(PACS, port)).run_once(PACS) == 2

    assert outbox.states(PACS) == ["sent", "sent", "refused"]
    assert EnhancedSRStorage in outbox.deliveries(PACS)[2].detail


def test_a_destination_that_takes_nothing_refuses_all(outbox):
    contexts = [cx for cx in AllStoragePresentationContexts if "CT Image" in cx.abstract_syntax.name]
    with storage_scp(lambda _event: 0x0000, contexts=contexts) as port:
        assert outbox.courier(sender_to(PACS, port)).run_once(PACS) == 0

    assert outbox.states(PACS) == ["refused"] * 3


def test_a_peer_of_implicit_vr_gets_the_same_content_re_encoded(outbox):
    received = []

    def answer(event: evt.Event) -> int:
        received.append((event.context.transfer_syntax, event.dataset))
        return 0x0000

    with storage_scp(answer, transfer_syntaxes=[ImplicitVRLittleEndian]) as port:
        assert outbox.courier(sender_to(PACS, port)).run_once(PACS) == 3

    for path, (syntax, dataset) in zip(outbox.paths, received, strict=True):
        assert syntax == ImplicitVRLittleEndian
        assert dataset == dcmread(path)


def test_a_held_study_and_a_stopped_destination_send_nothing(outbox, sink):
    courier = outbox.courier(sender_to(PACS, sink[1]))
    outbox.store.operations.stop("tester", "maintenance")
    assert courier.run_once(PACS) == 0
    outbox.store.operations.go_live(PACS, "tester", "done")
    outbox.store.studies.hold(outbox.study_id, "tester", "wrong patient")
    assert courier.run_once(PACS) == 0

    assert sink[0].files() == []


def test_a_destination_that_is_not_in_the_settings_is_named(outbox):
    with pytest.raises(UnknownSubject, match="nowhere"):
        outbox.courier().run_once("nowhere")


@pytest.mark.parametrize("host", ["pacs.invalid", "pacs..invalid"])
def test_a_host_without_address_is_not_available_and_uses_up_no_attempt(outbox, host):
    destination = DicomDestination(name=PACS, ae_title="PACS", host=host, port=104, accept_demonstration=True)
    courier = outbox.courier(DicomSender(destination, calling_ae_title=AE_TITLE, timeouts=TIMEOUTS))

    assert courier.run_once(PACS) == 0

    assert [(item.state, item.attempts) for item in outbox.deliveries(PACS)] == [("pending", 0)] * 3
    assert "has no address" in outbox.store.breakers.failing(PACS).detail


def test_the_sender_verifies_its_destination(outbox, sink, closed_port):
    sender_to(PACS, sink[1]).echo()
    with pytest.raises(DestinationUnavailable):
        sender_to(PACS, closed_port).echo()


def test_dcmtk_receives(outbox, tmp_path):
    program = shutil.which("storescp")
    assert program, "DCMTK is among the system packages of the tests"
    folder = tmp_path / "dcmtk"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([program, "-aet", "PACS", "-od", str(folder), "--bit-preserving", str(port)])
    try:
        sender = sender_to(PACS, port)
        wait_until(lambda: answers(sender), "storescp listens")
        assert outbox.courier(sender).run_once(PACS) == 3
    finally:
        process.terminate()
        process.wait(DEADLINE)

    sent = sorted(data_set_of(path) for path in outbox.paths)
    assert sorted(data_set_of(path) for path in folder.iterdir()) == sent


def answers(sender) -> bool:
    try:
        sender.echo()
    except DestinationUnavailable:
        return False
    return True


def test_the_sink_keeps_its_limits(outbox, tmp_path):
    small = FolderSink(
        "PACS",
        "127.0.0.1",
        0,
        tmp_path / "small",
        clock=WallClock(),
        limits=replace(LIMITS, max_object_bytes=1000),
    )
    port = small.start()

    assert outbox.courier(sender_to(PACS, port)).run_once(PACS) == 0

    assert outbox.states(PACS) == ["pending"] * 3
    small.stop()
    assert list((tmp_path / "small").iterdir()) == []
