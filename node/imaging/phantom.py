"""The thorax phantom: a synthetic chest CT from the neck to the upper abdomen, the same for the same seed.

It has the parts that selection, preparation and display depend on: a body outline that narrows to a neck,
shoulders, lungs that open and close along z, heart, vessels, ribs, spine, windpipe, stomach gas, a table,
noise, padding around the reconstruction circle and, if wanted, ground-glass patches. It is nobody's image:
scores on it mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from node.imaging.arrays import Real
from node.imaging.geometry import SlicePlane
from node.imaging.phantom_anatomy import (
    CARINA_MM,
    HILUM_MM,
    LENGTH_MM,
    Profile,
    VesselPoints,
    apex,
    diaphragm,
    profile,
    vessel_tree,
)

AIR, LUNG, FAT, MUSCLE, BLOOD, LIVER, MARROW, BONE, TABLE = -1000, -865, -100, 45, 42, 58, 190, 520, -120
"""Mean HU of the phantom's materials."""
GROUND_GLASS, CONSOLIDATION = -560, -120
NOISE_HU = 22.0
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class PhantomSlice:
    """One axial slice in display orientation (columns to the left, rows to the back)."""

    hu: NDArray[np.int16]
    """Array, shape (rows, columns), in HU; -1024 where padded."""
    padding: Flags
    """Array, shape (rows, columns): outside of the reconstruction circle."""
    plane: SlicePlane


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A ground-glass opacity: centre, radii in mm, and how dense its core is."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    density: float


