"""Reports of storage commitment that come on an association of the destination's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom.sop_class import StorageCommitmentPushModel

from node.dimse.admission import Admission
from node.dimse.commitment_session import CommitmentServices
from node.dimse.listening import Listener
from node.domain.network import DicomDestination, Peer, Proof, Right
from node.receive.commitment import CommitmentReports
from node.receive.storage import StorageService
from tests.station.outbox_ground import PACS, Outbox, make_outbox
from tests.station.proof_ground import WELL_KNOWN, Archive, calling, references, sender
from tests.station.receiving_node import AE_TITLE, LIMITS, WallClock

HERE = ("127.0.0.1",)
PEERS = (
    Peer(ae_title="PACS", addresses=HERE, rights=frozenset({Right.COMMITMENT})),
    Peer(ae_title="OTHER", addresses=HERE, rights=frozenset({Right.COMMITMENT})),
    Peer(ae_title="CT1", addresses=HERE, rights=frozenset({Right.STORE, Right.ECHO})),
)
BACKOFF_AND_GRACE = timedelta(minutes=5)
DESTINATIONS = [
    DicomDestination(name=PACS, ae_title="PACS", host="127.0.0.1", port=1, accept_demonstration=True),
    DicomDestination(name="other", ae_title="OTHER", host="127.0.0.1", port=1, accept_demonstration=True),
]


@dataclass(frozen=True)
class Asked:
    """A node that has asked an archive which reports later, and the archive."""

    outbox: Outbox
    archive: Archive
    node_port: int

    @property
    def request(self) -> Dataset:
        return self.archive.requests[0]

    @property
    def states(self) -> list[str]:
        return self.outbox.states(PACS)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    outbox = make_outbox(tmp_path / "node")
    archive = Archive(silent=True)
    listener = Listener(
        ae_title=AE_TITLE,
        host="127.0.0.1",
        port=0,
        limits=LIMITS,
        gate=Admission(AE_TITLE, PEERS),
        services=StorageService(files=outbox.store.files, records=outbox.store.intake, clock=WallClock()),
        clock=WallClock(),
        commitment=CommitmentServices(user=CommitmentReports(outbox.store.proofs, DESTINATIONS)),
    )
    port = listener.start()
    with archive.running() as archive_port:
        courier = outbox.courier(sender(archive_port, Proof.COMMITMENT, report_seconds=0.05))
        assert courier.run_once(PACS) == 3
    assert outbox.states(PACS) == ["sent"] * 3
    yield Asked(outbox=outbox, archive=archive, node_port=port)
    assert listener.stop()
    outbox.store.close()


def test_a_later_report_proves_the_deliveries_once(asked):
    for _ in range(2):
        assert asked.archive.report_later(asked.node_port, asked.request) == 0x0000
        assert asked.states == ["delivered"] * 3


def test_what_the_archive_lost_is_sent_again(asked):
    lost = asked.request.ReferencedSOPSequence[1].ReferencedSOPInstanceUID
    archive = replace(asked.archive, failing={lost: 0x0112})
    assert archive.report_later(asked.node_port, asked.request) == 0x0000
    assert asked.states == ["delivered", "sent", "delivered"]

    asked.outbox.clock.at += 2 * BACKOFF_AND_GRACE
    with Archive().running() as port:
        courier = asked.outbox.courier(sender(port, Proof.COMMITMENT))
        courier.run_once(PACS)
        asked.outbox.clock.at += 2 * BACKOFF_AND_GRACE
        courier.run_once(PACS)

    assert asked.states == ["delivered"] * 3
    assert asked.outbox.deliveries(PACS)[1].attempts == 2


def test_nobody_reports_for_another(asked):
    assert asked.archive.report_later(asked.node_port, asked.request, ae_title="OTHER") == 0x0115
    assert asked.states == ["sent"] * 3


def test_an_unknown_transaction_is_refused(asked):
    asked.request.TransactionUID = "2.25.999"
    assert asked.archive.report_later(asked.node_port, asked.request) == 0x0115
    assert asked.states == ["sent"] * 3


def test_another_instance_than_the_well_known_one_is_refused(asked):
    assert asked.archive.report_later(asked.node_port, asked.request, instance="1.2.3") == 0x0112
    assert asked.states == ["sent"] * 3


def test_an_unknown_event_is_refused(asked):
    class Inventive(Archive):
        def event(self, request):
            return super().event(request)[0], 3

    assert Inventive().report_later(asked.node_port, asked.request) == 0x0113
    assert asked.states == ["sent"] * 3


def test_a_list_without_end_is_refused(asked):
    class Talkative(Archive):
        def event(self, request):
            information, event_type = super().event(request)
            information.ReferencedSOPSequence = references([("1.2." + "3" * 60, "1.2." + "4" * 60)]) * 8000
            return information, event_type

    assert Talkative().report_later(asked.node_port, asked.request) == 0x0213
    assert asked.states == ["sent"] * 3


def test_who_lacks_the_right_or_the_role_cannot_report(asked, caplog):
    assert asked.archive.report_later(asked.node_port, asked.request, ae_title="CT1") == -1
    assert "lacks the right `commitment`" in caplog.text
    with calling(asked.node_port, "PACS", role=False) as association:
        assert association.accepted_contexts == []
    assert asked.states == ["sent"] * 3


def test_the_node_does_not_commit_itself(asked):
    with calling(asked.node_port, "PACS") as association:
        (context,) = association.accepted_contexts
        assert (context.as_scp, context.as_scu) == (True, False)
        with pytest.raises(ValueError, match="SCU role"):
            association.send_n_action(asked.request, 1, StorageCommitmentPushModel, WELL_KNOWN)
