"""Calibration slices for Polygraphy, which calls `load_data` in the folder of one model version.

The slices lie in ``calibration.npy``: phantom slices that `groundglass models build` wrote. A site may put
prepared slices of its own in their place, float32 of shape (slices, channels, rows, columns).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

TENSORS = Path("calibration.npy")
ARGUMENTS = Path("trtexec.args")
SHAPES = "--optShapes="


def load_data() -> Iterator[dict[str, np.ndarray]]:
    """Yield batches of the size for which TensorRT calibrates; what does not fill one is left out."""
    name, (size, *shape) = input_shape(ARGUMENTS.read_text(encoding="utf-8"))
    tensors = np.load(TENSORS, allow_pickle=False)
    if tensors.dtype != np.float32 or tensors.shape[1:] != tuple(shape) or len(tensors) < size:
        raise SystemExit(
            f"{TENSORS} holds {tensors.dtype} of shape {tensors.shape}; needed are {size} or more slices of "
            f"float32 with the shape {tuple(shape)}"
        )
    for start in range(0, len(tensors) - size + 1, size):
        yield {name: np.ascontiguousarray(tensors[start : start + size])}


def input_shape(arguments: str) -> tuple[str, tuple[int, ...]]:
    """Return name and shape of the input, batch first, from the arguments of trtexec."""
    for line in arguments.splitlines():
        if line.startswith(SHAPES):
            name, _, lengths = line.removeprefix(SHAPES).rpartition(":")
            return name, tuple(map(int, lengths.split("x")))
    raise SystemExit(f"{ARGUMENTS} has no {SHAPES}")
