"""Weights and images that Keras and this project make alike, from names and shapes alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
SIDE = 192
"""All five levels of the pyramid have different widths at it."""
IMAGES = 2


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


def images() -> Array:
    """Return [2, 192, 192, 1] in 0 to 1: in range, so that no score is lost to rounding."""
    rng = np.random.default_rng(2021)
    return rng.uniform(0, 1, (IMAGES, SIDE, SIDE, 1)).astype(np.float32)
