"""STOW-RS, QIDO-RS and WADO-RS with Orthanc and its DICOMweb plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from node.deliver.stow_sender import StowSender
from node.domain.delivery import OutgoingObject, ProofStanding
from node.domain.network import StowDestination, WebAccess
from node.http.credentials import SecretReader
from tests.free_ports import free_port
from tests.journey.orthanc import Orthanc
from tests.station.receiving_node import WallClock
from tests.unit.report.conftest import results

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"

pytestmark = pytest.mark.long


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    more = {"Plugins": [PLUGIN], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}}
    started = Orthanc(tmp_path / "pacs", node_port=free_port(), node_ae_title="GROUNDGLASS", more=more)
    yield started
    started.stop()


@pytest.fixture
def sender(orthanc: Orthanc) -> StowSender:
    return sender_to(f"http://127.0.0.1:{orthanc.http_port}/dicom-web")


def sender_to(url: str) -> StowSender:
    access = WebAccess(url=url, connect_seconds=10.0, request_seconds=60.0)
    return StowSender(
        StowDestination(name="web", accept_demonstration=True, access=access),
        clock=WallClock(),
        secrets=SecretReader({}),
    )


@pytest.fixture
def objects(tmp_path: Path) -> list[OutgoingObject]:
    """The result sets of two versions, one with names beyond ASCII."""
    made = []
    for number, item in enumerate([*results("unicode"), *results("version 2")], start=1):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(item.data)
        header = pydicom.dcmread(path, stop_before_pixels=True)
        made.append(
            OutgoingObject(
                delivery_id=number,
                kind=item.kind,
                sop_class_uid=item.sop_class_uid,
                sop_instance_uid=item.sop_instance_uid,
                transfer_syntax_uid=item.transfer_syntax_uid,
                study_instance_uid=str(header.StudyInstanceUID),
                series_instance_uid=item.series_instance_uid,
                path=path,
            )
        )
    return made


def standings(sender: StowSender, objects: list[OutgoingObject]) -> list[ProofStanding]:
    return [item.standing for item in sender.prove(objects, transaction_uid="2.25.7", asked=0)]


def test_results_are_stored_found_lost_and_stored_again(
    orthanc: Orthanc, sender: StowSender, objects: list[OutgoingObject]
) -> None:
    sender.echo()
    assert standings(sender, objects) == [ProofStanding.MISSING] * len(objects)
    for _ in range(2):  # what is there already is taken once more, and stays one
        replies = sender.send(objects, may_leave=lambda _: True)
        assert [reply.delivered for reply in replies] == [True] * len(objects), replies
    assert standings(sender, objects) == [ProofStanding.PROVEN] * len(objects)
    assert len(orthanc.find()) == len(objects)
    for item in objects:
        (found,) = orthanc.find(SOPInstanceUID=item.sop_instance_uid)
        assert orthanc.file(found["ID"]) == item.path.read_bytes()

    (lost,) = orthanc.find(SOPInstanceUID=objects[1].sop_instance_uid)
    orthanc.delete(f"/instances/{lost['ID']}")
    assert [i for i, it in enumerate(standings(sender, objects)) if it is ProofStanding.MISSING] == [1]
    (reply,) = sender.send(objects[1:2], may_leave=lambda _: True)
    assert reply.delivered
    assert standings(sender, objects) == [ProofStanding.PROVEN] * len(objects)


def test_what_is_no_dicom_is_refused(sender: StowSender, objects: list[OutgoingObject]) -> None:
    objects[0].path.write_bytes(b"no DICOM" * 100)
    first, second = sender.send(objects[:2], may_leave=lambda _: True)
    assert (first.delivered, first.retryable) == (False, False)
    assert second.delivered


def test_an_address_beside_the_service_is_named(orthanc: Orthanc) -> None:
    sender = sender_to(f"http://127.0.0.1:{orthanc.http_port}/elsewhere")
    with pytest.raises(Exception, match="nothing is at this address"):
        sender.echo()
