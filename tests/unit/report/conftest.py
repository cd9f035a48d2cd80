"""Requests made of small synthetic headers; no pixel data of a source is needed for a report."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from node.domain.model import ModelIdentity, ModelStatus, Precision
from node.domain.result import (
    Finding,
    OperatingPoint,
    Outcome,
    ResultVersion,
    RunOutcome,
    SeriesChoice,
    SliceScore,
)
from node.domain.study import SeriesState, Verdict
from node.report import codes
from node.report.build import BuiltObject, HeatmapPicture, Producer, ReportRequest, build_results
from node.report.reading import Node

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
STUDY = "1.2.826.0.1.3680043.2.1125.1"
SERIES = f"{STUDY}.2"
SCOUT = f"{STUDY}.1"
IODS = ("SCImage", "3DSR", "ParametricMap", "KeyObjectSelectionDocument")
"""What dciodvfy calls an object that it has understood."""
MADE_AT = datetime(2026, 3, 4, 23, 30, 5, 125000, tzinfo=UTC)


def source(uid: str, series: str, number: int, *, name: str = "Doe^Jane", **attributes: object) -> Dataset:
    """One CT header, as a scanner writes it."""
    data_set = Dataset()
    values: dict[str, object] = {
        "SOPClassUID": CT,
        "SOPInstanceUID": uid,
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": series,
        "FrameOfReferenceUID": f"{STUDY}.9",
        "PatientName": name,
        "PatientID": "P-17",
        "IssuerOfPatientID": "HOSPITAL",
        "PatientBirthDate": "19610203",
        "PatientSex": "F",
        "PatientAge": "065Y",
        "StudyDate": "20260304",
        "StudyTime": "101500",
        "StudyID": "S1",
        "AccessionNumber": "A-4711",
        "StudyDescription": "CT thorax",
        "ReferringPhysicianName": "Roe^Richard",
        "Modality": "CT",
        "Manufacturer": "Scanner Works",
        "ManufacturerModelName": "Spiral 64",
        "SoftwareVersions": "VA1",
        "BodyPartExamined": "CHEST",
        "InstanceNumber": number,
        "Rows": 512,
        "Columns": 512,
        **attributes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(data_set, keyword, value)
    return data_set


def model(status: ModelStatus = ModelStatus.DEMONSTRATION, weights: str = "ab") -> ModelIdentity:
    return ModelIdentity(
        name="covid-ct-lite0",
        version=1,
        status=status,
        spec_sha256="cd" * 32,
        weights_sha256=weights * 32,
        engine="openvino",
        engine_version="2026.0.0",
        precision=Precision.F32,
        device="CPU",
    )


def slices(count: int, positive: int, *, multi_frame: bool = False) -> tuple[SliceScore, ...]:
    """The middle half is selected; the first ``positive`` of those are positive."""
    first, last = count // 4, count // 4 + max(count // 2, positive)
    items = []
    for i in range(count):
        selected = first <= i < last
        is_positive = selected and i - first < positive
        items.append(
            SliceScore(
                sop_class_uid=ENHANCED_CT if multi_frame else CT,
                sop_instance_uid=f"{SERIES}.1" if multi_frame else f"{SERIES}.{i + 1}",
                frame=i + 1 if multi_frame else 1,
                instance_number=1 if multi_frame else i + 1,
                position=-200.0 + 2.5 * i,
                dark_count=100 * i,
                selected=selected,
                probability=(0.5 + i / (2 * count) if is_positive else i / (2 * count)) if selected else None,
                positive=is_positive,
            )
        )
    return tuple(items)


def choice(uid: str = SERIES, *, chosen: bool = True, **changes: object) -> SeriesChoice:
    base = SeriesChoice(
        series_instance_uid=uid,
        series_number=2,
        series_description="Thorax 2.5 B60f",
        modality="CT",
        instance_count=40,
        state=SeriesState.COMPLETE,
        verdict=Verdict.GEOMETRY,
        verdict_reason="40 positions 2.5 mm apart, lungs close at both ends, released, 30 s quiet",
        chosen=chosen,
        eligible=True,
        reason="The only axial chest series; its kernel is the nearest to the training data.",
    )
    return replace(base, **changes)


SCOUT_CHOICE = choice(
    SCOUT,
    chosen=False,
    series_number=1,
    series_description="Topogram",
    instance_count=1,
    verdict=Verdict.QUIET,
    verdict_reason="released, 120 s quiet",
    eligible=False,
    reason="A localizer.",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A request that a test varies."""

    outcome: Outcome = Outcome.POSITIVE
    run_outcome: RunOutcome = RunOutcome.SUCCEEDED
    count: int = 40
    positive: int = 8
    status: ModelStatus = ModelStatus.DEMONSTRATION
    weights: str = "ab"
    validated: bool = False
    warnings: tuple[str, ...] = ("Rests on thin slices only.",)
    choices: tuple[SeriesChoice, ...] = (SCOUT_CHOICE, choice())
    heatmaps: int = 3
    version: int = 1
    multi_frame: bool = False
    made_at: datetime = MADE_AT
    source: dict[str, object] = field(default_factory=dict)
    extra: tuple[Dataset, ...] = ()

    def request(self) -> ReportRequest:
        scored = slices(self.count, self.positive, multi_frame=self.multi_frame)
        if self.outcome is Outcome.NOT_ANALYSED:
            scored = ()
        strongest = sorted((item for item in scored if item.positive), key=lambda item: -item.probability)
        return ReportRequest(
            finding=self.finding(scored),
            evidence=[*self.evidence(), *self.extra],
            heatmaps=[
                HeatmapPicture(slice=item, rgb=np.full((64, 65, 3), rank, np.uint8), rank=rank)
                for rank, item in enumerate(strongest[: self.heatmaps], start=1)
            ],
            maps=(),
            summary=None,
            key_objects=False,
            version=self.version,
            recipe=f"recipe-{self.version}",
            predecessor=None if self.version == 1 else predecessor(),
            made_at=self.made_at,
            producer=Producer(
                manufacturer="Groundglass project",
                software_version="0.1.0",
                serial_number="node-1",
                station_ae_title="GROUNDGLASS",
            ),
        )

    def finding(self, scored: tuple[SliceScore, ...]) -> Finding:
        return Finding(
            outcome=self.outcome,
            run_outcome=self.run_outcome,
            reason="The share of positive slices decides.",
            warnings=self.warnings,
            choices=self.choices,
            series_instance_uid=SERIES if scored else None,
            selection_rule="in-body",
            selection_threshold="1/3",
            slices=scored,
            operating_point=OperatingPoint(
                name="screening",
                slice_threshold=0.5,
                share=Fraction(3, 10),
                chosen_on="pictures of a public collection",
                validated=self.validated,
            ),
            model=model(self.status, self.weights),
        )

    def evidence(self) -> list[Dataset]:
        scout = source(f"{SCOUT}.1", SCOUT, 1, **self.source)
        if self.multi_frame:
            attributes = {"SOPClassUID": ENHANCED_CT, "NumberOfFrames": self.count, **self.source}
            return [scout, source(f"{SERIES}.1", SERIES, 1, **attributes)]
        return [
            scout,
            *(source(f"{SERIES}.{i + 1}", SERIES, i + 1, **self.source) for i in range(self.count)),
        ]


