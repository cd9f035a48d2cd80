"""Functional groups of the maps as data (PS3.3 table A.75-2): what all frames share, and each one's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from node.domain.result import Finding, SliceScore
from node.domain.wording import Wording
from node.report import codes, text
from node.report.content import Reference
from node.report.frame_place import FramePlace

FRAME_TYPE: Final = ("DERIVED", "PRIMARY", "VOLUME", "QUANTITY")  # PS3.3 C.8.32.2.1, C.8.16.1
LABEL: Final = "GRADCAM"  # LUT Label, VR SH


@dataclass(frozen=True, kw_only=True)
class MapFrame:
    """One frame of a map."""

    slice: SliceScore
    values: NDArray[np.float32]
    """Array of shape (rows, columns), as the source is stored."""
    place: FramePlace
    """Where the source lies."""
    shrunk: tuple[float, float]
    """Rows and columns of the source in one of the map's; 1 where the map lies pixel by pixel on it."""
    reference: Reference
    """The source."""
    is_padding: bool = False
    """Whether the slice has no map and all values are padding."""


@dataclass(frozen=True, kw_only=True)
class ActivationSpan:
    """The range of a map's values, and the unit in which they are stored."""

    lowest: float
    """As stored."""
    highest: float
    """As stored: 0, or from a half to less than 1."""
    exponent: int
    """The unit is two to this power, so that no value is rounded."""

    @property
    def unit(self) -> float:
        """Return the activation of a stored 1."""
        return math.ldexp(1.0, self.exponent)


def activation_span(frames: Sequence[MapFrame]) -> ActivationSpan:
    """Return the span of a map of which at least one frame is no padding.

    How high class activation is depends on the network. OHIF (3.13) draws stored values from 0 to 1 whatever
    their mapping to real-world values is: what is below a tenth would hardly be seen, and all above 1 alike.
    """
    mapped = [frame.values for frame in frames if not frame.is_padding]
    lowest = min(float(values.min()) for values in mapped)
    highest = max(float(values.max()) for values in mapped)
    exponent = math.frexp(highest)[1]
    return ActivationSpan(
        lowest=math.ldexp(lowest, -exponent), highest=math.ldexp(highest, -exponent), exponent=exponent
    )


def shared_groups(
    words: Wording, finding: Finding, frames: Sequence[MapFrame], span: ActivationSpan
) -> Dataset:
    """Return the item of the Shared Functional Groups Sequence.

    Parameters
    ----------
    words : Wording
    finding : Finding
    frames : sequence of MapFrame
    span : ActivationSpan
        Of the frames.
    """
    shared = Dataset()
    # Pixel Value Transformation, the identity (C.7.6.16.2.9b)
    identity = Dataset()
    identity.RescaleIntercept, identity.RescaleSlope, identity.RescaleType = "0", "1", "US"
    shared.PixelValueTransformationSequence = [identity]
    # Frame VOI LUT With LUT (C.7.6.16.2.10b): floats smaller than 1 have no window of the other functions
    window = Dataset()
    width = span.highest - span.lowest or 1.0
    window.WindowCenter = DSfloat(span.lowest + width / 2, auto_format=True)
    window.WindowWidth = DSfloat(width, auto_format=True)
    window.VOILUTFunction = "LINEAR_EXACT"
    shared.FrameVOILUTSequence = [window]
    shared.RealWorldValueMappingSequence = [_quantity(words, finding, span)]
    # Frame Anatomy (C.7.6.16.2.8)
    anatomy = Dataset()
    anatomy.FrameLaterality = "U"
    anatomy.AnatomicRegionSequence = [CodedConcept.from_code(codes.CHEST)]
    shared.FrameAnatomySequence = [anatomy]
    # Parametric Map Frame Type (C.8.32.3.1)
    frame_type = Dataset()
    frame_type.FrameType = list(FRAME_TYPE)
    shared.ParametricMapFrameTypeSequence = [frame_type]
    if _same_plane(frames):
        _add_plane(shared, frames[0])
    return shared


