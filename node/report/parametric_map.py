"""The maps as data: Parametric Map images in the geometry of the source (PS3.3 A.75)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from node.domain.errors import ReportImpossible
from node.domain.result import ResultKind
from node.report import content, inherited, text
from node.report.deflated_map import deflated
from node.report.envelope import envelope
from node.report.evidence import Evidence, common_references
from node.report.frame_place import place_of
from node.report.identity import dimension_uid, frame_of_reference_uid, result_series_uid
from node.report.map_groups import (
    FRAME_TYPE,
    MapFrame,
    activation_span,
    frame_groups,
    in_order,
    shared_groups,
)
from node.report.map_padding import PADDING, padded
from node.report.request import BuiltObject, MapSlice, ReportRequest

MAP_LABEL: Final = "GRADCAM"


@dataclass(frozen=True, kw_only=True)
class BuiltMap:
    """One Parametric Map with the slices that its frames show."""

    made: BuiltObject
    frames: Mapping[tuple[str, int], int]
    """Number of the frame with values, from 1, by (SOPInstanceUID, frame) of the slice under it."""


def build_maps(request: ReportRequest, evidence: Evidence) -> list[BuiltMap]:
    """Build the maps: one image with a frame for each slice, and frames that fill its gaps.

    The frames lie along the normal, for OHIF (3.13) lays them over the slices of the series in that order,
    whatever place each one names.
    The frames of one image share a frame of reference and a size; each radiograph has an image by itself.

    Raises
    ------
    ReportImpossible
        A map is not a float32 array of the size of its slice, or has a value that is no number.
    """
    alike: dict[tuple[object, ...], list[MapFrame]] = {}
    for item in sorted(request.maps, key=lambda item: item.rank):
        frame = _frame(item, evidence)
        alone = (item.slice.sop_instance_uid, item.slice.frame) if frame.place.nominal else ()
        alike.setdefault((item.values.shape, frame.place.frame_of_reference_uid, alone), []).append(frame)
    return [
        _built(request, in_order(padded(request, frames, evidence)), evidence, index)
        for index, frames in enumerate(alike.values())
    ]


def _built(request: ReportRequest, frames: Sequence[MapFrame], evidence: Evidence, index: int) -> BuiltMap:
    return BuiltMap(
        made=_build(request, frames, evidence, index),
        frames={
            (frame.slice.sop_instance_uid, frame.slice.frame): number
            for number, frame in enumerate(frames, start=1)
            if not frame.is_padding
        },
    )


def _frame(item: MapSlice, evidence: Evidence) -> MapFrame:
    values = item.values
    if values.dtype != np.float32 or values.ndim != 2 or not values.size:
        raise ReportImpossible(f"a map is float32 (rows, columns), not {values.dtype} {values.shape}")
    if not np.isfinite(values).all():
        raise ReportImpossible("a map has values that are no numbers; see `groundglass models verify`")
    instance = evidence.instance(item.slice.sop_instance_uid)
    place = place_of(instance, item.slice.frame)
    size = _size(instance) or (values.shape[0], values.shape[1])
    if not place.nominal and size != values.shape:
        raise ReportImpossible(f"a map of {values.shape} pixels does not lie on a slice of {size}")
    return MapFrame(
        slice=item.slice,
        values=values,
        place=place,
        shrunk=(size[0] / values.shape[0], size[1] / values.shape[1]),
        reference=evidence.frame(item.slice),
    )


def _size(instance: Dataset | None) -> tuple[int, int] | None:
    clean = Dataset()
    if instance is not None:
        inherited.copy(instance, clean, ("Rows", "Columns"))
    return (int(clean.Rows), int(clean.Columns)) if "Rows" in clean and "Columns" in clean else None


def _build(request: ReportRequest, frames: Sequence[MapFrame], evidence: Evidence, index: int) -> BuiltObject:
    kind, place = ResultKind.PARAMETRIC_MAP, frames[0].place
    own = result_series_uid(evidence.study_instance_uid, request.finding.model.name, kind)
    frame = envelope(
        request,
        evidence.donor,
        kind=kind,
        index=index,
        frame_of_reference_uid=place.frame_of_reference_uid or frame_of_reference_uid(own),
    )
    image = frame.data_set
    image.PositionReferenceIndicator = place.position_reference_indicator or None
    # General Series (PS3.3 C.7.3.1): not the source's modality, or viewers hang the maps as a scan
    image.Modality = "OT"
    image.BodyPartExamined = "CHEST"  # not paired: Laterality (Type 2C) is absent, whatever the source says
    inherited.copy(evidence.donor, image, ("RequestAttributesSequence", "ReferencedRequestSequence"))
    _add_image(image, request, frames, evidence)
    # Multi-frame Functional Groups and Dimension (PS3.3 C.7.6.16, C.7.6.17)
    image.NumberOfFrames = len(frames)
    span = activation_span(frames)
    image.SharedFunctionalGroupsSequence = [
        shared_groups(request.producer.wording, request.finding, frames, span)
    ]
    image.PerFrameFunctionalGroupsSequence = frame_groups(request.producer.wording, frames)
    _add_dimensions(image)
    # Common Instance Reference (PS3.3 C.12.2)
    image.ReferencedSeriesSequence = common_references(
        (evidence.series_of(item.reference.sop_instance_uid), item.reference) for item in frames
    )
    image.CodingSchemeIdentificationSequence = [content.private_scheme(request.producer.wording)]
    _add_pixels(image, frames)
    return frame.seal_deflated(partial(deflated, frames=frames, exponent=span.exponent))


def _add_image(
    image: Dataset, request: ReportRequest, frames: Sequence[MapFrame], evidence: Evidence
) -> None:
    """Parametric Map Image, General Reference and Acquisition Context (PS3.3 C.8.32.2, C.12.4, C.7.6.14)."""
    words = request.producer.wording
    image.ImageType = list(FRAME_TYPE)
    image.PixelPresentation = "MONOCHROME"
    image.ContentQualification = "RESEARCH"
    image.ContentLabel = MAP_LABEL
    image.ContentDescription = text.map_description(words, request.finding)
    image.ContentCreatorName = None
    is_padded = any(frame.is_padding for frame in frames)
    image.DerivationDescription = text.map_derivation(words, request.finding, is_padded=is_padded)
    image.BurnedInAnnotation = "NO"
    image.RecognizableVisualFeatures = "NO"
    image.PresentationLUTShape = "IDENTITY"
    image.update(evidence.compression(frame.reference for frame in frames))
    if image.get("LossyImageCompression") != "01":
        image.LossyImageCompression = "00"
    image.AcquisitionContextSequence = []


def _add_dimensions(image: Dataset) -> None:
    """One dimension: the place along the stack."""
    uid = dimension_uid(str(image.SOPInstanceUID))
    organization = Dataset()
    organization.DimensionOrganizationUID = uid
    image.DimensionOrganizationSequence = [organization]
    index = Dataset()
    index.DimensionOrganizationUID = uid
    index.DimensionIndexPointer = BaseTag(0x00209057)  # In-Stack Position Number
    index.FunctionalGroupPointer = BaseTag(0x00209111)  # Frame Content Sequence
    image.DimensionIndexSequence = [index]


def _add_pixels(image: Dataset, frames: Sequence[MapFrame]) -> None:
    """Floating Point Image Pixel (PS3.3 C.7.6.24): one 32-bit float a pixel, put in when it is sealed."""
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = frames[0].values.shape
    image.BitsAllocated = 32
    if any(frame.is_padding for frame in frames):
        image.FloatPixelPaddingValue = image.FloatPixelPaddingRangeLimit = PADDING
