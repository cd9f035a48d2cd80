"""A heatmap for any viewer: a true-colour Secondary Capture image (PS3.3 A.8.1)."""

from __future__ import annotations

from typing import Final

import numpy as np
from highdicom.sr import CodedConcept
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from node.domain.errors import ReportImpossible
from node.domain.result import ResultKind
from node.report import codes, inherited, text
from node.report.envelope import envelope
from node.report.evidence import Evidence
from node.report.identity import MAX_HEATMAPS
from node.report.request import BuiltObject, HeatmapPicture, ReportRequest

PIXEL_DATA: Final = BaseTag(0x7FE00010)
LARGEST_SIDE: Final = 65535  # Rows and Columns are of VR US
LOSSY: Final = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def build_heatmap(request: ReportRequest, picture: HeatmapPicture, evidence: Evidence) -> BuiltObject:
    """Build one heatmap image.

    Raises
    ------
    ReportImpossible
        The picture is not of shape (rows, columns, 3) and type uint8, or its rank is out of range.
    """
    _check(picture)
    frame = envelope(
        request,
        evidence.donor,
        kind=ResultKind.HEATMAP,
        index=picture.rank,
    )
    image = frame.data_set
    # General Series (PS3.3 C.7.3.1)
    image.Modality = "OT"
    image.BodyPartExamined = "CHEST"  # not paired: Laterality (Type 2C) is absent, whatever the source says
    inherited.copy(evidence.donor, image, ("RequestAttributesSequence", "ReferencedRequestSequence"))
    # SC Equipment and SC Image (PS3.3 C.8.6)
    image.ConversionType = "WSD"
    image.DateOfSecondaryCapture = image.ContentDate
    image.TimeOfSecondaryCapture = image.ContentTime
    _add_general_image(image, request, picture, evidence)
    _add_pixels(image, picture)
    return frame.seal()


def _check(picture: HeatmapPicture) -> None:
    rgb = picture.rgb
    is_rgb = rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3
    if not is_rgb or not all(0 < side <= LARGEST_SIDE for side in rgb.shape):
        raise ReportImpossible(f"a heatmap is uint8 (rows, columns, 3), not {rgb.dtype} {rgb.shape}")
    if not 1 <= picture.rank <= MAX_HEATMAPS:
        raise ReportImpossible(f"heatmap rank {picture.rank} is not within 1..{MAX_HEATMAPS}")


def _add_general_image(
    image: Dataset, request: ReportRequest, picture: HeatmapPicture, evidence: Evidence
) -> None:
    """General Image and General Reference (PS3.3 C.7.6.1, C.12.4)."""
    image.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    image.PatientOrientation = list(picture.directions) or None
    image.BurnedInAnnotation = "NO"  # the banner names neither patient nor date (PS3.3 C.7.6.1.1)
    image.RecognizableVisualFeatures = "NO"
    image.ImageComments = text.heatmap_comment(picture.slice, request.finding)
    image.DerivationDescription = text.derivation(request.finding)
    inherited.copy(evidence.donor, image, LOSSY)  # once lossy, always said (PS3.3 C.7.6.1.1.5)
    reference = evidence.frame(picture.slice)
    source = Dataset()
    source.ReferencedSOPClassUID = reference.sop_class_uid
    source.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if reference.frames:
        source.ReferencedFrameNumber = list(reference.frames)
    source.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.SOURCE_IMAGE)]
    image.SourceImageSequence = [source]


def _add_pixels(image: Dataset, picture: HeatmapPicture) -> None:
    """Image Pixel (PS3.3 C.7.6.3): RGB, 8 bits, colour by pixel."""
    image.SamplesPerPixel = 3
    image.PhotometricInterpretation = "RGB"
    image.PlanarConfiguration = 0
    image.Rows, image.Columns = picture.rgb.shape[:2]
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.PixelRepresentation = 0
    pixels = np.ascontiguousarray(picture.rgb).tobytes()
    image.add(DataElement(PIXEL_DATA, "OB", pixels + b"\0" * (len(pixels) % 2)))