@dataclass(frozen=True, kw_only=True)
class ThoraxPhantom:
    """A series of the phantom; slice 0 is the lowest."""

    seed: int = 0
    slices: int = 40
    rows: int = 512
    """Rows and columns of the matrix."""
    field_of_view_mm: float = 380.0
    patches: int = 0
    """How many ground-glass patches the lungs have."""

    def __len__(self) -> int:
        return self.slices

    def __iter__(self) -> Iterator[PhantomSlice]:
        """Yield the slices from the feet to the head."""
        return map(self.slice_at, range(self.slices))

    @property
    def pixel_spacing_mm(self) -> float:
        """Distance between rows and between columns."""
        return self.field_of_view_mm / self.rows

    @property
    def slice_spacing_mm(self) -> float:
        """Distance between slices; their thickness too."""
        return LENGTH_MM / self.slices

    def slice_at(self, index: int) -> PhantomSlice:
        """Render one slice.

        Parameters
        ----------
        index : int
            From 0, the lowest, to ``slices`` - 1.
        """
        if not 0 <= index < self.slices:
            raise IndexError(f"slice {index} of {self.slices}")
        z = (index + 0.5) * self.slice_spacing_mm
        rng = np.random.default_rng([self.seed, index])
        image = self._anatomy(z, rng)
        image = _blurred(image, 0.6 / self.pixel_spacing_mm)
        grain = _blurred(rng.standard_normal(image.shape, dtype=np.float32), 0.7)
        image += grain * np.float32(NOISE_HU / max(float(grain.std()), 1e-6))
        x, y = self._grid
        padding = np.asarray(x**2 + y**2 > (self.field_of_view_mm / 2) ** 2, dtype=np.bool_)
        image[padding] = -1024
        corner = (self.pixel_spacing_mm - self.field_of_view_mm) / 2
        return PhantomSlice(
            hu=np.clip(np.rint(image), -1024, 3071).astype(np.int16),
            padding=padding,
            plane=SlicePlane(
                position=(corner, corner, z), row_cosine=(1.0, 0.0, 0.0), column_cosine=(0.0, 1.0, 0.0)
            ),
        )

    @cached_property
    def _grid(self) -> tuple[Real, Real]:
        """Give x and y of the pixel centres in mm; float32 arrays, shape (rows, columns)."""
        axis = (np.arange(self.rows, dtype=np.float32) + 0.5) * np.float32(self.pixel_spacing_mm)
        axis -= np.float32(self.field_of_view_mm / 2)
        x, y = np.meshgrid(axis, axis)
        return x, y

    @cached_property
    def _person(self) -> tuple[float, float]:
        """Size of the body relative to the standard one, and height of the right dome in mm."""
        rng = np.random.default_rng([self.seed, 10**6])
        return float(rng.uniform(0.96, 1.03)), float(rng.uniform(104, 116))

    @cached_property
    def _vessels(self) -> VesselPoints:
        return vessel_tree(np.random.default_rng([self.seed, 10**6 + 1]))

    @cached_property
    def _patches(self) -> tuple[Patch, ...]:
        """Places near the pleura, more of them low and dorsal."""
        rng = np.random.default_rng([self.seed, 10**6 + 2])
        placed = []
        for number in range(self.patches):
            side = 1 if number % 2 else -1
            angle = rng.uniform(-0.2, 1.1)
            centre = (side * 112 * float(np.cos(angle)), 78 * float(np.sin(angle)), rng.uniform(105, 215))
            radii = (rng.uniform(16, 34), rng.uniform(16, 34), rng.uniform(16, 30))
            placed.append(Patch(centre=centre, radii=radii, density=rng.uniform(0.5, 1)))
        return tuple(placed)

    def _anatomy(self, z: float, rng: np.random.Generator) -> Real:
        """Return the noise-free image in HU, outer parts first."""
        x, y = self._grid
        trunk = profile(z, self._person[0])
        distance = _radius(x, y - trunk.middle, trunk.half_width, trunk.half_depth, 2.2)
        image = np.full(x.shape, AIR, dtype=np.float32)
        image[self._table()] = TABLE
        image[distance < 1] = FAT
        rim = float(np.interp(z, (0, 240, 300), (17, 13, 6)))
        image[distance < 1 - rim / trunk.half_depth] = MUSCLE
        cage = _radius(x, y - trunk.middle - 2, trunk.half_width - rim - 16, trunk.half_depth - rim - 14, 2.2)
        self._abdomen(image, z, cage)
        lungs = self._lungs(image, z, cage, rng)
        self._vessels_in(image, z, lungs)
        self._bones(image, z, trunk, cage)
        self._airways(image, z, trunk)
        return image

    def _table(self) -> Flags:
        x, y = self._grid
        surface = 124 - x**2 / 900
        return np.asarray((y > surface) & (y < surface + 4) & (np.abs(x) < 170), dtype=np.bool_)

    def _abdomen(self, image: Real, z: float, cage: Real) -> None:
        """Liver to the right, spleen and stomach with its gas to the left, under the diaphragm."""
        x, y = self._grid
        below = (cage < 1) & (z < diaphragm(x, y, self._person[1]))
        image[below] = FAT
        image[below & (_radius(x + 52, y + 8, 92, 84, 2.2) < 1)] = LIVER
        image[below & (_radius(x - 92, y - 40, 34, 42, 2) < 1)] = LIVER - 8
        image[below & (_radius(x - 48, y + 28, 46, 40, 2) < 1)] = MUSCLE - 15
        gas = _radius(x - 48, y + 46, 26, 16, 2) + ((z - 48) / 30) ** 2
        image[below & (gas < 1)] = AIR

    def _lungs(self, image: Real, z: float, cage: Real, rng: np.random.Generator) -> Flags:
        """Paint lungs and mediastinum; return where lung is."""
        x, y = self._grid
        inside = (cage < 1) & (z > diaphragm(x, y, self._person[1])) & (z < apex(x, y))
        bulge = float(np.interp(z, (90, HILUM_MM, 200, 250), (22, 26, 27, 32)))
        middle = 7 + bulge * np.exp(-(((y - 4) / 44) ** 2)) + 2 * np.sin(y / 9 + z / 11)
        mediastinum = (np.abs(x - 2) < middle) | (_radius(x, y - 66, 31, 36, 2) < 1)
        heart = _radius(x - 18, y + 38, 60, 44, 2) ** 2 + ((z - 126) / 60) ** 2 < 1
        descending = _radius(x - 26, y - 40, 13, 13, 2) < 1
        lungs = np.asarray(inside & ~mediastinum & ~heart & ~descending, dtype=np.bool_)
        image[inside & ~lungs] = BLOOD
        image[inside & (np.abs(x - 2) < middle - 7) & (y < -18) & ~heart] = FAT + 20
        image[inside & (_radius(x + 10, y + 14, 15, 14, 2) < 1) & (z > 150)] = BLOOD
        texture = _blurred(rng.standard_normal(image.shape, dtype=np.float32), 2.0)
        tissue = np.asarray(LUNG + 0.45 * y + 130 * texture, dtype=np.float32)
        for patch in self._patches:
            tissue = _with_patch(tissue, patch, (x, y, z), texture)
        image[lungs] = tissue[lungs]
        return lungs

    def _vessels_in(self, image: Real, z: float, lungs: Flags) -> None:
        """Draw the vessels that the slice cuts; thin ones fade by partial volume."""
        tree, spacing = self._vessels, self.pixel_spacing_mm
        reach = tree.radius + np.float32(min(self.slice_spacing_mm, 5.0) / 2)
        near = np.flatnonzero(np.abs(tree.z - z) < reach)
        near = near[np.argsort(tree.radius[near], kind="stable")]
        canvas = np.full(image.shape, AIR, dtype=np.float32)
        for index in near.tolist():
            radius = float(tree.radius[index])
            centre = (
                round(16 * (float(tree.x[index]) + self.field_of_view_mm / 2) / spacing - 8),
                round(16 * (float(tree.y[index]) + self.field_of_view_mm / 2) / spacing - 8),
            )
            level = BLOOD - 620 * max(0.0, 1 - radius / 1.8)
            cv2.circle(canvas, centre, max(8, round(16 * radius / spacing)), level, cv2.FILLED, shift=4)
        image[lungs] = np.maximum(image, canvas)[lungs]

    def _bones(self, image: Real, z: float, trunk: Profile, cage: Real) -> None:
        """Ribs as slanted hoops around the cage, spine, breastbone, collarbones and shoulder blades."""
        x, y = self._grid
        back = trunk.middle + trunk.half_depth
        slant = z + 115 * np.arctan2(np.abs(x), y - trunk.middle) / np.pi
        hoop = (cage > 1.01) & (cage < 1.085) & (np.abs(x) > 20)
        if 30 < z < 272:
            image[hoop & (np.cos(2 * np.pi * slant / 27) > 0.3)] = MARROW + 120
        body = back - max(0.49 * trunk.half_depth, 43)
        vertebra = _radius(x, y - body, 19, 15, 2.3)
        image[vertebra < 1] = BONE - 120
        image[vertebra < 0.84] = MARROW
        arch = _radius(x, y - body - 22, 17, 11, 2)
        image[(arch < 1) | ((np.abs(x) < 3) & (y > body + 30) & (y < back - 9))] = BONE - 150
        image[_radius(x, y - body - 21, 9, 8, 2) < 1] = 25
        if 110 < z < 236:
            image[_radius(x, y - trunk.middle + trunk.half_depth - 19, 17, 5, 2.5) < 1] = MARROW + 60
        if 236 <= z < 262:
            image[_radius(_aside(x, 62), y - trunk.middle + trunk.half_depth - 26, 42, 6, 2) < 1] = BONE - 100
        if 190 < z < 270:
            blade = (np.abs(x) - 104) * 0.55 + (y - trunk.middle - 58)
            image[(np.abs(blade) < 3) & (np.abs(np.abs(x) - 104) < 24)] = BONE - 180

    def _airways(self, image: Real, z: float, trunk: Profile) -> None:
        """Windpipe above the carina, main bronchi for 25 mm below it."""
        x, y = self._grid
        middle = float(np.interp(z, (CARINA_MM, 270, LENGTH_MM), (6, -12, trunk.middle - 24)))
        if z > CARINA_MM:
            apart, radius = 0.0, 8.5
        elif z > CARINA_MM - 25:
            apart, radius = 8 + 0.7 * (CARINA_MM - z), 6.5
        else:
            return
        distance = _radius(_aside(x, apart), y - middle, radius, radius, 2)
        image[distance < 1.25] = MUSCLE
        image[distance < 1] = AIR