def in_order(frames: Sequence[MapFrame]) -> list[MapFrame]:
    """Return frames along the normal of the first one, rows times columns, as viewers order slices."""
    normal = np.cross(*np.reshape(np.array(frames[0].place.image_orientation, float), (2, 3)))
    return sorted(frames, key=lambda frame: float(np.array(frame.place.image_position, float) @ normal))


def frame_groups(words: Wording, frames: Sequence[MapFrame]) -> list[Dataset]:
    """Return the items of the Per-frame Functional Groups Sequence, of frames in order."""
    same_plane = _same_plane(frames)
    return [_own(words, frame, place, same_plane) for place, frame in enumerate(frames, start=1)]


def _own(words: Wording, frame: MapFrame, along: int, same_plane: bool) -> Dataset:
    own = Dataset()
    # Frame Content (C.7.6.16.2.2)
    frame_content = Dataset()
    frame_content.StackID = "1"
    frame_content.InStackPositionNumber = frame_content.DimensionIndexValues = along
    if frame.is_padding:
        frame_content.FrameComments = words("report.no-map")
    own.FrameContentSequence = [frame_content]
    position = Dataset()
    position.ImagePositionPatient = list(frame.place.image_position)
    own.PlanePositionSequence = [position]
    if not same_plane:
        _add_plane(own, frame)
    own.DerivationImageSequence = [_derivation(frame)]
    return own


def _quantity(words: Wording, finding: Finding, span: ActivationSpan) -> Dataset:
    """Real World Value Mapping (C.7.6.16.2.11): to the values as they came from the network, of no unit."""
    mapping = Dataset()
    mapping.LUTExplanation = text.map_description(words, finding)
    mapping.LUTLabel = LABEL
    mapping.MeasurementUnitsCodeSequence = [CodedConcept.from_code(codes.NO_UNITS)]
    mapping.DoubleFloatRealWorldValueFirstValueMapped = span.lowest
    mapping.DoubleFloatRealWorldValueLastValueMapped = span.highest
    mapping.RealWorldValueIntercept = 0.0
    mapping.RealWorldValueSlope = span.unit
    quantity = Dataset()
    quantity.ValueType = "CODE"
    quantity.ConceptNameCodeSequence = [CodedConcept.from_code(codes.QUANTITY)]
    quantity.ConceptCodeSequence = [CodedConcept.from_code(codes.CLASS_ACTIVATION)]
    mapping.QuantityDefinitionSequence = [quantity]
    return mapping


def _derivation(frame: MapFrame) -> Dataset:
    """Derivation Image (C.7.6.16.2.6)."""
    source = Dataset()
    source.ReferencedSOPClassUID = frame.reference.sop_class_uid
    source.ReferencedSOPInstanceUID = frame.reference.sop_instance_uid
    if frame.reference.frames:
        source.ReferencedFrameNumber = list(frame.reference.frames)
    source.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.SOURCE_IMAGE)]
    source.SpatialLocationsPreserved = "YES" if frame.shrunk == (1, 1) else "NO"
    item = Dataset()
    item.DerivationCodeSequence = [CodedConcept.from_code(codes.GRAD_CAM)]
    item.SourceImageSequence = [source]
    return item


def _same_plane(frames: Sequence[MapFrame]) -> bool:
    """Whether all frames have one orientation and one size of pixels."""
    return len({_plane(frame) for frame in frames}) == 1


def _plane(frame: MapFrame) -> tuple[object, ...]:
    place = frame.place
    return place.image_orientation, place.pixel_spacing, place.slice_thickness, frame.shrunk


def _add_plane(group: Dataset, frame: MapFrame) -> None:
    """Pixel Measures and Plane Orientation (C.7.6.16.2.1, C.7.6.16.2.4)."""
    measures = Dataset()
    place = frame.place
    if place.pixel_spacing:
        measures.PixelSpacing = [
            value if factor == 1 else DSfloat(float(value) * factor, auto_format=True)
            for value, factor in zip(place.pixel_spacing, frame.shrunk, strict=True)
        ]
    if place.slice_thickness:
        measures.SliceThickness = place.slice_thickness[0]
    group.PixelMeasuresSequence = [measures]
    orientation = Dataset()
    orientation.ImageOrientationPatient = list(place.image_orientation)
    group.PlaneOrientationSequence = [orientation]
