"""Result objects of every kind, made of invented findings: what the tables of attributes are read from.

They differ in all that decides what an object holds, so what they have in common is always there.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ComputedRadiographyImageStorage

from node.dicom.write import PhantomLabels, phantom_data_sets
from node.domain.identity import derived_uid, digest
from node.domain.model import ModelIdentity, ModelStatus, Precision
from node.domain.preparation_spec import InputModality
from node.domain.result import (
    Finding,
    OperatingPoint,
    Outcome,
    ResultKind,
    ResultVersion,
    RunOutcome,
    SeriesChoice,
    SliceScore,
    Withdrawal,
)
from node.domain.study import SeriesState, Verdict
from node.imaging.phantom import ThoraxPhantom
from node.report.build import BuiltObject, HeatmapPicture, Producer, ReportRequest, build_results
from node.report.rejection import RejectionRequest, build_rejection
from node.report.request import MapSlice

LARGEST_MAP: Final = 1 << 20
"""In bytes; a sample's map is smaller, so it is filled up with padding."""
POSITIVE: Final = 2
"""Positive images of a sample."""
GEOMETRY: Final = (
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SliceLocation",
)
"""What a radiograph does not have."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one result set is about."""

    name: str
    modality: InputModality
    outcome: Outcome
    version: int = 1
    side: int
    """Rows and columns of all images."""
    made_at: datetime
    status: ModelStatus = ModelStatus.VALIDATED
    lossy: bool = False
    offset: str = ""
    """TimezoneOffsetFromUTC of the source."""


SAMPLES: Final = (
    Sample(
        name="first",
        side=64,
        modality=InputModality.CT,
        outcome=Outcome.POSITIVE,
        made_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    ),
    Sample(
        name="second",
        side=96,
        modality=InputModality.CT,
        outcome=Outcome.POSITIVE,
        version=2,
        made_at=datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
        status=ModelStatus.DEMONSTRATION,
        lossy=True,
        offset="+0100",
    ),
    Sample(
        name="third",
        side=64,
        modality=InputModality.CR,
        outcome=Outcome.POSITIVE,
        made_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        status=ModelStatus.UNTRAINED,
    ),
    Sample(
        name="fourth",
        side=96,
        modality=InputModality.CT,
        outcome=Outcome.NOT_ANALYSED,
        made_at=datetime(2026, 4, 5, 6, 7, 8, tzinfo=UTC),
    ),
)


def sample_objects() -> dict[ResultKind, list[Dataset]]:
    """Return the data sets of every kind, of all samples, without pixel data."""
    found: dict[ResultKind, list[Dataset]] = {kind: [] for kind in ResultKind}
    for sample in SAMPLES:
        request = _request(sample)
        made = build_results(request)
        headers = [_header(item) for item in made]
        for item, header in zip(made, headers, strict=True):
            found[item.kind].append(header)
        found[ResultKind.REJECTION].append(_header(_rejection(request, headers)))
    return found


def _header(item: BuiltObject) -> Dataset:
    return pydicom.dcmread(io.BytesIO(item.data))


def _rejection(request: ReportRequest, withdrawn: Sequence[Dataset]) -> BuiltObject:
    return build_rejection(
        RejectionRequest(
            withdrawn=withdrawn,
            title=Withdrawal.QUALITY if request.version == 1 else Withdrawal.PATIENT_SAFETY,
            reason="a reason",
            version=request.version,
            model=request.finding.model,
            made_at=request.made_at,
            producer=request.producer,
        )
    )


