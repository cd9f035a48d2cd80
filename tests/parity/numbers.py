"""Weights, images, gradients and transforms that both sides make alike, from names and seeds alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
SIDE: Final = 192
"""All five levels of the pyramid have different widths at it."""
IMAGES: Final = 2
SEED: Final = 2021
DRAWN: Final = 2000
"""Transforms drawn from one stream."""
VARIED: Final = 4
"""Slices augmented from one stream."""
STEPS: Final = 50
WEIGHTS: Final = 96
SCALES: Final = (1.0, 1e-3, 1e-6)
"""Of the gradients; at the last one an optimiser's epsilon shows."""


def key_of(layer: str, shapes: Sequence[tuple[int, ...]]) -> str:
    """Return a layer's name, or its shapes where Keras made up the name."""
    automatic = layer.rstrip("0123456789_") in {"conv2d", "batch_normalization", "dense"}
    return str([tuple(shape) for shape in shapes]) if automatic else layer.replace("/", "_")


def weights_for(layer: str, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Return one layer's arrays in Keras' order: kernels that keep the variance, norms that matter."""
    rng = np.random.default_rng(zlib.crc32(key_of(layer, shapes).encode()))
    if len(shapes) == 4:
        bounds = ((0.5, 1.5), (-0.3, 0.3), (-0.2, 0.2), (0.5, 2.0))
        return [rng.uniform(*pair, shapes[0]).astype(np.float32) for pair in bounds]
    arrays = []
    for shape in shapes:
        depthwise = len(shape) == 4 and shape[3] == 1
        fan = 1 if len(shape) == 1 else np.prod(shape[: 2 if depthwise else -1])
        scale = 0.1 if len(shape) == 1 else (1.0 if len(shape) == 2 else 1.5) / np.sqrt(fan)
        arrays.append((scale * rng.uniform(-1, 1, shape)).astype(np.float32))
    return arrays


def images(channels: int = 1) -> Array:
    """Return [2, 192, 192, channels] in 0 to 1: in range, so that no score is lost to rounding."""
    rng = np.random.default_rng(SEED)
    return rng.uniform(0, 1, (IMAGES, SIDE, SIDE, channels)).astype(np.float32)


def slice_of(rows: int, columns: int) -> Array:
    """Return stored values 0 to 4095, neighbours far apart, so that a position's error shows."""
    return (np.arange(rows * columns).reshape(rows, columns) * 1009 % 4096).astype(np.float32)


class Stated(NamedTuple):
    """A transform as Keras states it: degrees, pixels, factors; then the mirrors."""

    theta: float = 0.0
    tx: float = 0.0
    ty: float = 0.0
    shear: float = 0.0
    zx: float = 1.0
    zy: float = 1.0
    flip_horizontal: bool = False
    flip_vertical: bool = False


STATED: Final = (
    Stated(theta=37.5),
    Stated(theta=-271.0),
    Stated(tx=25.6, ty=-11.25),
    Stated(shear=0.05),
    Stated(shear=20.0),
    Stated(zx=0.95, zy=1.05),
    Stated(flip_horizontal=True),
    Stated(flip_vertical=True),
    Stated(201.0, -7.5, 3.25, -0.04, 1.031, 0.957, True, True),
)
TURNED: Final = ((0.0, 0.0, 0.0), (15.0, 0.05, -0.05), (-15.0, -0.031, 0.017), (7.3, 0.0, 0.05))
"""Deep-CT-Net's: degrees, shares of the rows and of the columns."""


def weights_before() -> Array:
    """Return what an optimiser starts from."""
    return np.random.default_rng(SEED).normal(0, 0.05, WEIGHTS).astype(np.float32)


def gradients(scale: float) -> Array:
    """Return [steps, weights], each weight's with a size of its own over two decades."""
    rng = np.random.default_rng(SEED + 1)
    sizes = 10 ** rng.uniform(-1, 1, WEIGHTS)
    return (scale * sizes * rng.normal(0.3, 1, (STEPS, WEIGHTS))).astype(np.float32)
