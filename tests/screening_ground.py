"""Ground for tests of whole screenings: a real store with phantom studies in it, and a pipeline over it."""

from __future__ import annotations

import copy
import dataclasses
import io
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from node.dicom.read import read_header
from node.dicom.write import PhantomLabels, phantom_data_sets
from node.domain.delivery import DeliveryState
from node.domain.identity import derived_uid
from node.domain.job import Assignment, Screening
from node.domain.model import Precision
from node.domain.network import CapPolicy, DicomDestination
from node.domain.result import Finding, ResultKind
from node.domain.study import Arrival, Intake, Series, SeriesEvent, SeriesState, Study, StudyState, Verdict
from node.imaging.phantom import ThoraxPhantom
from node.infer.bundle import Bundle
from node.infer.canary import Canary
from node.infer.golden import replay
from node.infer.openvino import EmbeddedScorer
from node.infer.served import Served
from node.report.identity import SERIES_NUMBERS
from node.report.request import Producer
from node.run.options import PipelineSettings
from node.run.pipeline import Pipeline
from node.run.progress import ScreeningEnd, Stage
from node.run.retry import RetryPolicy
from node.store.store import Store, open_store

PACS = DicomDestination(name="pacs", ae_title="PACS", host="127.0.0.1", port=104, accept_demonstration=False)
DEMO_PACS = dataclasses.replace(PACS, name="demo", accept_demonstration=True)
SETTINGS = PipelineSettings(
    minimum_slices=None,
    accept_unknown_age=True,
    cap_policy=CapPolicy.SKIP_AND_NOTIFY,
    batch=4,
    decoders=2,
    max_heatmaps=3,
    parametric_map=True,
    map_series_bytes=512 << 20,
    summary=True,
    key_objects=True,
    destinations=(PACS, DEMO_PACS),
    producer=Producer(
        manufacturer="Groundglass", software_version="0", serial_number="1", station_ae_title="GROUNDGLASS"
    ),
    retry=RetryPolicy(first=timedelta(seconds=30), factor=2, longest=timedelta(minutes=5), max_attempts=3),
)
Change = Callable[[int, Dataset], Dataset | None]


class HandClock:
    """A clock that moves a millisecond with each look, and otherwise by hand."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, 8, tzinfo=UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            self._now += timedelta(milliseconds=1)
            return self._now

    def monotonic(self) -> float:
        return self.now().timestamp()

    def forward(self, by: timedelta) -> None:
        with self._lock:
            self._now += by


class CountedUids:
    def __init__(self) -> None:
        self._count = itertools.count(1)

    def uid(self) -> str:
        return derived_uid("test", str(next(self._count)))

    def token(self) -> str:
        return f"{next(self._count):08x}"


class Ends:
    """A listener that keeps what the tests ask for."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.advances: dict[Stage, list[tuple[int, int]]] = {}
        self.decisions: list[Finding] = []
        self.ends: list[tuple[ScreeningEnd, str]] = []

    def stage_started(self, screening: Screening, stage: Stage) -> None:
        self.stages.append(stage)

    def stage_advanced(self, screening: Screening, stage: Stage, done: int, total: int) -> None:
        self.advances.setdefault(stage, []).append((done, total))

    def stage_finished(self, screening: Screening, stage: Stage, seconds: float) -> None:
        assert seconds > 0

    def decided(self, screening: Screening, finding: Finding) -> None:
        self.decisions.append(finding)

    def ended(self, screening: Screening, end: ScreeningEnd, reason: str) -> None:
        self.ends.append((end, reason))


@cache
def _slices(phantom: ThoraxPhantom) -> tuple[Dataset, ...]:
    return tuple(phantom_data_sets(phantom, PhantomLabels()))


def phantom_series(
    labels: PhantomLabels | None = None, *, slices: int = 24, rows: int = 256, patches: int = 0
) -> list[Dataset]:
    """Return the data sets of a small phantom series under other labels; the pixels are made once."""
    labels = labels or PhantomLabels()
    series = []
    for index, original in enumerate(_slices(ThoraxPhantom(slices=slices, rows=rows, patches=patches))):
        item = copy.deepcopy(original)
        item.StudyInstanceUID, item.SeriesInstanceUID = labels.study_instance_uid, labels.series_instance_uid
        item.SOPInstanceUID = item.file_meta.MediaStorageSOPInstanceUID = labels.sop_instance_uid(index)
        item.SeriesNumber, item.SeriesDescription = labels.series_number, labels.series_description
        item.ConvolutionKernel = labels.convolution_kernel
        item.PatientID = labels.patient_id
        series.append(item)
    return series


