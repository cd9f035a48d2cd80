"""Result sets of every kind and outcome, made by the node's own pipeline from phantom studies.

Each set lies in a folder of its own: the source study, and the objects of every version made of it.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from node.dicom.write import PhantomLabels
from node.dicom.write_enhanced import enhanced_phantom
from node.domain.result import Finding, Outcome, ResultKind, Withdrawal
from node.imaging.phantom import ThoraxPhantom
from node.infer.bundle import Bundle, load_bundle
from node.report.build import build_results
from node.report.rejection import RejectionRequest, build_rejection
from node.report.request import ReportRequest
from node.run.progress import ScreeningEnd
from tests.model_folder import TinyNet, phantom_slices, write_model_folder
from tests.radiograph_objects import chest, digital_object, radiograph_bundle, radiograph_object
from tests.screening_ground import SETTINGS, Ends, Ground, part10, phantom_series

Study = Sequence[Dataset]
MADE_AT = datetime(2026, 3, 4, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Made:
    """One object that was made."""

    kind: ResultKind
    version: int
    path: Path

    @property
    def header(self) -> Dataset:
        """Read it without its pixels."""
        return pydicom.dcmread(self.path, stop_before_pixels=True)


@dataclass(frozen=True, kw_only=True)
class ResultSet:
    """What was made of one study."""

    name: str
    source: tuple[Path, ...]
    objects: tuple[Made, ...]
    """Of every version, in the order of making."""
    finding: Finding
    """Of the last version."""

    def of(self, kind: ResultKind, version: int = 1) -> list[Path]:
        """Return the objects of a kind in one version."""
        return [item.path for item in self.objects if (item.kind, item.version) == (kind, version)]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One study and what a model says about it."""

    bundle: Callable[[Path], Bundle]
    arrivals: Callable[[], Sequence[Study]]
    """One list of objects for each time that the study settles; each makes a version."""
    outcome: Outcome
    max_heatmaps: int = 3
    edit: Callable[[Finding], Finding] | None = None
    """What is told of the finding instead, where the node's own rules never say it."""


def ct_bundle(folder: Path) -> Bundle:
    """Return the tiny model, for which about half of the phantom's lung slices are positive."""
    return load_bundle(write_model_folder(folder, phantom_slices()))


def sure_ct_bundle(folder: Path) -> Bundle:
    """Return a model that finds something on every slice."""
    return load_bundle(write_model_folder(folder, phantom_slices(), net=TinyNet(bias=20.0)))


def calm_ct_bundle(folder: Path) -> Bundle:
    """Return a model that finds nothing."""
    return load_bundle(write_model_folder(folder, phantom_slices(), net=TinyNet(bias=-20.0)))


def _labels(name: str) -> PhantomLabels:
    return PhantomLabels(identity=name, patient_name="Yamada^Tarou=山田^太郎", patient_id=f"V-{name}"[:16])


def _ct(name: str, *, slices: int = 24, rows: int = 256, patches: int = 6) -> list[Dataset]:
    labels = _labels(name)
    series = phantom_series(labels, slices=slices, rows=rows, patches=patches)
    for item in series:
        item.PatientName = labels.patient_name
    return series


def _enhanced() -> list[Dataset]:
    labels = dataclasses.replace(_labels("enhanced"), patient_name="Müller^Zoë")
    return [enhanced_phantom(ThoraxPhantom(slices=24, rows=256), labels)]


def _undetermined(finding: Finding) -> Finding:
    """Return a finding that says nothing; the rule for radiographs has no such answer yet."""
    slices = tuple(dataclasses.replace(item, probability=None, positive=False) for item in finding.slices)
    return dataclasses.replace(
        finding, outcome=Outcome.UNDETERMINED, slices=slices, reason="Nothing was scored."
    )


