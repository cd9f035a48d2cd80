"""Tensors from which an 8-bit engine takes its ranges of values: slices of the phantom, never a patient's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from node.domain.input_spec import InputModality
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import hu_to_stored, prepare_stored
from node.infer.bundle import Bundle

SLICES = 48
ROWS = 256


def calibration_tensors(bundle: Bundle) -> NDArray[np.float32]:
    """Return prepared slices: the golden ones, and for CT a whole phantom; never less than a full batch.

    The phantom has a thorax's range of values but not a patient's texture, so a site that has slices of its
    own does better to calibrate on them.

    Parameters
    ----------
    bundle : Bundle

    Returns
    -------
    float32 array, shape (slices, channels, rows, columns)
    """
    if bundle.spec.modality is InputModality.CT:
        phantom = ThoraxPhantom(slices=SLICES, rows=ROWS)
        stored = (hu_to_stored(phantom.slice_at(index).hu) for index in range(SLICES))
        slices = np.stack([prepare_stored(pixels, bundle.spec).tensor for pixels in stored])
        return np.concatenate([bundle.golden.prepared, slices])
    repeated = np.arange(bundle.config.max_batch_size) % len(bundle.golden.prepared)
    return bundle.golden.prepared[repeated]


def save_tensors(path: Path, tensors: NDArray[np.float32]) -> None:
    """Write tensors in NumPy's own format."""
    np.save(path, tensors, allow_pickle=False)
