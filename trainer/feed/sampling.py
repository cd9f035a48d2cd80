"""Affine sampling of an image: bilinear, in double precision, output to input.

The arithmetic is that of a first-order spline without prefilter. Libraries made for speed round positions to
1/32 pixel; a stored answer could then not be met.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.floating[Any]]


class Outside(StrEnum):
    """What lies beyond the border of an image."""

    EDGE = "edge"
    """The nearest pixel of the image."""
    ZERO = "zero"
    """Zeros, with which the outermost pixels blend."""


def about(matrix: Real, centre: tuple[float, float]) -> Real:
    """Return a transform that has ``centre`` as its origin.

    Parameters
    ----------
    matrix : float array, shape (3, 3)
        Homogeneous, in (row, column, 1).
    centre : (row, column)

    Returns
    -------
    float array, shape (3, 3)
    """
    there, back = np.eye(3), np.eye(3)
    there[:2, 2] = centre
    back[:2, 2] = -there[:2, 2]
    return np.asarray(there @ matrix @ back)


def sample(image: NDArray[Any], matrix: Real, outside: Outside) -> NDArray[np.float32]:
    """Return the image whose pixel ``p`` is the input at ``matrix @ p``.

    Parameters
    ----------
    image : array, shape (rows, columns)
    matrix : float array, shape (3, 3)
        Output to input position, in (row, column, 1).
    outside : Outside

    Returns
    -------
    float32 array, shape (rows, columns)
    """
    rows, columns = image.shape
    row, column = np.arange(rows, dtype=np.float64)[:, None], np.arange(columns, dtype=np.float64)[None]
    at_row = matrix[0, 0] * row + matrix[0, 1] * column + matrix[0, 2]
    at_column = matrix[1, 0] * row + matrix[1, 1] * column + matrix[1, 2]
    padded = np.pad(image, 1, mode="edge" if outside is Outside.EDGE else "constant")
    at_row = np.clip(at_row + 1, 0, rows + 1)
    at_column = np.clip(at_column + 1, 0, columns + 1)
    top = np.minimum(at_row.astype(np.intp), rows)
    left = np.minimum(at_column.astype(np.intp), columns)
    down, right = at_row - top, at_column - left
    flat, start = padded.astype(np.float64).ravel(), top * (columns + 2) + left
    upper = flat[start] * (1 - right) + flat[start + 1] * right
    lower = flat[start + columns + 2] * (1 - right) + flat[start + columns + 3] * right
    return np.asarray(upper * (1 - down) + lower * down, dtype=np.float32)
