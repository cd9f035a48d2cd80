"""Pictures for any viewer: true-colour Secondary Capture images (PS3.3 A.8.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from node.decide.shown import on_sheet
from node.domain.errors import ReportImpossible
from node.domain.result import ResultKind
from node.report import codes, inherited, picture_text, text
from node.report.content import Reference
from node.report.envelope import envelope
from node.report.evidence import Evidence
from node.report.identity import MAX_HEATMAPS
from node.report.request import BuiltObject, HeatmapPicture, ReportRequest

PIXEL_DATA: Final = BaseTag(0x7FE00010)
LARGEST_SIDE: Final = 65535  # Rows and Columns are of VR US


@dataclass(frozen=True, kw_only=True)
class _Picture:
    """What pictures do not have in common."""

    kind: ResultKind
    index: int
    rgb: NDArray[np.uint8]
    directions: tuple[str, ...]
    """PatientOrientation (0020,0020); empty where there is no single one."""
    comment: str
    derivation: str
    sources: Sequence[Reference]
    """The images under it."""


def build_heatmap(request: ReportRequest, picture: HeatmapPicture, evidence: Evidence) -> BuiltObject:
    """Build one heatmap image.

    Raises
    ------
    ReportImpossible
        The picture is not of shape (rows, columns, 3) and type uint8, or its rank is out of range.
    """
    if not 1 <= picture.rank <= MAX_HEATMAPS:
        raise ReportImpossible(f"heatmap rank {picture.rank} is not within 1..{MAX_HEATMAPS}")
    words = request.producer.wording
    made = _Picture(
        kind=ResultKind.HEATMAP,
        index=picture.rank,
        rgb=picture.rgb,
        directions=picture.directions,
        comment=text.heatmap_comment(words, picture.slice, request.finding),
        derivation=text.derivation(words, request.finding),
        sources=[evidence.frame(picture.slice)],
    )
    return _build(request, made, evidence)


def build_summary(request: ReportRequest, evidence: Evidence) -> BuiltObject:
    """Build the contact sheet's image; it refers to the images that it shows.

    Raises
    ------
    ReportImpossible
        There is no contact sheet, or it is not of shape (rows, columns, 3) and type uint8.
    """
    if request.summary is None:
        raise ReportImpossible("no contact sheet was made; screen the study again")
    finding, words = request.finding, request.producer.wording
    made = _Picture(
        kind=ResultKind.SUMMARY,
        index=0,
        rgb=request.summary,
        directions=(),
        comment=picture_text.summary_comment(words, finding),
        derivation=picture_text.summary_derivation(words, finding),
        sources=evidence.frames(finding.slices[index] for index in sorted(on_sheet(finding))),
    )
    return _build(request, made, evidence)


def _build(request: ReportRequest, picture: _Picture, evidence: Evidence) -> BuiltObject:
    _check(picture.rgb)
    frame = envelope(request, evidence.donor, kind=picture.kind, index=picture.index)
    image = frame.data_set
    # General Series (PS3.3 C.7.3.1)
    image.Modality = "OT"
    image.BodyPartExamined = "CHEST"  # not paired: Laterality (Type 2C) is absent, whatever the source says
    inherited.copy(evidence.donor, image, ("RequestAttributesSequence", "ReferencedRequestSequence"))
    # SC Equipment and SC Image (PS3.3 C.8.6)
    image.ConversionType = "WSD"
    image.DateOfSecondaryCapture = image.ContentDate
    image.TimeOfSecondaryCapture = image.ContentTime
    _add_general_image(image, picture, evidence)
    _add_pixels(image, picture.rgb)
    return frame.seal()


def _check(rgb: NDArray[np.uint8]) -> None:
    is_rgb = rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3
    if not is_rgb or not all(0 < side <= LARGEST_SIDE for side in rgb.shape):
        raise ReportImpossible(f"a picture is uint8 (rows, columns, 3), not {rgb.dtype} {rgb.shape}")


def _add_general_image(image: Dataset, picture: _Picture, evidence: Evidence) -> None:
    """General Image and General Reference (PS3.3 C.7.6.1, C.12.4)."""
    image.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    image.PatientOrientation = list(picture.directions) or None
    image.BurnedInAnnotation = "NO"  # no text in it names patient or date (PS3.3 C.7.6.1.1)
    image.RecognizableVisualFeatures = "NO"
    image.ImageComments = picture.comment
    image.DerivationDescription = picture.derivation
    image.update(evidence.compression(picture.sources))
    image.SourceImageSequence = [_source(reference) for reference in picture.sources]


def _source(reference: Reference) -> Dataset:
    source = Dataset()
    source.ReferencedSOPClassUID = reference.sop_class_uid
    source.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if reference.frames:
        source.ReferencedFrameNumber = list(reference.frames)
    source.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.SOURCE_IMAGE)]
    return source


def _add_pixels(image: Dataset, rgb: NDArray[np.uint8]) -> None:
    """Image Pixel (PS3.3 C.7.6.3): RGB, 8 bits, colour by pixel."""
    image.SamplesPerPixel = 3
    image.PhotometricInterpretation = "RGB"
    image.PlanarConfiguration = 0
    image.Rows, image.Columns = rgb.shape[:2]
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.PixelRepresentation = 0
    pixels = np.ascontiguousarray(rgb).tobytes()
    image.add(DataElement(PIXEL_DATA, "OB", pixels + b"\0" * (len(pixels) % 2)))
