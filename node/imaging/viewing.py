"""Pictures for viewers that show no DICOM: grey levels of pixel words, a part of a picture, and its file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from node.imaging.arrays import Grey
from node.imaging.greyscale import LARGEST_VALUE, Greyscale, LookUpTable

Picture = NDArray[np.uint8]
"""Shape (rows, columns), or (rows, columns, 3) in the order red, green, blue."""

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
PNG_LEVEL: Final = 1
"""Of zlib: more takes several times as long for a few per cent less."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of a picture, in its pixels (PS3.18 section 8.3.5.1.3)."""

    left: float
    top: float
    width: float
    """Not 0; the columns are reversed where it is below."""
    height: float
    """Not 0; the rows are reversed where it is below."""


@dataclass(frozen=True, kw_only=True)
class Viewport:
    """Where a picture is shown."""

    width: int
    height: int
    region: Region | None = None
    """What is shown of it; all where None."""


def shown_levels(
    stored: NDArray[np.signedinteger],
    shown: NDArray[np.bool_],
    padded: NDArray[np.bool_],
    greyscale: Greyscale,
) -> Grey:
    """Return the grey level of each stored value.

    Unlike `node.imaging.greyscale.grey_levels`, values of any number of bits are taken, and polarity is that
    of display: nothing is said about what is dense.

    Parameters
    ----------
    stored : integer array
        Values of pixels, or all values that pixels may have.
    shown : bool array, same shape
        Which of them the image has; without a window their least and greatest make the range.
    padded : bool array, same shape
        Which of them are no measurement; they become black.
    greyscale : Greyscale

    Returns
    -------
    uint8 array, same shape

    Raises
    ------
    ValueError
        The modality transformation takes values beyond all numbers.
    """
    with np.errstate(over="ignore"):
        values = greyscale.modality(stored.astype(np.float64))
    if np.abs(values).max(initial=0) > LARGEST_VALUE:
        raise ValueError("the modality transformation makes numbers that no image has")
    voi = greyscale.voi
    if isinstance(voi, LookUpTable):
        levels = voi(values) / ((1 << voi.bits) - 1)
    elif voi is not None:
        levels = voi(values)
    else:
        least = values.min(where=shown, initial=math.inf)
        most = values.max(where=shown, initial=-math.inf)
        levels = (values - least) / (most - least) if most > least else np.zeros_like(values)
    if greyscale.inverted:
        levels = 1 - levels
    grey = np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8)
    grey[padded] = 0
    return grey


def fitted(picture: Picture, viewport: Viewport) -> Picture:
    """Return a picture as large as it can be shown in a viewport, in its own proportions.

    Raises
    ------
    ValueError
        The region lies beyond the picture.
    """
    if viewport.region is not None:
        picture = _cut(picture, viewport.region)
    rows, columns = picture.shape[:2]
    scale = min(viewport.width / columns, viewport.height / rows)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    if size == (columns, rows):
        return picture
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=how), dtype=np.uint8)


def _cut(picture: Picture, region: Region) -> Picture:
    rows, columns = picture.shape[:2]
    left, right = _ends(region.left, region.width, columns)
    top, bottom = _ends(region.top, region.height, rows)
    part = picture[top:bottom, left:right]
    return np.ascontiguousarray(
        part[:: -1 if region.height < 0 else 1, :: -1 if region.width < 0 else 1], dtype=np.uint8
    )


def _ends(begin: float, length: float, size: int) -> tuple[int, int]:
    first, last = round(begin), round(begin + abs(length))
    if not 0 <= first < last <= size:
        raise ValueError("the region lies beyond the picture")
    return first, last


def picture_file(picture: Picture, media_type: str, *, quality: int) -> bytes:
    """Return a picture as the bytes of a file.

    Parameters
    ----------
    picture : uint8 array, shape (rows, columns) or (rows, columns, 3)
    media_type : str
        `JPEG` or `PNG`.
    quality : int
        Of JPEG, from 1 to 100.
    """
    if picture.ndim == 3:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), dtype=np.uint8)
    if media_type == PNG:
        done, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
    else:
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError("the picture cannot be written")
    return data.tobytes()
