"""Attributes of one frame: of the data set, or of the functional groups of a multi-frame object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from node.dicom.elements import Attributes
from node.dicom.tags import Tag
from node.domain.study import FrameGeometry

HOUNSFIELD = frozenset({"", "HU"})  # PS3.3 C.11.1.1.2; absent means HU on a CT image (C.8.2.1)


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """Stored value to output unit (PS3.3 C.11.1)."""

    slope: float
    intercept: float


class FrameAttributes:
    """Where the attributes of one frame are found.

    Parameters
    ----------
    data_set : Attributes
    shared, own : Attributes or None
        The shared and the per-frame functional groups; None for a single-frame object.
    """

    def __init__(self, data_set: Attributes, shared: Attributes | None, own: Attributes | None) -> None:
        self._data_set = data_set
        self._groups = tuple(group for group in (own, shared) if group is not None)

    def holder(self, sequence: int) -> Attributes | None:
        """Return what holds the attributes of a functional group: frame's, else shared, else the data set."""
        if not self._groups:
            return self._data_set
        for group in self._groups:
            items = group.items(sequence)
            if items:
                return items[0]
        return None

    def geometry(self) -> FrameGeometry:
        """Return where the frame lies; what is absent or malformed is None."""
        position = self.holder(Tag.PlanePositionSequence)
        orientation = self.holder(Tag.PlaneOrientationSequence)
        measures = self.holder(Tag.PixelMeasuresSequence)
        at = position.numbers(Tag.ImagePositionPatient, 3) if position is not None else None
        cosines = orientation.numbers(Tag.ImageOrientationPatient, 6) if orientation is not None else None
        spacing = measures.numbers(Tag.PixelSpacing, 2) if measures is not None else None
        thickness = measures.number(Tag.SliceThickness) if measures is not None else None
        return FrameGeometry(
            image_position=(at[0], at[1], at[2]) if at is not None else None,
            image_orientation=(cosines[0], cosines[1], cosines[2], cosines[3], cosines[4], cosines[5])
            if cosines is not None
            else None,
            pixel_spacing=(spacing[0], spacing[1]) if spacing is not None and min(spacing) > 0 else None,
            slice_thickness=thickness if thickness is not None and thickness > 0 else None,
        )

    def rescale(self) -> Rescale | None:
        """Return the rescale to Hounsfield units; None when it is absent, or the type is another one."""
        holder = self.holder(Tag.PixelValueTransformationSequence)
        if holder is None or holder.text(Tag.RescaleType).upper() not in HOUNSFIELD:
            return None
        slope, intercept = holder.number(Tag.RescaleSlope), holder.number(Tag.RescaleIntercept)
        if slope is None or intercept is None or slope == 0:
            return None
        return Rescale(slope=slope, intercept=intercept)


def frames(data_set: Attributes, number_of_frames: int) -> Iterator[FrameAttributes]:
    """Yield the attributes of every frame of an image.

    Nothing is yielded for an object that is no image, or whose functional groups do not match its frames.

    Parameters
    ----------
    data_set : Attributes
        Read with `node.dicom.tags.FUNCTIONAL_GROUPS`.
    number_of_frames : int
    """
    if Tag.Rows not in data_set:
        return
    shared = data_set.items(Tag.SharedFunctionalGroupsSequence)
    own = data_set.items(Tag.PerFrameFunctionalGroupsSequence)
    if own or shared:
        if len(own) == number_of_frames:
            for group in own:
                yield FrameAttributes(data_set, shared[0] if shared else None, group)
    elif number_of_frames == 1:
        yield FrameAttributes(data_set, None, None)