def of_kind(made: Sequence[Dataset], kind: ResultKind) -> list[Dataset]:
    """Return the result objects of one kind."""
    return [item for item in made if item.SeriesNumber == SERIES_NUMBERS[kind]]


def part10(data_set: Dataset) -> bytes:
    """Return a data set as the bytes of a PS3.10 file."""
    stream = io.BytesIO()
    data_set.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


class OneModel:
    """Serves the same model whatever is asked for."""

    def __init__(self, served: Served) -> None:
        self._served = served

    @contextmanager
    def serve(self, model_name: str, model_version: int) -> Iterator[Served]:
        yield self._served


class Ground:
    """A store, and the hands of the stations that are not under test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = HandClock()
        self.store: Store = open_store(root, url=None, clock=self.clock, uids=CountedUids())
        self.scorers: list[EmbeddedScorer] = []
        """The engines of the pipelines made, for tests that take one away."""
        self._closers: list[Callable[[], object]] = [self.store.close]

    def close(self) -> None:
        for closer in reversed(self._closers):
            closer()

    def receive(self, data_sets: Sequence[Dataset]) -> list[Intake]:
        """Put objects into the store as the receiving station does."""
        intakes = []
        for data_set in data_sets:
            data = part10(data_set)
            stored = self.store.files.store(data)
            intakes.append(
                self.store.intake.add(
                    Arrival(
                        header=read_header(data),
                        object_key=stored.key,
                        sha256=stored.sha256,
                        size=stored.size,
                        received_at=self.clock.now(),
                        calling_ae_title="CT1",
                        association_id=None,
                    )
                )
            )
        return intakes

    def study(self, study_instance_uid: str | None = None) -> Study:
        return self.store.studies.get(study_instance_uid or PhantomLabels().study_instance_uid)

    def settle(
        self,
        model: str = "tiny",
        *,
        incomplete: Sequence[int] = (),
        assigned: Sequence[Assignment] | None = None,
    ) -> None:
        """Conclude every open series and settle every study, as the sweep does."""
        assigned = [Assignment(model_name=model)] if assigned is None else assigned
        for study in self.store.studies.list(100, 0):
            for series in study.series:
                if series.state is SeriesState.RECEIVING:
                    self._conclude(series, series.series_number in incomplete)
            if study.state is StudyState.RECEIVING:
                assert self.store.studies.settle(study.id, assigned, last_arrival_at=study.last_arrival_at)

    def _conclude(self, series: Series, incomplete: bool) -> None:
        event, verdict, reason = (SeriesEvent.EVIDENCE, Verdict.GEOMETRY, "Positions without gap.")
        if incomplete:
            event, verdict, reason = (SeriesEvent.CAP, Verdict.CAP, "The cap passed.")
        assert self.store.studies.conclude_series(
            series.id, event, verdict, reason, instance_count=series.instance_count
        )

    def claim(self) -> Screening:
        screening = self.store.screenings.claim("worker", lease=timedelta(minutes=15))
        assert screening is not None
        return screening

    def pipeline(
        self, bundle: Bundle, ends: Ends, *, precision: Precision = Precision.F32, **changes: Any
    ) -> Pipeline:
        """Return a pipeline with a real engine and canary; ``changes`` replace settings."""
        scorer = EmbeddedScorer(bundle, precision=precision, threads=1)
        self.scorers.append(scorer)
        canary = Canary(clock=self.clock, every=timedelta(minutes=10), replay=lambda: replay(bundle, scorer))
        made = Pipeline(
            store=self.store,
            models=OneModel(Served(bundle=bundle, scorer=scorer, guard=canary)),
            clock=self.clock,
            settings=dataclasses.replace(SETTINGS, **changes),
            listener=ends,
        )
        self._closers.append(made.close)
        return made


def deliveries(ground: Ground) -> dict[tuple[str, DeliveryState], int]:
    """Return how many outbox rows stand in each state."""
    return dict(ground.store.outbox.counts())


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Return an empty store with hands."""
    made = Ground(tmp_path / "node")
    yield made
    made.close()


@pytest.fixture
def ends() -> Ends:
    """Return a listener."""
    return Ends()
