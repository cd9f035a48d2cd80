"""What keras-preprocessing 1.1.2, Keras 2.15 and SciPy make of the stated slices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras_preprocessing.image
import numpy as np
from scipy import ndimage
from tensorflow import keras

from tests.parity.numbers import DRAWN, SEED, STATED, TURNED, VARIED, Array, Stated, slice_of

SMALL = (8, 9)
"""Rows and columns of the slices whose answers are kept in the repository."""
KEPT = 5
"""Transforms of the stream that are kept."""


def generator(package: Any) -> Any:
    """Return the generator with the ranges of the code published with Rahimzadeh et al. 2021."""
    return package.ImageDataGenerator(
        horizontal_flip=True,
        vertical_flip=True,
        zoom_range=0.05,
        rotation_range=360,
        width_shift_range=0.05,
        height_shift_range=0.05,
        shear_range=0.05,
    )


def stream(package: Any, side: int) -> Array:
    """Return [drawn, 8]: the transforms that a seeded generator draws one after the other."""
    np.random.seed(SEED)
    made = generator(package)
    drawn = [made.get_random_transform((side, side, 1)) for _ in range(DRAWN)]
    return np.array([[float(one[name]) for name in Stated._fields] for one in drawn])


def varied(package: Any, rows: int, columns: int, count: int) -> Array:
    """Return [count, rows, columns]: one slice, augmented with the numbers of one stream."""
    np.random.seed(SEED)
    made = generator(package)
    return np.stack([made.random_transform(slice_of(rows, columns)[..., None])[..., 0] for _ in range(count)])


def stated(one: Stated, rows: int, columns: int) -> Array:
    """Return the stated transform of a slice by SciPy, about ``side / 2 - 0.5``; formulas written out."""
    theta, shear = np.deg2rad(one.theta), np.deg2rad(one.shear)
    turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    slant = np.array([[1, -np.sin(shear)], [0, np.cos(shear)]])
    linear = turn @ slant @ np.diag([one.zx, one.zy])
    centre = np.array([rows, columns]) / 2 - 0.5
    offset = centre + turn @ np.array([one.tx, one.ty]) - linear @ centre
    moved = ndimage.affine_transform(slice_of(rows, columns), linear, offset, order=1, mode="nearest")
    moved = moved[:, ::-1] if one.flip_horizontal else moved
    return moved[::-1] if one.flip_vertical else moved


def turned(degrees: float, down: float, right: float, rows: int, columns: int) -> Array:
    """Return a picture turned about its centre, then moved, in front of black; greys not rounded."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = (np.array([rows, columns]) - 1) / 2
    offset = centre - turn @ (centre + np.array([down * rows, right * columns]))
    grey = slice_of(rows, columns) % 256
    return ndimage.affine_transform(grey, turn, offset, order=1, mode="grid-constant", cval=0)


def answers(rows: int, columns: int, count: int) -> dict[str, Array]:
    """Return all images of one size."""
    return {
        "keras-preprocessing": varied(keras_preprocessing.image, rows, columns, count),
        "keras": varied(keras.preprocessing.image, columns, columns, count),
        "stated": np.stack([stated(one, rows, columns) for one in STATED]),
        "turned": np.stack([turned(*one, rows, columns) for one in TURNED]),
    }


def write_augmentation(folder: Path, used: dict[str, str]) -> None:
    """Write slices of 512 x 512 into an archive, and small ones as text to be kept."""
    drawn = {f"{name}-stream": stream(package, 512) for name, package in packages().items()}
    np.savez(folder / "augmentation.npz", **drawn, **answers(512, 512, VARIED))
    small = {name: values.round(3).tolist() for name, values in answers(*SMALL, 2).items()}
    kept = {name: values[:KEPT].tolist() for name, values in drawn.items()}
    (folder / "augmentation.json").write_text(json.dumps({"made with": used, **kept, **small}) + "\n")


def packages() -> dict[str, Any]:
    """Return the two generators: the one up to keras-preprocessing 1.1.2, and Keras' own of later."""
    return {"keras-preprocessing": keras_preprocessing.image, "keras": keras.preprocessing.image}
