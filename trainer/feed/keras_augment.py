"""Augmentation as the ImageDataGenerator of Keras does it, which the COVID-CTset networks were trained with.

Rahimzadeh et al. 2021, table 3, names the ranges. Its "shift range 5 %" beside the width and height shifts is
the generator's shear of 0.05, which is an angle in degrees and next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.feed.sampling import Outside, Real, about, sample

HALF_PIXEL_BEFORE: Final = -0.5
"""Turns about ``side / 2 - 0.5``, the middle of the outermost pixels' centres."""
HALF_PIXEL_BEHIND: Final = 0.5
"""Turns about ``side / 2 + 0.5`` as keras-preprocessing did up to 1.1.2: one pixel further down and right."""


class Draws(Protocol):
    """A source of random numbers.

    ``numpy.random.RandomState(seed)`` gives the stream that Keras draws after ``numpy.random.seed(seed)``.
    """

    def uniform(self, low: float, high: float, size: int | None = None) -> Any:
        """Draw from a half-open interval."""

    def random(self) -> Any:
        """Draw from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class KerasAugmentation:
    """Ranges; the defaults are those of the paper."""

    rotation: float = 360.0
    """Largest angle, degrees, either way."""
    height_shift: float = 0.05
    """Largest displacement along the rows, as a share of their number."""
    width_shift: float = 0.05
    """Largest displacement along the columns, as a share of their number."""
    shear: float = 0.05
    """Largest shear angle, degrees."""
    zoom: float = 0.05
    """Largest difference of either zoom factor from 1; a factor above 1 shrinks the picture."""
    horizontal_flip: bool = True
    """Mirror left and right in half of the cases."""
    vertical_flip: bool = True
    """Mirror up and down in half of the cases."""
    centre: float = HALF_PIXEL_BEFORE
    """Added to half of each side for the point that stays."""


@dataclass(frozen=True, kw_only=True)
class KerasTransform:
    """The numbers drawn for one image."""

    theta: float
    """Degrees."""
    tx: float
    """Rows."""
    ty: float
    """Columns."""
    shear: float
    """Degrees."""
    zx: float
    """Along the rows' index."""
    zy: float
    """Along the columns' index."""
    flip_horizontal: bool
    flip_vertical: bool


def draw(how: KerasAugmentation, shape: tuple[int, int], draws: Draws) -> KerasTransform:
    """Draw the numbers for one image, in the generator's order.

    Nothing is drawn for a range of 0; the two flips are always drawn.

    Parameters
    ----------
    how : KerasAugmentation
    shape : (rows, columns)
    draws : Draws
    """

    def either_way(limit: float) -> float:
        return float(draws.uniform(-limit, limit)) if limit else 0.0

    theta = either_way(how.rotation)
    tx = either_way(how.height_shift) * shape[0]
    ty = either_way(how.width_shift) * shape[1]
    shear = either_way(how.shear)
    zx, zy = draws.uniform(1 - how.zoom, 1 + how.zoom, 2) if how.zoom else (1.0, 1.0)
    mirrored, upside_down = (bool(draws.random() < 0.5) for _ in range(2))
    return KerasTransform(
        theta=theta,
        tx=tx,
        ty=ty,
        shear=shear,
        zx=float(zx),
        zy=float(zy),
        flip_horizontal=mirrored and how.horizontal_flip,
        flip_vertical=upside_down and how.vertical_flip,
    )


def matrix_of(transform: KerasTransform, shape: tuple[int, int], centre: float = HALF_PIXEL_BEFORE) -> Real:
    """Return rotation, shift, shear and zoom, composed in this order about the centre.

    Returns
    -------
    float array, shape (3, 3)
        Output to input position, in (row, column, 1).
    """
    theta, shear = np.deg2rad(transform.theta), np.deg2rad(transform.shear)
    turn = np.array([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
    shift = np.array([[1, 0, transform.tx], [0, 1, transform.ty], [0, 0, 1]])
    slant = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
    zoom = np.diag([transform.zx, transform.zy, 1.0])
    return about(turn @ shift @ slant @ zoom, (shape[0] / 2 + centre, shape[1] / 2 + centre))


def transformed(
    image: NDArray[Any], transform: KerasTransform, centre: float = HALF_PIXEL_BEFORE
) -> NDArray[np.float32]:
    """Return a transformed image: the affine map with the edge repeated, then left-right, then up-down.

    Parameters
    ----------
    image : array, shape (rows, columns)
        Any scale; HU + 1024 for the COVID-CTset networks.
    transform : KerasTransform
    centre : float

    Returns
    -------
    float32 array, same shape
    """
    rows, columns = image.shape
    moved = sample(image, matrix_of(transform, (rows, columns), centre), Outside.EDGE)
    if transform.flip_horizontal:
        moved = moved[:, ::-1]
    return np.ascontiguousarray(moved[::-1] if transform.flip_vertical else moved)


def keras_augmented(image: NDArray[Any], how: KerasAugmentation, draws: Draws) -> NDArray[np.float32]:
    """Return a varied copy of an image, as ``ImageDataGenerator.random_transform`` makes it.

    Parameters
    ----------
    image : array, shape (rows, columns)
    how : KerasAugmentation
    draws : Draws

    Returns
    -------
    float32 array, same shape
    """
    rows, columns = image.shape
    return transformed(image, draw(how, (rows, columns), draws), how.centre)
