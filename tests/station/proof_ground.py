"""Destinations that are asked whether they have what they accepted: other toolkits' SCPs, on loopback."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID, EnhancedSRStorage, SecondaryCaptureImageStorage
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from node.deliver.dicom_sender import DicomSender
from node.dicom.read import read_header
from node.dimse.scu import read_instance
from node.domain.delivery import OutgoingObject
from node.domain.network import DicomDestination, Proof
from node.domain.result import ResultKind
from tests.station.receiving_node import AE_TITLE, TIMEOUTS, wait_until, write_instance

WELL_KNOWN = UID("1.2.840.10008.1.20.1.1")
RESULT_CLASSES = (EnhancedSRStorage, SecondaryCaptureImageStorage)
TRANSACTION = "2.25.100"
REPORT_SECONDS = 2.0


def sender(port: int, proof: Proof = Proof.AUTO, *, report_seconds: float = REPORT_SECONDS) -> DicomSender:
    destination = DicomDestination(
        name="pacs", ae_title="PACS", host="127.0.0.1", port=port, accept_demonstration=True, proof=proof
    )
    return DicomSender(
        destination, calling_ae_title=AE_TITLE, timeouts=TIMEOUTS, report_seconds=report_seconds
    )


def make_objects(folder: Path, count: int = 2) -> list[OutgoingObject]:
    folder.mkdir(exist_ok=True)
    made = []
    for number in range(1, count + 1):
        path, uid = write_instance(folder / f"{number}.dcm", number)
        instance, header = read_instance(path), read_header(path)
        made.append(
            OutgoingObject(
                delivery_id=number,
                kind=ResultKind.HEATMAP,
                study_instance_uid=header.study_instance_uid,
                series_instance_uid=header.series_instance_uid,
                sop_class_uid=instance.sop_class_uid,
                sop_instance_uid=uid,
                transfer_syntax_uid=instance.transfer_syntax_uid,
                path=path,
            )
        )
    return made


def references(items: Sequence[tuple[str, str]], reason: int | None = None) -> list[Dataset]:
    made = []
    for sop_class, uid in items:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        if reason is not None:
            item.FailureReason = reason
        made.append(item)
    return made


@dataclass
class Archive:
    """A storage commitment SCP by pynetdicom that answers as it is told."""

    status: int = 0x0000
    """Of the N-ACTION response."""
    failing: dict[str, int] = field(default_factory=dict)
    """Failure Reason by SOP Instance UID."""
    silent: bool = False
    requests: list[Dataset] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    """Statuses of the N-EVENT-REPORT responses."""
    reporting: list[threading.Thread] = field(default_factory=list)

    def event(self, request: Dataset) -> tuple[Dataset, int]:
        asked = [(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in request.ReferencedSOPSequence]
        information = Dataset()
        information.TransactionUID = request.TransactionUID
        kept = [item for item in asked if item[1] not in self.failing]
        if kept:
            information.ReferencedSOPSequence = references(kept)
        failed = [
            reference
            for sop_class, uid in asked
            if uid in self.failing
            for reference in references([(sop_class, uid)], self.failing[uid])
        ]
        if failed:
            information.FailedSOPSequence = failed
        return information, 2 if failed else 1

    def on_action(self, event: evt.Event) -> tuple[int, None]:
        request = event.action_information
        self.requests.append(request)
        if self.status == 0x0000 and not self.silent:
            thread = threading.Thread(target=self.report, args=(event.assoc, request))
            self.reporting.append(thread)
            thread.start()
        return self.status, None

    def report(self, association: Association, request: Dataset, *, instance: str = WELL_KNOWN) -> None:
        information, event_type = self.event(request)
        answer, _ = association.send_n_event_report(
            information, event_type, StorageCommitmentPushModel, instance
        )
        self.acknowledged.append(answer.get("Status", -1))

    def report_later(self, node_port: int, request: Dataset, *, ae_title: str = "PACS", **how: object) -> int:
        """Report on an association of its own; return the status of the response, -1 without any."""
        with calling(node_port, ae_title) as association:
            if not association.accepted_contexts:
                return -1
            self.report(association, request, **how)
        return self.acknowledged[-1]

    @contextmanager
    def running(self) -> Iterator[int]:
        entity = AE(ae_title="PACS")
        for sop_class in (StorageCommitmentPushModel, Verification, *RESULT_CLASSES):
            entity.add_supported_context(sop_class)
        handlers = [(evt.EVT_N_ACTION, self.on_action), (evt.EVT_C_STORE, lambda _: 0x0000)]
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        try:
            yield server.server_address[1]
        finally:
            for thread in self.reporting:
                thread.join(10)
            server.shutdown()


@contextmanager
def calling(node_port: int, ae_title: str, *, role: bool = True) -> Iterator[Association]:
    """Open an association to the node, to report as the SCP."""
    entity = AE(ae_title=ae_title)
    entity.add_requested_context(StorageCommitmentPushModel)
    roles = [build_role(StorageCommitmentPushModel, scp_role=True)] if role else []
    association = entity.associate("127.0.0.1", node_port, ae_title=AE_TITLE, ext_neg=roles)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


@contextmanager
def find_scp(on_find) -> Iterator[int]:
    """Run a query SCP by pynetdicom."""
    entity = AE(ae_title="PACS")
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, on_find)])
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


@contextmanager
def dcmqrscp(folder: Path, port: int, *, hosts: str = "") -> Iterator[None]:
    """Run DCMTK's archive: it stores, is queried, and sends to ``hosts`` of its configuration."""
    database = folder / "archive"
    database.mkdir(parents=True)
    config = folder / "dcmqrscp.cfg"
    config.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 8\n"
        f"HostTable BEGIN\n{hosts}HostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nPACS {database} RW (100, 64mb) ANY\nAETable END\n"
    )
    with (folder / "dcmqrscp.log").open("wb") as log:
        process = subprocess.Popen(
            ["dcmqrscp", "--config", str(config), str(port)], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            wait_until(lambda: _answers(port), "dcmqrscp to answer")
            yield
        finally:
            process.terminate()
            process.wait(10)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
