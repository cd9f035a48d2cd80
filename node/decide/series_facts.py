"""What is known of one series when it is judged, and the criteria it is judged by."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from node.domain.errors import GeometryError
from node.domain.input_spec import InputSpec, ScopeSpec
from node.domain.network import CapPolicy
from node.domain.study import FrameGeometry, InstanceHeader, Series
from node.imaging.geometry import SlicePlane, Stack, slice_plane, stack

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2.1"
CT_SOP_CLASSES = frozenset({CT_IMAGE, ENHANCED_CT_IMAGE})


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """What makes a series fit for a model."""

    minimum_slices: int
    """Of the model's selection, or lowered by a setting."""
    scope: ScopeSpec
    cap_policy: CapPolicy
    accept_unknown_age: bool = True
    """Whether a patient whose age is unknown is analysed."""

    @classmethod
    def from_spec(
        cls,
        spec: InputSpec,
        cap_policy: CapPolicy,
        *,
        minimum_slices: int | None = None,
        accept_unknown_age: bool = True,
    ) -> Criteria:
        """Return the criteria of a model, with the minimum of slices replaced where a setting gives one."""
        return cls(
            minimum_slices=spec.selection.minimum_slices if minimum_slices is None else minimum_slices,
            scope=spec.scope,
            cap_policy=cap_policy,
            accept_unknown_age=accept_unknown_age,
        )

    @property
    def preferred_thickness(self) -> float:
        """Return the middle of the thicknesses the model was made for, in mm."""
        return sum(self.scope.slice_thickness_mm) / 2


@dataclass(frozen=True)
class SeriesFacts:
    """One series with the headers of its instances."""

    series: Series
    headers: tuple[InstanceHeader, ...]

    @property
    def first(self) -> InstanceHeader:
        """Return the header of the first instance to arrive."""
        return self.headers[0]

    @cached_property
    def frames(self) -> tuple[FrameGeometry, ...]:
        """Return the geometry of every slice, frames of multi-frame instances one by one."""
        return tuple(frame for header in self.headers for frame in header.frames)

    @property
    def slice_count(self) -> int:
        """Return the number of slices."""
        return sum(header.number_of_frames for header in self.headers)

    @cached_property
    def planes(self) -> tuple[SlicePlane, ...]:
        """Return the plane of every slice.

        Raises
        ------
        OrientationUnknown
            When one cannot be placed.
        """
        return tuple(slice_plane(frame.image_position, frame.image_orientation) for frame in self.frames)

    @cached_property
    def volume(self) -> Stack:
        """Return the slices in order along their normal.

        Raises
        ------
        GeometryError
        """
        return stack(self.planes)

    @property
    def thickness(self) -> float | None:
        """Return the most frequent SliceThickness, else the distance between slices, in mm."""
        given = Counter(frame.slice_thickness for frame in self.frames if frame.slice_thickness is not None)
        return given.most_common(1)[0][0] if given else self.volume.step

    @property
    def extent(self) -> float:
        """Return the length of the series along its normal, in mm; 0 when it is no volume."""
        try:
            return self.volume.positions[-1] - self.volume.positions[0]
        except GeometryError:
            return 0.0
