"""Where one frame of a source image lies in the patient, in the standard's own words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from node.report import inherited
from node.report.identity import frame_of_reference_uid

LONGEST_DECIMAL: Final = 16  # PS3.5 table 6.2-1, VR DS


DIRECTIONS: Final = {  # PS3.3 C.7.6.1.1.1 and C.7.6.2.1.1: x to the left, y to the back, z to the head
    "L": (1, 0, 0),
    "R": (-1, 0, 0),
    "P": (0, 1, 0),
    "A": (0, -1, 0),
    "H": (0, 0, 1),
    "F": (0, 0, -1),
}
UPRIGHT: Final = ("L", "F")
"""Directions of a radiograph that does not say its own: the node takes it as upright, seen from the front."""


@dataclass(frozen=True, kw_only=True)
class FramePlace:
    """Values of the functional groups that place a frame (PS3.3 C.7.6.16.2.1, .3, .4)."""

    frame_of_reference_uid: str
    """Empty where it is nominal."""
    position_reference_indicator: str
    image_position: tuple[str, ...]
    """ImagePositionPatient (0020,0032): x, y, z in mm."""
    image_orientation: tuple[str, ...]
    """ImageOrientationPatient (0020,0037): direction cosines of the rows, then of the columns."""
    pixel_spacing: tuple[str, ...]
    """PixelSpacing (0028,0030): between rows, between columns, in mm; empty where unknown."""
    slice_thickness: tuple[str, ...]
    """In mm; empty where unknown."""
    nominal: bool
    """Whether the source has no place in the patient."""


def place_of(instance: Dataset | None, frame: int) -> FramePlace:
    """Return where a frame lies, in the source's own values where they may be written.

    A projection has no place in the patient, but a map must have one (PS3.3 tables A.75-1 and A.75-2). Its
    nominal one has the first pixel as the origin.

    Parameters
    ----------
    instance : pydicom.dataset.Dataset or None
        A source image of one frame or of several; None where it is not at hand.
    frame : int
        Frame number from 1.
    """
    source = Dataset() if instance is None else instance
    position = _numbers(_group(source, frame, "PlanePositionSequence"), "ImagePositionPatient", 3)
    cosines = _numbers(_group(source, frame, "PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    measures = _group(source, frame, "PixelMeasuresSequence")
    if not position or not cosines:
        return _projection(source, measures)
    clean = Dataset()
    inherited.copy(source, clean, ("FrameOfReferenceUID", "PositionReferenceIndicator"))
    series = inherited.text(source, "SeriesInstanceUID")
    return FramePlace(
        frame_of_reference_uid=str(clean.get("FrameOfReferenceUID") or frame_of_reference_uid(series)),
        position_reference_indicator=str(clean.get("PositionReferenceIndicator") or ""),
        image_position=position,
        image_orientation=cosines,
        pixel_spacing=_positive(_numbers(measures, "PixelSpacing", 2)),
        slice_thickness=_positive(_numbers(measures, "SliceThickness", 1)),
        nominal=False,
    )


def _projection(source: Dataset, measures: Dataset) -> FramePlace:
    spacing = _positive(_numbers(measures, "PixelSpacing", 2))
    return FramePlace(
        frame_of_reference_uid="",
        position_reference_indicator="",
        image_position=("0", "0", "0"),
        image_orientation=_cosines(inherited.text(source, "PatientOrientation").upper().split("\\")),
        pixel_spacing=spacing or _positive(_numbers(source, "ImagerPixelSpacing", 2)),
        slice_thickness=(),
        nominal=True,
    )


def _cosines(directions: list[str]) -> tuple[str, ...]:
    """Return the direction cosines of a PatientOrientation, of each direction by its main letter."""
    letters = [direction.strip()[:1] for direction in directions]
    known = [DIRECTIONS[letter] for letter in letters if letter in DIRECTIONS]
    if len(letters) != 2 or len(known) != 2 or sum(a * b for a, b in zip(*known, strict=True)):
        known = [DIRECTIONS[letter] for letter in UPRIGHT]
    return tuple(str(value) for direction in known for value in direction)


def _group(source: Dataset, frame: int, keyword: str) -> Dataset:
    """Return what holds a functional group: the frame's own, else the shared one, else the data set."""
    own = inherited.sequence(source, "PerFrameFunctionalGroupsSequence")[frame - 1 : frame]
    groups = [*own, *inherited.sequence(source, "SharedFunctionalGroupsSequence")[:1]]
    if not groups:
        return source
    return next((item for group in groups for item in inherited.sequence(group, keyword)), Dataset())


def _numbers(holder: Dataset, keyword: str, count: int) -> tuple[str, ...]:
    parts = [part.strip() for part in inherited.text(holder, keyword).split("\\")]
    if len(parts) != count:
        return ()
    try:
        values = [float(part) for part in parts]
    except ValueError:
        return ()
    if not all(map(math.isfinite, values)):
        return ()
    return tuple(
        part if len(part) <= LONGEST_DECIMAL else str(DSfloat(value, auto_format=True))
        for part, value in zip(parts, values, strict=True)
    )


def _positive(values: tuple[str, ...]) -> tuple[str, ...]:
    return values if all(float(value) > 0 for value in values) else ()
