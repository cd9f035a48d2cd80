"""Whether a destination has what it accepted: storage commitment and queries, with real peers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from node.deliver.dicom_proof import way_to_prove
from node.domain.delivery import ProofStanding
from node.domain.errors import DestinationUnavailable
from node.domain.network import Proof
from node.receive.sink import FolderSink
from tests.station.proof_ground import TRANSACTION, Archive, dcmqrscp, find_scp, make_objects, sender
from tests.station.receiving_node import WallClock

PROVEN, ASKED, DECLINED, MISSING, UNPROVABLE = (
    ProofStanding.PROVEN,
    ProofStanding.ASKED,
    ProofStanding.DECLINED,
    ProofStanding.MISSING,
    ProofStanding.UNPROVABLE,
)


@pytest.fixture
def objects(tmp_path: Path):
    return make_objects(tmp_path / "objects")


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[tuple[FolderSink, int]]:
    made = FolderSink("PACS", "127.0.0.1", 0, tmp_path / "pacs", clock=WallClock())
    yield made, made.start()
    made.stop()


def standings(replies) -> list[ProofStanding]:
    return [reply.standing for reply in replies]


def test_the_demonstration_pacs_commits_itself_to_what_it_holds(objects, sink):
    folder, port = sink
    pacs = sender(port)
    assert all(reply.delivered for reply in pacs.send(objects, may_leave=lambda _: True))

    replies = pacs.prove(objects, transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [PROVEN, PROVEN]
    assert [reply.delivery_id for reply in replies] == [1, 2]
    assert {reply.method for reply in replies} == {"storage commitment"}

    folder.files()[0].unlink()  # accepted, then lost
    lost = folder.files()[0].stem
    replies = pacs.prove(objects, transaction_uid=TRANSACTION + ".1", asked=0)
    for item, reply in zip(objects, replies, strict=True):
        assert reply.standing is (PROVEN if item.sop_instance_uid == lost else MISSING)


def test_a_commitment_is_asked_for_and_reported_as_the_standard_says(objects):
    archive = Archive()
    with archive.running() as port:
        replies = sender(port).prove(objects, transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [PROVEN, PROVEN]
    (request,) = archive.requests
    assert request.TransactionUID == TRANSACTION
    assert [item.ReferencedSOPInstanceUID for item in request.ReferencedSOPSequence] == [
        item.sop_instance_uid for item in objects
    ]
    assert archive.acknowledged == [0x0000]


@pytest.mark.parametrize(
    ("reason", "standing"),
    [(0x0112, MISSING), (0x0110, DECLINED), (0x0119, DECLINED), (0x0213, DECLINED), (0x0122, ASKED)],
)
def test_what_an_archive_has_not_is_missing_and_what_it_cannot_say_is_asked_again(objects, reason, standing):
    archive = Archive(failing={objects[1].sop_instance_uid: reason})
    with archive.running() as port:
        replies = sender(port).prove(objects, transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [PROVEN, standing]
    assert f"{reason:04X}H" in replies[1].detail


def test_a_report_may_come_before_the_response_to_the_request(objects):
    class Hasty(Archive):
        def on_action(self, event):
            self.report(event.assoc, event.action_information)
            return 0x0000, None

    archive = Hasty()
    with archive.running() as port:
        replies = sender(port).prove(objects, transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [PROVEN, PROVEN]
    assert archive.acknowledged == [0x0000]


@pytest.mark.long
def test_reports_without_end_are_not_waited_out(objects):
    class Restless(Archive):
        def on_action(self, event):
            while event.assoc.is_established:
                self.report(event.assoc, event.action_information)
            return 0x0000, None

    with Restless().running() as port, pytest.raises(DestinationUnavailable):
        sender(port).prove(objects, transaction_uid=TRANSACTION, asked=0)


def test_silence_is_no_proof(objects):
    with Archive(silent=True).running() as port:
        replies = sender(port, report_seconds=0.2).prove(objects, transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [ASKED, ASKED]


@pytest.mark.parametrize(
    ("status", "standing"), [(0x0110, ASKED), (0x0123, UNPROVABLE), (0x0124, UNPROVABLE)]
)
def test_a_refused_request_is_told(objects, status, standing):
    with Archive(status=status).running() as port:
        replies = sender(port, Proof.COMMITMENT).prove(objects, transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [standing, standing]
    assert f"{status:04X}H" in replies[0].detail


def test_a_report_on_another_transaction_proves_nothing(objects):
    class Confused(Archive):
        def event(self, request):
            information, event_type = super().event(request)
            information.TransactionUID = "2.25.999"
            return information, event_type

    archive = Confused()
    with archive.running() as port:
        replies = sender(port, report_seconds=0.3).prove(objects, transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [ASKED, ASKED]
    assert archive.acknowledged == [0x0110]


def test_a_report_that_names_other_objects_proves_nothing(objects):
    class Elsewhere(Archive):
        def event(self, request):
            for item in request.ReferencedSOPSequence[1:]:
                item.ReferencedSOPInstanceUID = "1.2.3"
            return super().event(request)

    with Elsewhere().running() as port:
        replies = sender(port).prove(objects, transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [PROVEN, ASKED]


@pytest.mark.parametrize("left_out", ["TransactionUID", "ReferencedSOPSequence"])
def test_a_report_without_what_is_mandatory_is_refused(objects, left_out):
    class Careless(Archive):
        def event(self, request):
            information, event_type = super().event(request)
            del information[left_out]
            return information, event_type

    archive = Careless()
    with archive.running() as port:
        replies = sender(port, report_seconds=0.3).prove(objects, transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [ASKED, ASKED]
    assert archive.acknowledged == [0x0115]


def test_dcmqrscp_is_asked_by_query(objects, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with dcmqrscp(tmp_path / "dcmtk", port):
        pacs = sender(port)
        assert all(reply.delivered for reply in pacs.send(objects[:1], may_leave=lambda _: True))

        replies = pacs.prove(objects, transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [PROVEN, MISSING]
    assert replies[0].method == "C-FIND"


def test_an_archive_that_does_not_match_single_objects_is_asked_for_its_list(objects):
    asked = []

    def on_find(event):
        asked.append(str(event.identifier.SOPInstanceUID))
        if event.identifier.SOPInstanceUID:
            yield 0xA900, None
            return
        match = Dataset()
        match.QueryRetrieveLevel = "IMAGE"
        match.SOPInstanceUID = objects[1].sop_instance_uid
        yield 0xFF01, match

    with find_scp(on_find) as port:
        replies = sender(port).prove(objects, transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [MISSING, PROVEN]
    assert asked == [objects[0].sop_instance_uid, objects[1].sop_instance_uid, ""]


@pytest.mark.parametrize(("status", "standing"), [(0xC001, ASKED), (0xA700, ASKED), (0xA900, UNPROVABLE)])
def test_a_query_that_fails_says_nothing_of_an_object(objects, status, standing):
    def on_find(_event):
        yield status, None

    with find_scp(on_find) as port:
        replies = sender(port, Proof.FIND).prove(objects, transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [standing, standing]
    assert f"{status:04X}H" in replies[0].detail


def test_an_archive_that_shows_other_objects_shows_nothing(objects):
    def on_find(_event):
        match = Dataset()
        match.QueryRetrieveLevel = "IMAGE"
        match.SOPInstanceUID = "1.2.3"
        yield 0xFF00, match

    with find_scp(on_find) as port:
        replies = sender(port).prove(objects, transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [MISSING, MISSING]


@pytest.mark.long
def test_endless_answers_are_not_read_to_their_end(objects):
    def on_find(event):
        match = Dataset()
        match.QueryRetrieveLevel = "IMAGE"
        match.SOPInstanceUID = "1.2.3"
        while event.assoc.is_established:
            yield 0xFF00, match

    with find_scp(on_find) as port:
        replies = sender(port).prove(objects[:1], transaction_uid=TRANSACTION, asked=0)

    assert standings(replies) == [UNPROVABLE]


def test_an_archive_that_aborts_is_asked_again_later(objects):
    def on_find(event):
        event.assoc.abort()
        yield 0x0000, None

    with find_scp(on_find) as port, pytest.raises(DestinationUnavailable):
        sender(port).prove(objects, transaction_uid=TRANSACTION, asked=0)


def test_who_offers_nothing_proves_nothing(objects, sink):
    with find_scp(lambda _: iter(())) as port:
        replies = sender(port, Proof.COMMITMENT).prove(objects, transaction_uid=TRANSACTION, asked=0)
    assert standings(replies) == [UNPROVABLE, UNPROVABLE]

    replies = sender(sink[1], Proof.FIND).prove(objects, transaction_uid=TRANSACTION, asked=0)
    assert standings(replies) == [UNPROVABLE, UNPROVABLE]

    replies = sender(1, Proof.NONE).prove(objects, transaction_uid=TRANSACTION, asked=0)
    assert standings(replies) == [UNPROVABLE, UNPROVABLE]


@pytest.mark.parametrize(
    ("wanted", "asked", "commitment", "find", "way"),
    [
        (Proof.AUTO, 0, True, True, Proof.COMMITMENT),
        (Proof.AUTO, 1, True, True, Proof.FIND),
        (Proof.AUTO, 1, True, False, Proof.COMMITMENT),
        (Proof.AUTO, 0, False, True, Proof.FIND),
        (Proof.AUTO, 0, False, False, Proof.NONE),
        (Proof.COMMITMENT, 3, True, True, Proof.COMMITMENT),
        (Proof.COMMITMENT, 0, False, True, Proof.NONE),
        (Proof.FIND, 0, True, True, Proof.FIND),
        (Proof.FIND, 0, True, False, Proof.NONE),
        (Proof.NONE, 0, True, True, Proof.NONE),
    ],
)
def test_the_way_to_prove(wanted, asked, commitment, find, way):
    assert way_to_prove(wanted, asked=asked, commitment=commitment, find=find) is way
