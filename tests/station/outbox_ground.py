"""A store whose outbox holds result objects, put there on the way that the node takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydicom.uid import EnhancedSRStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from node.deliver.courier import Courier
from node.deliver.dicom_sender import DicomSender
from node.deliver.prover import Prover
from node.dicom.read import read_header
from node.domain.breaker import Patience
from node.domain.delivery import Delivery, Outlet, ProofWaits
from node.domain.job import Assignment
from node.domain.model import ModelIdentity, ModelStatus, Precision
from node.domain.network import Backoff, DicomDestination, Proof
from node.domain.ports import Sender
from node.domain.result import Finding, Outcome, ResultKind, ResultObject, RunOutcome
from node.domain.study import Arrival, SeriesEvent, Verdict
from node.store.store import Store, open_store
from tests.station.receiving_node import AE_TITLE, TIMEOUTS, CountedUids, migrated_index, write_instance

PACS, ARCHIVE = "pacs", "archive"
BACKOFF = Backoff(
    first=timedelta(seconds=10), factor=2.0, longest=timedelta(minutes=5), jitter=0.5, max_attempts=3
)
PATIENCE = Patience(
    failures=3, first=timedelta(seconds=30), factor=2.0, longest=timedelta(minutes=5), jitter=0.2
)
WAITS = ProofWaits(answer=timedelta(minutes=10), grace=timedelta(minutes=2))
MODEL = ModelIdentity(
    name="model",
    version=1,
    status=ModelStatus.VALIDATED,
    spec_sha256="0" * 64,
    weights_sha256="1" * 64,
    engine="openvino",
    engine_version="1",
    precision=Precision.F32,
    device="CPU",
)


class SetClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.at = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@dataclass(frozen=True)
class Outbox:
    """A store with one screened study and its result objects."""

    store: Store
    clock: SetClock
    study_id: int
    paths: Sequence[Path]
    """The result objects as they were made: heatmaps, then the report."""
    uids: CountedUids

    def courier(self, *senders: Sender, **others: Any) -> Courier:
        parts: dict[str, Any] = {
            "outbox": self.store.outbox,
            "breakers": self.store.breakers,
            "prover": self.prover(),
            "files": self.store.files,
            "senders": {sender.name: sender for sender in senders},
            "clock": self.clock,
            "backoff": BACKOFF,
            "patience": PATIENCE,
            "jitter": lambda: 1.0,
        }
        return Courier(**(parts | others))

    def prover(self, backoff: Backoff = BACKOFF) -> Prover:
        return Prover(
            proofs=self.store.proofs,
            files=self.store.files,
            clock=self.clock,
            uids=self.uids,
            waits=WAITS,
            backoff=backoff,
            jitter=lambda: 1.0,
        )

    def deliveries(self, destination: str) -> list[Delivery]:
        return [
            item for item in self.store.outbox.for_study(self.study_id) if item.destination == destination
        ]

    def states(self, destination: str) -> list[str]:
        return [item.state.value for item in self.deliveries(destination)]


def sender_to(name: str, port: int, ae_title: str = "PACS", proof: Proof = Proof.NONE) -> DicomSender:
    destination = DicomDestination(
        name=name, ae_title=ae_title, host="127.0.0.1", port=port, accept_demonstration=True, proof=proof
    )
    return DicomSender(destination, calling_ae_title=AE_TITLE, timeouts=TIMEOUTS)


def make_outbox(folder: Path, destinations: Sequence[str] = (PACS,)) -> Outbox:
    """Take one image in, screen it, and put two heatmaps and a report into the outbox."""
    folder.mkdir()
    clock, uids = SetClock(), CountedUids()
    (folder / "store").mkdir()
    (folder / "store" / "index.sqlite").write_bytes(migrated_index())
    store = open_store(folder / "store", clock=clock, uids=uids)
    study_id, paths = screen(store, folder, "1", destinations)
    for name in destinations:
        store.operations.go_live(name, "tester", "test")
    return Outbox(store=store, clock=clock, study_id=study_id, paths=paths, uids=uids)


def screen(store: Store, folder: Path, study: str, destinations: Sequence[str]) -> tuple[int, list[Path]]:
    """Take one image of a study in and screen it; return the study and its three result objects."""
    image, _ = write_instance(folder / f"image-{study}.dcm", study=study)
    stored = store.files.store(image.read_bytes())
    store.intake.add(
        Arrival(
            header=read_header(image),
            object_key=stored.key,
            sha256=stored.sha256,
            size=stored.size,
            received_at=store.database.clock.now(),
            calling_ae_title="CT1",
            association_id=None,
        )
    )
    for series in store.studies.receiving_series():
        assert store.studies.conclude_series(
            series.id, SeriesEvent.EVIDENCE, Verdict.QUIET, "quiet", instance_count=series.instance_count
        )
    [settled] = store.studies.unsettled()
    assert store.studies.settle(
        settled.id, [Assignment(model_name=MODEL.name)], last_arrival_at=settled.last_arrival_at
    )
    screening = store.screenings.claim("worker", lease=timedelta(minutes=5))
    assert screening is not None
    paths, results = [], []
    for number, sop_class in enumerate([SecondaryCaptureImageStorage] * 2 + [EnhancedSRStorage]):
        path, _ = write_instance(
            folder / f"{study}-{number}.dcm", 100 + number, sop_class=sop_class, study=study
        )
        paths.append(path)
        results.append(_result(store, path, number))
    assert store.screenings.finish(
        screening.id,
        _finding(),
        recipe=f"recipe of {study}",
        version=1,
        results=results,
        outlets=[Outlet(name=name, leaves=True) for name in destinations],
    )
    return settled.id, paths


def _result(store: Store, path: Path, number: int) -> ResultObject:
    header = read_header(path)
    stored = store.files.store(path.read_bytes())
    is_report = header.sop_class_uid == EnhancedSRStorage
    return ResultObject(
        kind=ResultKind.REPORT if is_report else ResultKind.HEATMAP,
        index=0 if is_report else number + 1,
        sop_class_uid=header.sop_class_uid,
        sop_instance_uid=header.sop_instance_uid,
        series_instance_uid=header.series_instance_uid,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        object_key=stored.key,
        sha256=stored.sha256,
        size=stored.size,
    )


def _finding() -> Finding:
    return Finding(
        outcome=Outcome.NOT_ANALYSED,
        run_outcome=RunOutcome.NOT_ATTEMPTED,
        reason="no series is fit",
        warnings=(),
        choices=(),
        series_instance_uid=None,
        selection_rule="in-body",
        selection_threshold="",
        slices=(),
        operating_point=None,
        model=MODEL,
    )