def predecessor() -> ResultVersion:
    return ResultVersion(
        version=1,
        recipe="recipe-1",
        report_sop_instance_uid="2.25.11",
        report_sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
        report_series_instance_uid="2.25.12",
    )


def read(item: BuiltObject) -> Dataset:
    return pydicom.dcmread(io.BytesIO(item.data))


def report_of(case: Case) -> Dataset:
    return read(build_results(case.request())[-1])


@pytest.fixture
def errors_of(tmp_path: Path) -> Callable[[BuiltObject], list[str]]:
    """What dciodvfy finds wrong with an object."""

    def run(item: BuiltObject) -> list[str]:
        path = tmp_path / "object.dcm"
        path.write_bytes(item.data)
        if item.transfer_syntax_uid != "1.2.840.10008.1.2.1":  # dciodvfy reads no deflated data set
            subprocess.run(["dcmconv", "+te", path, path], check=True)
        tool = Path(sys.executable).with_name("dciodvfy")
        found = subprocess.run([tool, "-new", path], capture_output=True, text=True, check=False)
        lines = (found.stdout + found.stderr).splitlines()
        assert any(name in line for line in lines for name in IODS), lines
        return [line for line in lines if line.startswith("Error")]

    return run


CASES = {
    "positive": Case(),
    "negative": Case(outcome=Outcome.NEGATIVE, positive=0),
    "negative with positive slices": Case(outcome=Outcome.NEGATIVE, positive=2),
    "undetermined": Case(outcome=Outcome.UNDETERMINED, count=3, positive=0),
    "incomplete": Case(
        run_outcome=RunOutcome.PARTIALLY_SUCCEEDED,
        choices=(choice(verdict=Verdict.CAP, state=SeriesState.INCOMPLETE),),
    ),
    "not analysed": Case(
        outcome=Outcome.NOT_ANALYSED,
        run_outcome=RunOutcome.NOT_ATTEMPTED,
        choices=(SCOUT_CHOICE, choice(chosen=False, eligible=False, reason="Five slices only.")),
    ),
    "failed": Case(outcome=Outcome.NOT_ANALYSED, run_outcome=RunOutcome.FAILED),
    "version 2": Case(version=2),
    "validated": Case(status=ModelStatus.VALIDATED, validated=True),
    "untrained": Case(status=ModelStatus.UNTRAINED),
    "multi-frame": Case(multi_frame=True),
    "unicode": Case(
        source={"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Zoë=山田^太郎"},
        choices=(choice(series_description="Thorax Lungenfenster, größer"),),
    ),
    "bare": Case(
        source=dict.fromkeys(
            (
                "PatientName",
                "PatientID",
                "IssuerOfPatientID",
                "PatientBirthDate",
                "PatientSex",
                "PatientAge",
                "StudyDate",
                "StudyTime",
                "StudyID",
                "AccessionNumber",
                "ReferringPhysicianName",
                "Manufacturer",
                "FrameOfReferenceUID",
            )
        )
    ),
}


@cache
def results(name: str) -> list[BuiltObject]:
    return build_results(CASES[name].request())


@cache
def built(name: str) -> Dataset:
    """The report of a case; tests only read it."""
    return read(results(name)[-1])


def groups_of(data_set: Dataset) -> list[Node]:
    return Node(data_set).first(codes.IMAGING_MEASUREMENTS).all(codes.MEASUREMENT_GROUP)


def nodes(node: Node) -> list[Node]:
    return [node, *(found for child in node.children() for found in nodes(child))]
