"""Images for the golden answer, all of the generated phantom, in the representation that a model reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.domain.input_spec import InputModality, InputSpec
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import hu_to_stored, prepare_stored, resized

PHANTOM: Final = ThoraxPhantom(seed=7, slices=40, rows=256, patches=8)
CANDIDATES: Final = range(10, 30, 2)
"""Slices of the phantom through the lungs."""
CHESTS: Final = ((7, 0), (7, 8), (8, 16))
"""(seed, patches) of the phantoms that are X-rayed."""
X_RAYED_ROWS: Final = 128
X_RAYED_SLICES: Final = 48
RADIOGRAPH: Final = 256
"""Rows and columns of a radiograph of the phantom."""
CONTRAST: Final = (1.0, 99.0)
"""Percentiles of the attenuation that become black and white."""
GOLDEN_SLICES: Final = 3

Score = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Prepared images to probabilities and maps."""


def golden_slices(score: Score, spec: InputSpec) -> NDArray[np.uint16]:
    """Return images of the phantom for which the network's maps are strongest.

    A map that is nearly nothing everywhere changes its shape by rounding alone; compared over its maximum, it
    would raise false alarms.

    Parameters
    ----------
    score : callable
        The network.
    spec : InputSpec

    Returns
    -------
    uint16 array, shape (images, rows, columns)
        HU + 1024 of axial slices, or grey levels of radiographs.
    """
    candidates = (
        [hu_to_stored(PHANTOM.slice_at(index).hu) for index in CANDIDATES]
        if spec.modality is InputModality.CT
        else [radiograph(ThoraxPhantom(seed=seed, patches=patches)) for seed, patches in CHESTS]
    )
    _, maps = score(np.stack([prepare_stored(v, spec).tensor for v in candidates]))
    chosen = sorted(np.argsort(-maps.max(axis=(1, 2)), kind="stable")[:GOLDEN_SLICES])
    return np.stack([candidates[index] for index in chosen])


def radiograph(chest: ThoraxPhantom) -> NDArray[np.uint16]:
    """Return a frontal radiograph of a phantom: parallel rays from back to front, bright where dense.

    Parameters
    ----------
    chest : ThoraxPhantom
        Its matrix and slices are replaced by those that a radiograph needs.

    Returns
    -------
    uint16 array, shape (256, 256)
        Grey levels from 0 to 255, the head above, the patient's left at the right.
    """
    small = ThoraxPhantom(seed=chest.seed, patches=chest.patches, slices=X_RAYED_SLICES, rows=X_RAYED_ROWS)
    # HU + 1024 is proportional to attenuation, for air is about nothing and water 1024.
    rays = np.stack([hu_to_stored(one.hu).astype(np.float32).sum(axis=0) for one in small])[::-1]
    image = resized(np.ascontiguousarray(rays), (RADIOGRAPH, RADIOGRAPH))
    black, white = np.percentile(image, CONTRAST)
    grey = np.rint(np.clip((image - black) / (white - black), 0, 1) * 255)
    return np.asarray(grey, dtype=np.uint16)
