"""Ground of the tests of retrievals: what is stored, and peers that take it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from node.dicom.part10 import data_set_offset
from node.dicom.read import read_header
from node.domain.identity import derived_uid
from node.domain.study import Arrival
from tests.station.finding_ground import VIEWER, Archive, calling, identifier_of
from tests.station.receiving_node import AE_TITLE, write_instance

GET, MOVE = StudyRootQueryRetrieveInformationModelGet, StudyRootQueryRetrieveInformationModelMove
SINK = "SINK"
STUDY = derived_uid("test", "study", "1")


class Sink:
    """Takes what is sent to it; its answers can be set."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.syntaxes: dict[str, str] = {}
        self.originators: set[tuple[str, int]] = set()
        self.answers: dict[str, int] = {}

    def take(self, event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        self.objects[uid] = event.request.DataSet.getvalue()
        self.syntaxes[uid] = str(event.context.transfer_syntax)
        if event.request.MoveOriginatorApplicationEntityTitle:
            title = str(event.request.MoveOriginatorApplicationEntityTitle)
            self.originators.add((title, event.request.MoveOriginatorMessageID))
        return self.answers.get(uid, 0x0000)

    @contextmanager
    def listening(self, port: int, *syntaxes: str) -> Iterator[None]:
        entity = AE(ae_title=SINK)
        entity.add_supported_context(CTImageStorage, list(syntaxes) or [ExplicitVRLittleEndian])
        server = entity.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, self.take)]
        )
        try:
            yield
        finally:
            server.shutdown()


def fill(archive: Archive, folder: Path, *numbers: int, **how: object) -> dict[str, bytes]:
    """Store instances; return the bytes of their data sets."""
    stored = {}
    for number in numbers:
        path, uid = write_instance(folder / f"{number}.dcm", number, **how)
        data = path.read_bytes()
        kept = archive.store.files.store(data)
        archive.store.intake.add(
            Arrival(
                header=read_header(data),
                object_key=kept.key,
                sha256=kept.sha256,
                size=kept.size,
                received_at=archive.store.database.clock.now(),
                calling_ae_title="CT1",
                association_id=None,
            )
        )
        stored[uid] = data[data_set_offset(BytesIO(data)) :]
    return stored


def get(
    archive: Archive, sink: Sink, *syntaxes: str, ae_title: str = VIEWER, model: str = GET, **keys: object
) -> list[tuple[Dataset, Dataset | None]]:
    """Get a study; return the responses."""
    entity = AE(ae_title=ae_title)
    entity.add_requested_context(model)
    for syntax in syntaxes or (ExplicitVRLittleEndian,):
        entity.add_requested_context(CTImageStorage, syntax)
    association = entity.associate(
        "127.0.0.1",
        archive.port,
        ae_title=AE_TITLE,
        ext_neg=[build_role(CTImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, sink.take)],
    )
    try:
        if model not in {context.abstract_syntax for context in association.accepted_contexts}:
            return []
        identifier = identifier_of("STUDY", keys or {"StudyInstanceUID": STUDY})
        return list(association.send_c_get(identifier, model))
    finally:
        association.release()


def move(archive: Archive, destination: str = SINK, **keys: object) -> list[tuple[Dataset, Dataset | None]]:
    with calling(archive.port, model=MOVE) as association:
        identifier = identifier_of(str(keys.pop("level", "STUDY")), keys or {"StudyInstanceUID": STUDY})
        return list(association.send_c_move(identifier, destination, MOVE, msg_id=9))


def counts(status: Dataset) -> tuple[int, int, int]:
    return (
        status.NumberOfCompletedSuboperations,
        status.NumberOfFailedSuboperations,
        status.NumberOfWarningSuboperations,
    )


def run(*command: str, folder: Path) -> str:
    finished = subprocess.run([*command], capture_output=True, text=True, check=False, timeout=60, cwd=folder)
    return finished.stdout + finished.stderr