def _request(sample: Sample) -> ReportRequest:
    evidence = list(_sources(sample))
    analysed = sample.outcome is not Outcome.NOT_ANALYSED
    slices = tuple(_score(number, item) for number, item in enumerate(evidence)) if analysed else ()
    positive = [item for item in slices if item.positive]
    shape = (sample.side, sample.side)
    picture = np.zeros((*shape, 3), np.uint8)
    directions = ("L", "F") if sample.modality is InputModality.CR else ("L", "P")
    return ReportRequest(
        finding=_finding(sample, evidence[0], slices),
        evidence=evidence,
        heatmaps=[
            HeatmapPicture(slice=item, rgb=picture, rank=rank, directions=directions)
            for rank, item in enumerate(positive, start=1)
        ],
        map_series_bytes=LARGEST_MAP,
        maps=[
            MapSlice(slice=item, values=np.full(shape, 1 / sample.side, np.float32), rank=rank)
            for rank, item in enumerate(positive, start=1)
        ],
        summary=picture if analysed else None,
        key_objects=True,
        version=sample.version,
        recipe=sample.name,
        predecessor=None if sample.version == 1 else _predecessor(sample),
        made_at=sample.made_at,
        producer=Producer(
            manufacturer=f"manufacturer of the {sample.name}",
            software_version=f"version of the {sample.name}",
            serial_number=f"number of the {sample.name}",
            station_ae_title=sample.name.upper(),
        ),
    )


def _sources(sample: Sample) -> Iterator[Dataset]:
    labels = PhantomLabels(
        identity=sample.name, patient_id=sample.name, patient_name=f"Phantom^{sample.name}"
    )
    phantom = ThoraxPhantom(slices=2 * POSITIVE, rows=sample.side)
    for item in phantom_data_sets(phantom, labels):
        del item.PixelData
        if sample.modality is InputModality.CR:
            item.SOPClassUID, item.Modality = ComputedRadiographyImageStorage, "CR"
            for keyword in GEOMETRY:
                if keyword in item:
                    delattr(item, keyword)
        if sample.lossy:
            item.LossyImageCompression = "01"
            item.LossyImageCompressionRatio, item.LossyImageCompressionMethod = 10, "ISO_10918_1"
            item.PositionReferenceIndicator = "SN"
        if sample.offset:
            item.TimezoneOffsetFromUTC = sample.offset
            item.RequestAttributesSequence = [_order()]
        yield item


def _order() -> Dataset:
    order = Dataset()
    order.RequestedProcedureID, order.ScheduledProcedureStepID = "P1", "S1"
    return order


def _score(number: int, item: Dataset) -> SliceScore:
    positive = number < POSITIVE
    return SliceScore(
        sop_class_uid=str(item.SOPClassUID),
        sop_instance_uid=str(item.SOPInstanceUID),
        frame=1,
        instance_number=number + 1,
        position=10.0 * number,
        dark_count=0,
        selected=True,
        probability=0.9 if positive else 0.1,
        positive=positive,
    )


def _finding(sample: Sample, item: Dataset, slices: tuple[SliceScore, ...]) -> Finding:
    choice = SeriesChoice(
        series_instance_uid=str(item.SeriesInstanceUID),
        series_number=2,
        series_description="a series",
        modality=str(item.Modality),
        instance_count=2 * POSITIVE,
        state=SeriesState.COMPLETE,
        verdict=Verdict.QUIET,
        verdict_reason="a reason",
        chosen=bool(slices),
        eligible=bool(slices),
        reason="a reason",
    )
    return Finding(
        outcome=sample.outcome,
        run_outcome=RunOutcome.SUCCEEDED if slices else RunOutcome.NOT_ATTEMPTED,
        reason="a reason",
        warnings=("a warning",),
        choices=(choice,),
        series_instance_uid=choice.series_instance_uid if slices else None,
        selection_rule="a rule",
        selection_threshold="",
        slices=slices,
        operating_point=OperatingPoint(
            name="a point",
            slice_threshold=0.5,
            share=Fraction(3, 10),
            chosen_on="nothing",
            validated=sample.status is ModelStatus.VALIDATED,
        ),
        model=ModelIdentity(
            name=f"model-{sample.name}",
            version=1,
            status=sample.status,
            spec_sha256="0" * 64,
            weights_sha256=digest(sample.name),
            engine="engine",
            engine_version="1",
            precision=Precision.F32,
            device="CPU",
        ),
        modality=sample.modality,
    )


def _predecessor(sample: Sample) -> ResultVersion:
    return ResultVersion(
        version=sample.version - 1,
        recipe="earlier",
        report_sop_instance_uid=derived_uid("earlier", sample.name),
        report_sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR Storage
        report_series_instance_uid=derived_uid("earlier series", sample.name),
    )
