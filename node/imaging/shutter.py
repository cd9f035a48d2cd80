"""What a display shutter leaves of an image (PS3.3 C.7.6.11)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from node.domain.radiograph import DisplayShutter
from node.imaging.arrays import Box

MOST_SQUASHED = 1000.0
"""Height of a pixel against its width, or the reverse; beyond it a circle is a line."""


def shown_within(
    shape: tuple[int, int], shutter: DisplayShutter, pixel: tuple[float, float]
) -> NDArray[np.bool_]:
    """Return which pixels a shutter shows: those within all of its shapes, edges included.

    Parameters
    ----------
    shape : (rows, columns)
    shutter : DisplayShutter
    pixel : (float, float)
        Height and width of a pixel, in any unit: a circle is round on the patient.

    Returns
    -------
    bool array, shape (rows, columns)
    """
    shown = np.ones(shape, dtype=np.bool_)
    rows, columns = np.ogrid[1 : shape[0] + 1, 1 : shape[1] + 1]
    if shutter.rectangle is not None:
        first_row, last_row, first_column, last_column = shutter.rectangle
        shown &= (rows >= first_row) & (rows <= last_row)
        shown &= (columns >= first_column) & (columns <= last_column)
    if shutter.circle is not None:
        row, column, radius = shutter.circle
        squash = min(max(pixel[0] / pixel[1], 1 / MOST_SQUASHED), MOST_SQUASHED)
        down, across = (rows - row) * squash, (columns - column).astype(np.float64)
        shown &= down**2 + across**2 <= float(radius) ** 2
    if shutter.polygon:
        filled = np.zeros(shape, dtype=np.uint8)
        corners = np.array([(column - 1, row - 1) for row, column in shutter.polygon], dtype=np.int32)
        shown &= cv2.fillPoly(filled, [corners], 1).astype(np.bool_)
    return shown


def box_of(shown: NDArray[np.bool_]) -> Box | None:
    """Return the smallest box with everything that is shown, None where nothing is."""
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    if not rows.size:
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
