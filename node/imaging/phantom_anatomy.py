"""The shapes of the thorax phantom: profiles along z and the vessel tree.

Coordinates in mm: x to the patient's left, y to the back, both from the middle of the image; z to the head
from the lowest slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]

LENGTH_MM = 340.0
"""From the upper abdomen to the middle of the neck."""

_Z = (0.0, 60.0, 130.0, 200.0, 240.0, 262.0, 280.0, 296.0, 340.0)
_HALF_WIDTH = (150.0, 156.0, 160.0, 158.0, 166.0, 158.0, 112.0, 62.0, 56.0)
_HALF_DEPTH = (100.0, 106.0, 108.0, 102.0, 90.0, 76.0, 64.0, 54.0, 52.0)
_MIDDLE = (0.0, 0.0, 0.0, 0.0, -4.0, -10.0, -22.0, -36.0, -40.0)

APEX_MM = 266.0
HILUM_MM = 165.0
CARINA_MM = 188.0


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The trunk at one height, in mm."""

    half_width: float
    half_depth: float
    middle: float
    """y of the centre."""


def profile(z: float, scale: float) -> Profile:
    """Return the trunk's outline at a height; ``scale`` makes a smaller or larger person."""
    return Profile(
        half_width=scale * float(np.interp(z, _Z, _HALF_WIDTH)),
        half_depth=scale * float(np.interp(z, _Z, _HALF_DEPTH)),
        middle=float(np.interp(z, _Z, _MIDDLE)),
    )


def diaphragm(x: Points, y: Points, dome: float) -> Points:
    """Return the height of the diaphragm: two domes, lowest at the back and the sides.

    Parameters
    ----------
    x, y : float32 arrays, shape (rows, columns)
    dome : float
        Height of the right dome; the left one is 12 mm lower.
    """
    side = np.where(x < 0, np.float32(-68), np.float32(68))
    peak = np.where(x < 0, np.float32(dome), np.float32(dome - 12))
    back = np.where(y > 0, np.float32(0.013), np.float32(0.006))
    return np.asarray(peak - 0.010 * (x - side) ** 2 - back * y**2, dtype=np.float32)


def apex(x: Points, y: Points) -> Points:
    """Return the height at which the lungs end upwards.

    Parameters
    ----------
    x, y : float32 arrays, shape (rows, columns)
    """
    return np.asarray(APEX_MM - 0.016 * (np.abs(x) - 52) ** 2 - 0.008 * (y - 5) ** 2, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class VesselPoints:
    """Points along the vessel tree; one array each, of equal length."""

    x: Points
    y: Points
    z: Points
    radius: Points
    """Of the vessel at the point, in mm."""


def vessel_tree(rng: np.random.Generator) -> VesselPoints:
    """Grow vessels from both hila into the lungs, each branch dividing in two, thinner by a quarter.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides directions and lengths.
    """
    found: list[NDArray[np.float64]] = []
    for side in (-1.0, 1.0):
        for _ in range(8):
            direction = np.array([side, rng.uniform(-1.0, 1.2), rng.uniform(-1.5, 1.7)])
            start = np.array([side * 30.0, rng.uniform(-8, 14), HILUM_MM + rng.uniform(-14, 14)])
            _grow(found, rng, start, direction / np.linalg.norm(direction), 4.0)
    points = np.concatenate(found).astype(np.float32)
    return VesselPoints(x=points[:, 0], y=points[:, 1], z=points[:, 2], radius=points[:, 3])


def _grow(
    found: list[NDArray[np.float64]],
    rng: np.random.Generator,
    start: NDArray[np.float64],
    direction: NDArray[np.float64],
    radius: float,
) -> None:
    """Add a branch and, while it is thick enough, its two daughters."""
    length = rng.uniform(4.2, 6.2) * radius
    along = np.arange(0.0, length, 0.7)[:, None]
    points = start + along * direction
    found.append(np.hstack([points, np.full((len(points), 1), radius)]))
    if radius < 0.7:
        return
    for _ in range(2):
        bent = direction + rng.normal(0, 0.38, 3)
        _grow(found, rng, points[-1], bent / np.linalg.norm(bent), radius * rng.uniform(0.74, 0.84))
