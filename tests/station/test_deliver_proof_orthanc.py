"""Orthanc as the destination: it reports storage commitment on an association of its own, and is queried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from node.dimse.admission import Admission
from node.dimse.commitment_session import CommitmentServices
from node.dimse.listening import Listener
from node.domain.delivery import ProofReply
from node.domain.network import DicomDestination, Peer, Proof, Right
from node.receive.commitment import CommitmentReports
from node.receive.storage import StorageService
from tests.journey.orthanc import Orthanc
from tests.station.outbox_ground import PACS, Outbox, make_outbox
from tests.station.proof_ground import TRANSACTION, make_objects, sender
from tests.station.receiving_node import AE_TITLE, LIMITS, WallClock, wait_until

PEERS = [Peer(ae_title="PACS", addresses=("127.0.0.1",), rights=frozenset({Right.COMMITMENT}))]
DESTINATIONS = [
    DicomDestination(name=PACS, ae_title="PACS", host="127.0.0.1", port=1, accept_demonstration=True)
]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = make_outbox(tmp_path / "node")
    yield made
    made.store.close()


@pytest.fixture
def listener(outbox: Outbox) -> Iterator[int]:
    made = Listener(
        ae_title=AE_TITLE,
        host="127.0.0.1",
        port=0,
        limits=LIMITS,
        gate=Admission(AE_TITLE, PEERS),
        services=StorageService(files=outbox.store.files, records=outbox.store.intake, clock=WallClock()),
        clock=WallClock(),
        commitment=CommitmentServices(user=CommitmentReports(outbox.store.proofs, DESTINATIONS)),
    )
    yield made.start()
    assert made.stop()


@pytest.fixture
def orthanc(tmp_path: Path, listener: int) -> Iterator[Orthanc]:
    made = Orthanc(tmp_path / "orthanc", node_port=listener, node_ae_title=AE_TITLE)
    yield made
    made.stop()


def test_orthanc_commits_itself_and_loses_nothing(outbox: Outbox, orthanc: Orthanc) -> None:
    courier = outbox.courier(sender(orthanc.dicom_port, report_seconds=0.1))

    assert courier.run_once(PACS) == 3
    wait_until(lambda: outbox.states(PACS) == ["delivered"] * 3, "Orthanc's report")

    assert {item.proof for item in outbox.deliveries(PACS)} == {"storage commitment"}


def test_what_orthanc_lost_is_missing_by_query_and_by_commitment(
    outbox: Outbox, orthanc: Orthanc, tmp_path: Path
) -> None:
    by_query = sender(orthanc.dicom_port, Proof.FIND)
    objects = _, lost = make_objects(tmp_path / "objects")
    by_query.send(objects, may_leave=lambda _: True)
    assert standings(by_query.prove(objects, transaction_uid=TRANSACTION, asked=0)) == ["proven", "proven"]

    (found,) = orthanc.find(SOPInstanceUID=lost.sop_instance_uid)
    orthanc.delete(f"/instances/{found['ID']}")

    assert standings(by_query.prove(objects, transaction_uid=TRANSACTION, asked=0)) == ["proven", "missing"]

    by_commitment = sender(orthanc.dicom_port, Proof.COMMITMENT, report_seconds=0.1)
    deliveries = outbox.deliveries(PACS)
    asked = [
        replace(item, sop_class_uid=sent.sop_class_uid, sop_instance_uid=sent.sop_instance_uid)
        for item, sent in zip(objects, deliveries, strict=False)
    ]
    assert outbox.courier(sender(orthanc.dicom_port, Proof.NONE)).run_once(PACS) == 3
    (found,) = orthanc.find(SOPInstanceUID=deliveries[1].sop_instance_uid)
    orthanc.delete(f"/instances/{found['ID']}")
    outbox.store.proofs.asking(TRANSACTION, PACS, [item.id for item in deliveries])
    assert standings(by_commitment.prove(asked, transaction_uid=TRANSACTION, asked=0)) == ["asked", "asked"]

    wait_until(lambda: "0112H" in outbox.deliveries(PACS)[1].detail, "Orthanc's report")
    assert [item.state.value for item in outbox.deliveries(PACS)] == ["delivered", "sent", "sent"]


def standings(replies: Sequence[ProofReply]) -> list[str]:
    return [reply.standing.value for reply in replies]
