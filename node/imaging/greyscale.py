"""Stored values of a radiograph to 8-bit grey levels: the greyscale pipeline (PS3.4 N.2.1).

Stored values pass the modality transformation (PS3.3 C.11.1), then the values of interest (C.11.2), then the
polarity; bright is dense in the end. Every step maps single values, so a table of all values that an image
holds is computed once and the pixels are looked up in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from node.imaging.arrays import Grey

Values = NDArray[np.float64]
MOST_VALUES = 1 << 16
"""Values that 16 stored bits distinguish; no detector gives more."""
LARGEST_VALUE = 1e12
"""Behind the modality transformation; windows of such numbers are computed without loss."""
BLACK = 0


class WindowFunction(StrEnum):
    """VOILUTFunction (0028,1056), PS3.3 C.11.2.1.3."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """Slope and intercept of the modality transformation."""

    slope: float
    intercept: float

    def __call__(self, values: Values) -> Values:
        """Return the output of the modality transformation."""
        return values * self.slope + self.intercept


@dataclass(frozen=True, kw_only=True)
class Window:
    """WindowCenter and WindowWidth, in values that have passed the modality transformation."""

    center: float
    width: float
    """At least 1 for LINEAR, above 0 otherwise."""
    function: WindowFunction

    def __post_init__(self) -> None:
        narrowest = 1.0 if self.function is WindowFunction.LINEAR else 0.0
        if self.width < narrowest or self.width == 0:
            raise ValueError(f"a {self.function} window of width {self.width:g} shows nothing")

    def __call__(self, values: Values) -> Values:
        """Return 0 for what is darkest within the window, 1 for what is brightest (PS3.3 C.11.2.1.2)."""
        if self.function is WindowFunction.SIGMOID:
            argument = np.clip(-4 * (values - self.center) / self.width, -700, 700)
            return np.asarray(1 / (1 + np.exp(argument)), dtype=np.float64)
        if self.function is WindowFunction.LINEAR_EXACT:
            return np.asarray(np.clip((values - self.center) / self.width + 0.5, 0, 1), dtype=np.float64)
        middle = self.center - 0.5
        if self.width == 1:
            return np.asarray(values > middle, dtype=np.float64)
        return np.asarray(np.clip((values - middle) / (self.width - 1) + 0.5, 0, 1), dtype=np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class LookUpTable:
    """A table of the modality or of the values of interest (PS3.3 C.11.1.1.1, C.11.2.1.1)."""

    first: int
    """Input value that the first entry belongs to; smaller ones get the first, larger ones the last entry."""
    entries: NDArray[np.uint16]
    """Array, shape (entries,); at least one."""
    bits: int
    """Bits of an entry."""

    def __call__(self, values: Values) -> Values:
        """Return the entries of values, as they stand in the table."""
        places = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[places.astype(np.int64)], dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Greyscale:
    """How the stored values of one image become grey levels."""

    modality: Rescale | LookUpTable
    voi: Window | LookUpTable | None
    """None: all values that the image holds are shown."""
    inverted: bool
    """The least value is shown white (MONOCHROME1, PS3.3 C.7.6.3.1.2)."""


def grey_levels(stored: NDArray[np.signedinteger], padded: NDArray[np.bool_], greyscale: Greyscale) -> Grey:
    """Return the image that a reader sees, 8 bit.

    Parameters
    ----------
    stored : integer array, shape (rows, columns)
    padded : bool array, same shape
        Pixels that were never exposed; they become black and take no part in anything.
    greyscale : Greyscale

    Returns
    -------
    uint8 array, same shape
        0 where rays passed freely, 255 where the body is densest.

    Raises
    ------
    ValueError
        The values span more than 16 bits, or the modality transformation takes them beyond all numbers.
    """
    exposed = ~padded
    if not exposed.any():
        return np.zeros(stored.shape, dtype=np.uint8)
    limits = np.iinfo(stored.dtype)
    lowest = int(stored.min(where=exposed, initial=limits.max))
    highest = int(stored.max(where=exposed, initial=limits.min))
    if highest - lowest >= MOST_VALUES:
        raise ValueError(f"pixel values from {lowest} to {highest} are beyond 16 bits")
    places = np.empty(stored.shape, dtype=np.uint16)  # a quarter of what the differences would take
    np.subtract(stored, lowest, out=places, casting="unsafe")
    places[padded] = 0
    with np.errstate(over="ignore"):
        values = greyscale.modality(np.arange(lowest, highest + 1, dtype=np.float64))
    if np.abs(values).max() > LARGEST_VALUE:
        raise ValueError("the modality transformation makes numbers that no radiograph has")
    shown = _of_interest(greyscale.voi, values, places, exposed)
    if greyscale.inverted:
        shown = 1 - shown
    table = np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    grey = table[places]
    grey[padded] = BLACK
    return np.asarray(grey, dtype=np.uint8)


def _of_interest(
    voi: Window | LookUpTable | None,
    values: Values,
    places: NDArray[np.uint16],
    exposed: NDArray[np.bool_],
) -> Values:
    """Return values from 0, dark, to 1; without a window or table those that exposed pixels have span it."""
    if isinstance(voi, LookUpTable):
        return voi(values) / ((1 << voi.bits) - 1)
    if voi is not None:
        return voi(values)
    present = np.zeros(len(values), dtype=np.bool_)
    present[places[exposed]] = True
    least, most = values[present].min(), values[present].max()
    return (values - least) / (most - least) if most > least else np.zeros_like(values)
