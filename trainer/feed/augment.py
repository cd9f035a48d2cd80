"""Augmentation of a framed grey picture, before it becomes a tensor.

What may differ between a slice read from DICOM and a picture cut out of a web page is varied at random:
framing, window, gamma, sharpness, noise. Geometry is one affine map (zoom, aspect, rotation, flip) about
the centre.

The grey of aerated lung and that of soft tissue are moved to values drawn at random, the same way for
every picture; or, in a share of the pictures, contrast and brightness are changed alone. Pictures of one
class often come from one workstation with one window; without this a network reads the class from the tone
of the chest wall and knows nothing of lungs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

DARK_BELOW: Final = 128
"""Grey between aerated lung and soft tissue in any lung window."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far each property is varied; 0 leaves it alone."""

    zoom: tuple[float, float]
    """Range of the scale; below 1 the picture shrinks and zeros surround it."""
    aspect: float
    """Largest relative change of width against height."""
    rotation: float
    """Largest angle, degrees, either way."""
    shift: float
    """Largest displacement, as a share of the side."""
    flip: float
    """Probability of a left-right flip."""
    tone: float
    """Probability that the greys of lung and tissue are moved; otherwise contrast and brightness are."""
    contrast: float
    """Largest natural logarithm of the factor about the middle of the grey scale."""
    brightness: float
    """Largest shift, as a share of the grey scale."""
    lung_grey: tuple[float, float]
    """Range to which the commonest dark grey (aerated lung) is moved, 0 to 255."""
    tissue_grey: tuple[float, float]
    """Range to which the median bright grey (soft tissue) is moved, 0 to 255."""
    gamma: float
    """Largest natural logarithm of the exponent."""
    soften: float
    """Probability of a Gaussian blur, and of added noise."""
    noise: float
    """Largest standard deviation of the noise, as a share of the grey scale."""
    erase: float
    """Probability that a rectangle is replaced by a constant grey."""


def augment(grey: NDArray[np.uint8], how: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a varied copy of a framed picture.

    Parameters
    ----------
    grey : uint8 array, shape (rows, columns)
    how : Augmentation
    rng : numpy.random.Generator

    Returns
    -------
    uint8 array, same shape
    """
    varied = _grey_scale(_geometry(grey, how, rng), how, rng)
    if rng.random() < how.soften:
        varied = cv2.GaussianBlur(varied, (0, 0), float(rng.uniform(0.3, 1.2))).astype(np.float32)
    if rng.random() < how.soften:
        varied = varied + rng.normal(0.0, 255.0 * rng.uniform(0.0, how.noise), grey.shape).astype(np.float32)
    if rng.random() < how.erase:
        _erase(varied, rng)
    return np.clip(np.rint(varied), 0, 255).astype(np.uint8)


def _geometry(grey: NDArray[np.uint8], how: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    rows, columns = grey.shape
    scale = np.exp(rng.uniform(np.log(how.zoom[0]), np.log(how.zoom[1])))
    stretch = np.exp(rng.uniform(-how.aspect, how.aspect) / 2)
    angle = np.deg2rad(rng.uniform(-how.rotation, how.rotation))
    mirror = -1.0 if rng.random() < how.flip else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([scale * stretch * mirror, scale / stretch])
    centre = np.array([(columns - 1) / 2, (rows - 1) / 2])
    moved = centre + rng.uniform(-how.shift, how.shift, 2) * (columns, rows)
    affine: NDArray[Any] = np.column_stack([matrix, moved - matrix @ centre])
    return np.asarray(cv2.warpAffine(grey, affine, (columns, rows), flags=cv2.INTER_LINEAR), dtype=np.uint8)


def grey_landmarks(grey: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the grey of aerated lung (commonest below 128) and of soft tissue (median from 128 upwards).

    Parameters
    ----------
    grey : uint8 array, shape (rows, columns)

    Returns
    -------
    lung, tissue : float
        ``lung < tissue``; a half without pixels counts as its middle. Pure black, which is padding, is not
        counted.
    """
    counts = np.bincount(grey.ravel(), minlength=256)
    dark, bright = counts[1:DARK_BELOW], counts[DARK_BELOW:]
    lung = 1 + int(np.argmax(np.convolve(dark, np.ones(5), "same"))) if dark.any() else DARK_BELOW // 2
    middle = int(np.searchsorted(np.cumsum(bright), bright.sum() / 2)) if bright.any() else DARK_BELOW // 2
    return float(lung), float(DARK_BELOW + middle)


def _grey_scale(grey: NDArray[np.uint8], how: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    if how.tone < 1 and rng.random() >= how.tone:
        factor = np.exp(rng.uniform(-how.contrast, how.contrast))
        shift = rng.uniform(-how.brightness, how.brightness)
        curve = np.clip((np.arange(256) / 255.0 - 0.5) * factor + 0.5 + shift, 0, 1)
    else:
        lung, tissue = grey_landmarks(grey)
        targets = (0.0, rng.uniform(*how.lung_grey), rng.uniform(*how.tissue_grey), 255.0)
        curve = np.interp(np.arange(256), (0.0, lung, tissue, 256.0), targets) / 255.0
    curve = curve ** np.exp(rng.uniform(-how.gamma, how.gamma))
    toned: NDArray[np.float32] = (255.0 * curve).astype(np.float32)[grey]
    return toned


def _erase(grey: NDArray[np.float32], rng: np.random.Generator) -> None:
    rows, columns = grey.shape
    height, width = (max(1, int(side * rng.uniform(0.1, 0.3))) for side in (rows, columns))
    top, left = int(rng.integers(0, rows - height + 1)), int(rng.integers(0, columns - width + 1))
    grey[top : top + height, left : left + width] = rng.uniform(0, 255)
