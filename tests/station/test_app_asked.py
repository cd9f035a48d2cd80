"""The whole node, asked for storage commitment by a scanner and by Orthanc, and told what a modality made."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import ModalityPerformedProcedureStep, StorageCommitmentPushModel

from node.app import SystemClock, build
from node.cli.sending import readable, send
from node.dimse.entity import Timeouts
from node.dimse.scu import Remote
from node.domain.commitment import RequestState
from node.domain.study import Verdict
from node.infer.bundle import Bundle
from node.receive.sink import FolderSink
from tests.journey.orthanc import Orthanc, wait_for
from tests.station.app_ground import Place, install, phantom_folder
from tests.station.asking_ground import WAITS, Node, Scanner, running_node
from tests.station.proof_ground import WELL_KNOWN, references

SECONDS = 60.0
ASKED = """
[commitment]
enabled = true
relay_to = "pacs"
look_seconds = 0.1

[[commitment.requesters]]
ae_title = "CT1"
host = "127.0.0.1"
port = {scanner_port}
"""
RIGHTS = 'addresses = ["127.0.0.1"]\nrights = ["echo", "store", "commitment", "procedure-steps"]'
PATIENT = "quiet_seconds = 1000"


def modality(place: Place, uids: list[str], series: str) -> None:
    """Tell of a step, then ask for the commitment of what it made."""
    entity = AE(ae_title="CT1")
    for sop_class in (ModalityPerformedProcedureStep, StorageCommitmentPushModel):
        entity.add_requested_context(sop_class)
    association = entity.associate("127.0.0.1", place.port, ae_title="GROUNDGLASS")
    assert len(association.accepted_contexts) == 2
    begun, ended, asked = Dataset(), Dataset(), Dataset()
    begun.PerformedProcedureStepStatus = "IN PROGRESS"
    ended.PerformedProcedureStepStatus = "COMPLETED"
    performed = Dataset()
    performed.SeriesInstanceUID = series
    performed.ReferencedImageSequence = references([(CTImageStorage, uid) for uid in uids])
    ended.PerformedSeriesSequence = [performed]
    asked.TransactionUID = "2.25.5"
    asked.ReferencedSOPSequence = performed.ReferencedImageSequence
    assert association.send_n_create(begun, ModalityPerformedProcedureStep, "2.25.4")[0].Status == 0
    assert association.send_n_set(ended, ModalityPerformedProcedureStep, "2.25.4")[0].Status == 0
    assert association.send_n_action(asked, 1, StorageCommitmentPushModel, WELL_KNOWN)[0].Status == 0
    association.release()


@pytest.mark.long
def test_a_scanner_may_delete_what_the_pacs_keeps_and_need_not_wait(tmp_path, tiny_bundle: Bundle) -> None:
    scanner = Scanner("CT1")
    place = install(tmp_path, tiny_bundle)
    paths = phantom_folder(tmp_path / "scan")
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    uids = [header.SOPInstanceUID for header in headers]
    with scanner.listening() as port:
        text = place.config.read_text().replace('addresses = ["127.0.0.1"]', RIGHTS)
        text = text.replace("quiet_seconds = 0.3", PATIENT).replace(
            f"study_{PATIENT}", "study_quiet_seconds = 0.3"
        )
        place.config.write_text(text + ASKED.format(scanner_port=port))
        pacs = FolderSink("PACS", "127.0.0.1", place.pacs_port, tmp_path / "pacs", clock=SystemClock())
        node = build(place.settings)
        pacs.start()
        node.start()
        try:
            for ae_title, to in (("GROUNDGLASS", place.port), ("PACS", place.pacs_port)):
                remote = Remote(ae_title=ae_title, host="127.0.0.1", port=to)
                usable = readable(paths, lambda _: None)
                send(
                    usable, remote=remote, calling_ae_title="CT1", timeouts=Timeouts(), on_fate=lambda _: None
                )
            modality(place, uids, headers[0].SeriesInstanceUID)
            wait_for(lambda: scanner.reports, seconds=SECONDS, what="the report")
            assert scanner.outcome == dict.fromkeys(uids, 0)
            wait_for(node.store.screenings.counts, seconds=SECONDS, what="a screening")
            (series,) = node.store.studies.list()[0].series
            assert (series.verdict, series.whole_lungs) == (Verdict.PROCEDURE_STEP, True)
            answer = place.json("status")
            assert answer["commitments_asked"] == [{"state": "reported", "count": 1}]
        finally:
            node.stop()
            pacs.stop()


@pytest.mark.long
def test_orthanc_asks_and_is_told(tmp_path: Path) -> None:
    with running_node(tmp_path / "node") as node:
        uids = node.receive(tmp_path, 2, study="orthanc")
        orthanc = Orthanc(
            tmp_path / "orthanc", ae_title="CT2", node_port=node.port, node_ae_title="GROUNDGLASS"
        )
        try:
            assert told(node, orthanc, uids) == ("Success", set(uids), set())
            assert told(node, orthanc, [*uids, "1.2.3.4"]) == ("Failure", set(uids), {"1.2.3.4"})
        finally:
            orthanc.stop()


def told(node: Node, orthanc: Orthanc, uids: list[str]) -> tuple[str, set[str], set[str]]:
    """Let Orthanc ask; return what it says it was told."""
    asked = [{"SOPClassUID": str(CTImageStorage), "SOPInstanceUID": uid} for uid in uids]
    made = orthanc.post("/modalities/node/storage-commitment", {"DicomInstances": asked})
    node.provider.current = committing = node.committing(scanner_port=orthanc.dicom_port)
    for elapsed in (timedelta(0), WAITS.arrival):
        node.pass_time(elapsed, committing)
    assert set(node.store.commitments.counts()) == {RequestState.REPORTED}
    answer = orthanc.get(made["Path"])
    success = {item["SOPInstanceUID"] for item in answer["Success"]}
    return answer["Status"], success, {item["SOPInstanceUID"] for item in answer["Failures"]}