def _blurred(image: Real, sigma: float) -> Real:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.float32)


def _aside(x: Real, offset: float) -> Real:
    """Return x measured from two mirrored places."""
    return np.asarray(np.abs(x) - np.float32(offset), dtype=np.float32)


def _radius(x: Real, y: Real, half_width: float, half_depth: float, power: float) -> Real:
    """Return the superelliptic radius of each point: below 1 inside."""
    across, down = np.abs(x) / np.float32(half_width), np.abs(y) / np.float32(half_depth)
    if power == 2:
        return np.asarray(np.sqrt(across**2 + down**2), dtype=np.float32)
    return np.asarray((across**power + down**power) ** (1 / power), dtype=np.float32)


def _with_patch(tissue: Real, patch: Patch, at: tuple[Real, Real, float], texture: Real) -> Real:
    """Blend a patch into lung tissue: soft edges, a denser core, mottled."""
    x, y, z = at
    squared = (
        ((x - patch.centre[0]) / patch.radii[0]) ** 2
        + ((y - patch.centre[1]) / patch.radii[1]) ** 2
        + ((z - patch.centre[2]) / patch.radii[2]) ** 2
    )
    weight = np.clip(1.35 - squared + 1.5 * texture, 0, 1)
    core = np.clip(0.45 - squared, 0, 0.45) / 0.45 * patch.density
    level = GROUND_GLASS + core * (CONSOLIDATION - GROUND_GLASS) + 160 * texture
    return np.asarray(tissue + weight * (level - tissue), dtype=np.float32)
