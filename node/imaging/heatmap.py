"""The heatmap picture of one image: where the network looked, with everything a reader must know on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from node.imaging.arrays import Box, Grey, Real

BANNER = "AI, research use, not for diagnosis"
OPACITY = 0.65
"""Opacity of the map's maximum at a score of 1; it falls with the square of the score, so that 0.51 does not
look like 0.99."""
SMALLEST_SIDE = 512
"""Smaller slices are enlarged by a whole factor up to this width, or the text could not be read."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE, _AMBER, _SOFT = (235, 235, 235), (255, 190, 60), (170, 170, 170)

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class HeatmapCaption:
    """What stands on the picture beside the map."""

    model: str
    """Name and version of the model."""
    score: float
    """Probability of the positive class, 0..1."""
    image: str
    """What is shown: "slice" or "radiograph"."""
    place: str
    """Which one of the study's it is."""


def place_cam(cam: Real, box: Box, shape: tuple[int, int]) -> Real:
    """Lay a class activation map over the slice it was made for.

    Parameters
    ----------
    cam : float32 array, shape (grid rows, grid columns)
    box : Box
        Part of the slice that the network saw; may reach outside of the slice.
    shape : (rows, columns)
        Of the slice.

    Returns
    -------
    float32 array, shape ``shape``
        Bilinear within the box, 0 outside of it.
    """
    top, bottom, left, right = box
    grown = cv2.resize(
        np.ascontiguousarray(cam, dtype=np.float32),
        (right - left, bottom - top),
        interpolation=cv2.INTER_LINEAR,
    )
    placed = np.zeros(shape, dtype=np.float32)
    first_row, last_row = max(0, top), min(shape[0], bottom)
    first_column, last_column = max(0, left), min(shape[1], right)
    if first_row >= last_row or first_column >= last_column:
        return placed
    placed[first_row:last_row, first_column:last_column] = grown[
        first_row - top : last_row - top, first_column - left : last_column - left
    ]
    return placed


def normalised(placed: Real) -> Real | None:
    """Return the map divided by its maximum, negative values at 0; None when nothing is above 0.

    Parameters
    ----------
    placed : float32 array, shape (rows, columns)
    """
    highest = float(placed.max(initial=0.0))
    if not np.isfinite(highest) or highest <= 0:
        return None
    return np.asarray(np.clip(placed / highest, 0, 1), dtype=np.float32)


def cell_mm(box: Box, grid: tuple[int, int], pixel_spacing: tuple[float, float]) -> float:
    """Return the longer side of one cell of the map in the patient, in mm.

    Parameters
    ----------
    box : Box
    grid : (rows, columns) of the map
    pixel_spacing : (between rows, between columns), mm
    """
    high = (box[1] - box[0]) * pixel_spacing[0] / grid[0]
    wide = (box[3] - box[2]) * pixel_spacing[1] / grid[1]
    return max(high, wide)


def overlay(grey: Grey, relative: Real, score: float) -> Grey:
    """Colour an image by its map.

    Parameters
    ----------
    grey : uint8 array, shape (rows, columns)
        The slice in a lung window, or the radiograph.
    relative : float32 array, same shape, 0..1
    score : float
        Probability of the positive class; decides the opacity.

    Returns
    -------
    uint8 array, shape (rows, columns, 3), RGB
    """
    colours = _colours(np.rint(relative * 255).astype(np.uint8)).astype(np.float32)
    alpha = (np.float32(OPACITY * min(max(score, 0.0), 1.0) ** 2) * relative)[..., None]
    base = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
    return np.rint(base + alpha * (colours - base)).astype(np.uint8)


def render(
    grey: Grey, cam: Real, box: Box, pixel_spacing: tuple[float, float] | None, caption: HeatmapCaption
) -> Grey:
    """Return the finished picture: banner, image with its map, legend.

    Parameters
    ----------
    grey : uint8 array, shape (rows, columns)
        The slice in a lung window, or the radiograph; in display orientation.
    cam : float32 array, shape (grid rows, grid columns)
    box : Box
        Part of the image that the network saw.
    pixel_spacing : (between rows, between columns), mm
        Of the image as displayed; None when it is not known in the patient.
    caption : HeatmapCaption

    Returns
    -------
    uint8 array, shape (rows, columns, 3), RGB
        Larger than the image by the strips above and below it.
    """
    rows, columns = grey.shape
    relative = normalised(place_cam(cam, box, (rows, columns)))
    picture = (
        np.repeat(grey[..., None], 3, axis=2) if relative is None else overlay(grey, relative, caption.score)
    )
    factor = max(1, -(-SMALLEST_SIDE // columns))
    picture = np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)
    width = picture.shape[1]
    unit = width / SMALLEST_SIDE
    legend = (f"no map: no part of this {caption.image} raised the score", "")
    if relative is not None:
        grid = (cam.shape[0], cam.shape[1])
        legend = (
            f"relative within this {caption.image}; {_cell(box, grid, pixel_spacing)};",
            "not a lesion outline",
        )
    head = _strip(width, unit, [(BANNER, _AMBER), (caption.model, _SOFT)])
    lines = (f"score {caption.score:.2f}, {caption.place}", *legend)
    foot = _strip(width, unit, [(line, _WHITE) for line in lines])
    if relative is not None:
        _colour_scale(foot, unit)
    return np.ascontiguousarray(np.vstack([head, picture, foot]))


def _cell(box: Box, grid: tuple[int, int], pixel_spacing: tuple[float, float] | None) -> str:
    """Say how coarse the map is."""
    if pixel_spacing is None:
        return f"the map has {grid[0]} x {grid[1]} cells"
    return f"one cell is about {cell_mm(box, grid, pixel_spacing):.0f} mm"


def _colours(levels: Grey) -> Grey:
    """Return RGB colours of 8-bit levels, blue to red."""
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_JET)[..., ::-1], dtype=np.uint8)


def _strip(width: int, unit: float, lines: Sequence[tuple[str, Colour]]) -> Grey:
    """Return a black strip with lines of text; a line too long for it is written smaller."""
    height = round(19 * unit)
    strip = np.zeros((height * len(lines) + round(7 * unit), width, 3), dtype=np.uint8)
    for number, (text, colour) in enumerate(lines):
        printable = text.encode("ascii", "replace").decode("ascii")
        size, thickness = 0.5 * unit, max(1, round(unit))
        (needed, _), _ = cv2.getTextSize(printable, _FONT, size, thickness)
        size *= min(1.0, (width - 16 * unit) / max(1, needed))
        origin = (round(8 * unit), height * (number + 1) - round(3 * unit))
        cv2.putText(strip, printable, origin, _FONT, size, colour, thickness, cv2.LINE_AA)
    return strip


def _colour_scale(foot: Grey, unit: float) -> None:
    """Draw the scale of the map's colours into the lower right corner of the foot."""
    wide, high = round(150 * unit), round(10 * unit)
    bottom = foot.shape[0] - round(10 * unit)
    right = foot.shape[1] - round(40 * unit)
    ramp = np.rint(np.linspace(0, 255, wide)).astype(np.uint8)[None].repeat(high, axis=0)
    foot[bottom - high : bottom, right - wide : right] = _colours(ramp)
    for text, left in (("low", right - wide - round(32 * unit)), ("high", right + round(5 * unit))):
        cv2.putText(
            foot, text, (left, bottom - 1), _FONT, 0.42 * unit, _SOFT, max(1, round(unit)), cv2.LINE_AA
        )
