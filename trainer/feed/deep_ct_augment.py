"""Augmentation of the Deep-CT-Net paper, section 4.1: rotation and translation, the first of its five steps.

The other four (histogram equalisation, resizing to 256 x 256, Gaussian blur, standardisation per image)
belong to the input specification and are the node's preparation. The paper leaves open what fills the border:
here zeros, bilinear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.feed.keras_augment import Draws
from trainer.feed.sampling import Outside, about, sample


@dataclass(frozen=True, kw_only=True)
class DeepCtAugmentation:
    """Ranges; the defaults are those of the paper."""

    rotation: float = 15.0
    """Largest angle, degrees, either way."""
    translation: float = 0.05
    """Largest displacement along each axis, as a share of its length."""


def deep_ct_augmented(grey: NDArray[np.uint8], how: DeepCtAugmentation, draws: Draws) -> NDArray[np.uint8]:
    """Return a turned and shifted copy of a picture.

    Drawn in this order: angle, displacement along the rows, along the columns. The picture is turned about
    its centre and then moved.

    Parameters
    ----------
    grey : uint8 array, shape (rows, columns)
    how : DeepCtAugmentation
    draws : Draws

    Returns
    -------
    uint8 array, same shape
    """
    rows, columns = grey.shape
    angle = np.deg2rad(draws.uniform(-how.rotation, how.rotation))
    down = float(draws.uniform(-how.translation, how.translation)) * rows
    right = float(draws.uniform(-how.translation, how.translation)) * columns
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    shift = np.array([[1, 0, -down], [0, 1, -right], [0, 0, 1]])
    moved = sample(grey, about(turn, ((rows - 1) / 2, (columns - 1) / 2)) @ shift, Outside.ZERO)
    return np.rint(moved).astype(np.uint8)
