"""Volume geometry from ImagePositionPatient and ImageOrientationPatient alone, never from names or numbers.

Coordinates are the patient's (PS3.3 C.7.6.2.1.1): x to the left, y to the back, z to the head, in mm.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import GeometryError, MixedOrientation, OrientationUnknown
from node.domain.wording import tell

UNIT_TOLERANCE = 1e-2
"""How far a cosine vector may be from unit length, and two of them from a right angle (rounded headers)."""
SAME_ORIENTATION = 1e-3
"""Largest difference of a cosine between slices of one stack."""
STEP_TOLERANCE = 0.01
"""Steps are uniform when each is within 1 % of their median."""
ROUNDING_MM = 0.011
"""... or within what two decimals of a position lose (PS3.5 6.2, DS)."""
DUPLICATE_MM = 0.01
"""Slices closer than this lie at one position."""
AXIAL = 0.9
"""Smallest |n . z| of an axial slice."""
SHEAR_DEGREES = 1.0
"""A stack whose positions leave the normal by more than this was scanned with a tilted gantry."""

Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class SlicePlane:
    """Where one slice lies; the constructor refuses what is no plane.

    Raises
    ------
    OrientationUnknown
        A number is not finite, or the cosines are not two unit vectors at a right angle.
    """

    position: Vector
    """ImagePositionPatient: the centre of the first pixel, in mm."""
    row_cosine: Vector
    """Direction in which the column index grows (first half of ImageOrientationPatient)."""
    column_cosine: Vector
    """Direction in which the row index grows (second half of ImageOrientationPatient)."""

    def __post_init__(self) -> None:
        """Check the vectors."""
        if not all(map(math.isfinite, (*self.position, *self.row_cosine, *self.column_cosine))):
            raise OrientationUnknown(tell("geometry.not-finite"))
        lengths = (_dot(self.row_cosine, self.row_cosine), _dot(self.column_cosine, self.column_cosine))
        if any(abs(math.sqrt(length) - 1) > UNIT_TOLERANCE for length in lengths):
            raise OrientationUnknown(tell("geometry.no-unit-vectors"))
        if abs(_dot(self.row_cosine, self.column_cosine)) > UNIT_TOLERANCE:
            raise OrientationUnknown(tell("geometry.no-right-angle"))

    @property
    def normal(self) -> Vector:
        """Unit normal, on the side of the head where the slice is not upright."""
        raw = np.cross(np.asarray(self.row_cosine), np.asarray(self.column_cosine))
        unit = raw / np.linalg.norm(raw) * (-1.0 if raw[2] < 0 else 1.0)
        return float(unit[0]), float(unit[1]), float(unit[2])

    @property
    def axial(self) -> bool:
        """Whether the slice is axial."""
        return abs(self.normal[2]) >= AXIAL


def slice_plane(position: Sequence[float] | None, orientation: Sequence[float] | None) -> SlicePlane:
    """Return the plane of a slice from its two attributes.

    Parameters
    ----------
    position : three numbers or None
        ImagePositionPatient (0020,0032).
    orientation : six numbers or None
        ImageOrientationPatient (0020,0037).

    Raises
    ------
    OrientationUnknown
        One is missing or malformed.
    """
    if position is None or len(position) != 3:
        raise OrientationUnknown(tell("geometry.no-position"))
    if orientation is None or len(orientation) != 6:
        raise OrientationUnknown(tell("geometry.no-orientation"))
    x, y, z, *rest = map(float, orientation)
    first, second, third = map(float, position)
    return SlicePlane(
        position=(first, second, third), row_cosine=(x, y, z), column_cosine=(rest[0], rest[1], rest[2])
    )


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A place where slices are missing."""

    after: int
    """Place in the order, from 0, of the slice before the gap."""
    missing: int
    """How many slices would fill it."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Slices of one orientation in their order along the normal, from the feet to the head."""

    order: tuple[int, ...]
    """Indices into the slices given, sorted along the normal."""
    positions: tuple[float, ...]
    """Distance along the normal in mm, in that order."""
    normal: Vector
    step: float | None
    """Median distance of neighbours in mm; None below two positions."""
    uniform: bool
    """Every step is the median step within 1 %: no gap, no duplicate."""
    gaps: tuple[Gap, ...]
    duplicates: tuple[tuple[int, int], ...]
    """Pairs of indices into the slices given that lie at one position."""
    tilt_degrees: float
    """Angle between the way of the positions and the normal; not 0 for a tilted gantry."""
    axial: bool

    @property
    def sheared(self) -> bool:
        """Whether the stack is not a box: the gantry was tilted."""
        return self.tilt_degrees > SHEAR_DEGREES


def odd_ones(planes: Sequence[SlicePlane]) -> tuple[int, ...]:
    """Return the indices of the slices whose orientation is not the majority's (the first one's on a tie)."""
    if not planes:
        return ()
    leaders: list[SlicePlane] = []
    member: list[int] = []
    for plane in planes:
        found = next(
            (i for i, leader in enumerate(leaders) if _same_orientation(plane, leader)), len(leaders)
        )
        if found == len(leaders):
            leaders.append(plane)
        member.append(found)
    majority = Counter(member).most_common(1)[0][0]
    return tuple(index for index, group in enumerate(member) if group != majority)