CASES = {
    "ct-positive": Case(bundle=ct_bundle, arrivals=lambda: [_ct("pos")], outcome=Outcome.POSITIVE),
    "ct-negative": Case(bundle=calm_ct_bundle, arrivals=lambda: [_ct("neg")], outcome=Outcome.NEGATIVE),
    "ct-undetermined": Case(
        bundle=ct_bundle, arrivals=lambda: [_ct("abd", slices=48)[:10]], outcome=Outcome.UNDETERMINED
    ),
    "ct-not-analysed": Case(
        bundle=ct_bundle, arrivals=lambda: [_ct("few")[9:14]], outcome=Outcome.NOT_ANALYSED
    ),
    "ct-version-2": Case(
        bundle=ct_bundle,
        arrivals=lambda: [_ct("late")[:-1], _ct("late")[-1:]],
        outcome=Outcome.POSITIVE,
    ),
    "ct-enhanced": Case(bundle=ct_bundle, arrivals=lambda: [_enhanced()], outcome=Outcome.POSITIVE),
    "ct-every-slice": Case(
        bundle=sure_ct_bundle, arrivals=lambda: [_ct("all")[8:18]], outcome=Outcome.POSITIVE, max_heatmaps=20
    ),
    "cr-positive": Case(
        bundle=radiograph_bundle,
        arrivals=lambda: [[radiograph_object(VOILUTFunction=None)]],  # OHIF 3.13 takes none
        outcome=Outcome.POSITIVE,
    ),
    "dx-positive": Case(
        bundle=radiograph_bundle, arrivals=lambda: [[digital_object()]], outcome=Outcome.POSITIVE
    ),
    "cr-negative": Case(
        bundle=radiograph_bundle, arrivals=lambda: [[radiograph_object(chest(0))]], outcome=Outcome.NEGATIVE
    ),
    "cr-undetermined": Case(
        bundle=radiograph_bundle,
        arrivals=lambda: [[radiograph_object(chest(0))]],
        outcome=Outcome.UNDETERMINED,
        edit=_undetermined,
    ),
    "cr-not-analysed": Case(
        bundle=radiograph_bundle,
        arrivals=lambda: [[radiograph_object(PatientAge="012Y")]],
        outcome=Outcome.NOT_ANALYSED,
    ),
    "cr-version-2": Case(
        bundle=radiograph_bundle,
        arrivals=lambda: [[radiograph_object()], [radiograph_object(number=2)]],
        outcome=Outcome.POSITIVE,
    ),
}

LARGE = {
    "ct-thin": Case(
        bundle=ct_bundle, arrivals=lambda: [_ct("thin", slices=80, rows=512)], outcome=Outcome.POSITIVE
    )
}
"""For viewers: a map of 84 million bytes, nearly all of it padding."""


def make(name: str, folder: Path) -> ResultSet:
    """Screen the study of a case and write source and results to ``folder``."""
    case = (CASES | LARGE)[name]
    ground, ends = Ground(folder / "node"), Ends()
    try:
        bundle = case.bundle(folder / "models")
        pipeline = ground.pipeline(bundle, ends, max_heatmaps=case.max_heatmaps)
        source: list[Path] = []
        made: list[Made] = []
        for version, study in enumerate(case.arrivals(), start=1):
            source += _write(folder / "source", copy.deepcopy(study), len(source))
            ground.receive(study)
            ground.settle(bundle.name)
            screening = ground.claim()
            pipeline.run(screening)
            assert ends.ends[-1][0] is ScreeningEnd.STORED, ends.ends[-1]
            for row in ground.store.screenings.results(screening.id):
                data = ground.store.files.path(row.object_key).read_bytes()
                made.append(_kept(folder, row.kind, version, len(made), data))
        finding = ends.decisions[-1]
    finally:
        ground.close()
    if case.edit is not None:
        finding = case.edit(finding)
        made = _told(finding, source, folder)
    assert finding.outcome is case.outcome, f"{name} is {finding.outcome}: {finding.reason}"
    made.append(_rejected(made, finding, folder))
    return ResultSet(name=name, source=tuple(source), objects=tuple(made), finding=finding)


def _told(finding: Finding, source: Sequence[Path], folder: Path) -> list[Made]:
    """Build a result set for a finding that no rule gives."""
    request = ReportRequest(
        finding=finding,
        evidence=[pydicom.dcmread(path, stop_before_pixels=True) for path in source],
        heatmaps=(),
        maps=(),
        summary=None,
        key_objects=True,
        version=1,
        recipe="told",
        predecessor=None,
        made_at=MADE_AT,
        producer=SETTINGS.producer,
    )
    return [
        _kept(folder, item.kind, 1, 100 + number, item.data)
        for number, item in enumerate(build_results(request))
    ]


def _rejected(made: Sequence[Made], finding: Finding, folder: Path) -> Made:
    """Withdraw the last version, for one reason or the other."""
    last = made[-1].version
    request = RejectionRequest(
        withdrawn=[item.header for item in made if item.version == last],
        title=Withdrawal.QUALITY if last == 1 else Withdrawal.PATIENT_SAFETY,
        reason="Of a test.",
        version=last,
        model=finding.model,
        made_at=MADE_AT,
        producer=SETTINGS.producer,
    )
    return _kept(folder, ResultKind.REJECTION, last, 200, build_rejection(request).data)


def _write(folder: Path, study: Study, first: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, item in enumerate(study, start=first):
        paths.append(folder / f"{number:03d}.dcm")
        paths[-1].write_bytes(part10(item))
    return paths


def _kept(folder: Path, kind: ResultKind, version: int, number: int, data: bytes) -> Made:
    results = folder / "results"
    results.mkdir(exist_ok=True)
    path = results / f"{number:03d}-{kind.value}-v{version}.dcm"
    path.write_bytes(data)
    return Made(kind=kind, version=version, path=path)