def stack(planes: Sequence[SlicePlane]) -> Stack:
    """Put slices in order along their normal and judge their steps.

    Parameters
    ----------
    planes : sequence of SlicePlane
        In any order.

    Raises
    ------
    GeometryError
        No slice at all.
    MixedOrientation
        Not all have one orientation.
    """
    if not planes:
        raise GeometryError(tell("geometry.no-slice"))
    if odd := odd_ones(planes):
        raise MixedOrientation(tell("geometry.mixed", odd=len(odd), slices=len(planes)))
    normal = planes[0].normal
    along = [_dot(plane.position, normal) for plane in planes]
    order = tuple(sorted(range(len(planes)), key=lambda index: (along[index], index)))
    positions = tuple(along[index] for index in order)
    steps = np.diff(positions)
    apart = steps[steps > DUPLICATE_MM]
    step = float(np.median(apart)) if apart.size else None
    return Stack(
        order=order,
        positions=positions,
        normal=normal,
        step=step,
        uniform=_uniform(steps, step),
        gaps=_gaps(steps, step),
        duplicates=tuple(
            (order[place], order[place + 1]) for place in np.flatnonzero(steps <= DUPLICATE_MM).tolist()
        ),
        tilt_degrees=_tilt(planes[order[0]], planes[order[-1]], normal),
        axial=planes[0].axial,
    )


@dataclass(frozen=True, kw_only=True)
class DisplayOrientation:
    """How to turn stored pixels so that columns run to the patient's left and rows to the back.

    First the axes are exchanged, then rows and columns are reversed.
    """

    transposed: bool
    """Rows ran left-right: the patient lay on a side."""
    rows_reversed: bool
    columns_reversed: bool

    @property
    def turns(self) -> bool:
        """Whether the displayed image differs from the stored one."""
        return self.transposed or self.rows_reversed or self.columns_reversed

    @property
    def warning(self) -> str | None:
        """What a reader must know, or None."""
        return tell("warning.decubitus") if self.transposed else None

    def apply(self, stored: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the array as displayed; a contiguous copy.

        Parameters
        ----------
        stored : array, shape (rows, columns)
        """
        turned = stored.T if self.transposed else stored
        turned = turned[::-1] if self.rows_reversed else turned
        return np.ascontiguousarray(turned[:, ::-1] if self.columns_reversed else turned)

    def restore(self, displayed: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return a displayed array in the orientation of the stored pixels; the inverse of ``apply``.

        Parameters
        ----------
        displayed : array, shape (rows, columns) as displayed
        """
        turned = displayed[:, ::-1] if self.columns_reversed else displayed
        turned = turned[::-1] if self.rows_reversed else turned
        return np.ascontiguousarray(turned.T if self.transposed else turned)

    def spacing(self, pixel_spacing: tuple[float, float]) -> tuple[float, float]:
        """Return PixelSpacing (between rows, between columns; mm) of the displayed array."""
        return (pixel_spacing[1], pixel_spacing[0]) if self.transposed else pixel_spacing


def display_orientation(plane: SlicePlane) -> DisplayOrientation:
    """Return how an axial slice must be turned for display.

    Raises
    ------
    GeometryError
        The slice is not axial.
    """
    if not plane.axial:
        raise GeometryError(tell("geometry.not-axial"))
    across, down = plane.row_cosine, plane.column_cosine
    transposed = abs(across[0]) < abs(across[1])
    if transposed:
        across, down = down, across
    return DisplayOrientation(
        transposed=transposed, rows_reversed=down[1] < 0, columns_reversed=across[0] < 0
    )


def _dot(first: Vector, second: Vector) -> float:
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


def _same_orientation(first: SlicePlane, second: SlicePlane) -> bool:
    pairs = zip(
        (*first.row_cosine, *first.column_cosine), (*second.row_cosine, *second.column_cosine), strict=True
    )
    return all(abs(a - b) <= SAME_ORIENTATION for a, b in pairs)


def _uniform(steps: NDArray[np.float64], step: float | None) -> bool:
    if step is None:
        return steps.size == 0
    return bool((np.abs(steps - step) <= max(STEP_TOLERANCE * step, ROUNDING_MM)).all())


def _gaps(steps: NDArray[np.float64], step: float | None) -> tuple[Gap, ...]:
    """Return the steps that are at least one and a half median steps long."""
    if step is None:
        return ()
    return tuple(
        Gap(after=place, missing=max(1, round(float(steps[place]) / step) - 1))
        for place in np.flatnonzero(steps >= 1.5 * step).tolist()
    )


def _tilt(first: SlicePlane, last: SlicePlane, normal: Vector) -> float:
    way = np.asarray(last.position) - np.asarray(first.position)
    length = float(np.linalg.norm(way))
    if length <= DUPLICATE_MM:
        return 0.0
    return math.degrees(math.acos(min(1.0, abs(float(way @ np.asarray(normal))) / length)))
