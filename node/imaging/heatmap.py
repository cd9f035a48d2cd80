"""The heatmap picture of one image: where the network looked, with everything a reader must know on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from node.imaging.arrays import Box, Grey, Real
from node.imaging.lettering import AMBER, BLACK, SOFT, WHITE, strip, width_of, write

FAINTEST, OPACITY = 0.16, 0.65
"""Opacity of the map's maximum at a score that just reaches the threshold, and at a score of 1."""
SMALLEST_SIDE = 512
"""Smaller slices are enlarged by a whole factor up to this width, or the text could not be read."""
MOST_ROWS = 4096
"""A narrow image is not enlarged beyond this height; it gets black edges instead."""
LETTERS = 10.5
"""Height of a capital letter in a picture of the smallest width, in pixels; it grows with the picture."""
BRIGHT_COLOURS = (24, 232)
"""Part of the colour map that is used, of 0..255."""
MOST_STRETCH = 4.0
"""Largest ratio of a pixel's sides that is believed; a picture under a wilder one is left as it is."""
_SQUARE_WITHIN = 0.01
_PITCH, _MARGIN = 20.0, 8.0


@dataclass(frozen=True, kw_only=True)
class HeatmapCaption:
    """What stands on the picture beside the map."""

    banner: str
    """What the picture is not; above it."""
    model: str
    """Name and version of the model."""
    strength: float
    """Opacity of the map's maximum, from `opacity`."""
    said: str
    """The score as a reader shall understand it."""
    place: str
    """Which one of the study's images it is."""
    scale: tuple[str, str]
    """What the two ends of the colour scale mean."""
    notes: tuple[str, ...]
    """How the map is to be read."""
    no_map: str
    """Stands instead of scale and notes when no part of the image raised the score."""
    sides: tuple[str, str]
    """Marks at the left and the right edge; empty where the patient's sides are not known."""


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


def opacity(score: float, threshold: float) -> float:
    """Return the opacity of the map's maximum: a score just above the threshold does not look like 0.99.

    Parameters
    ----------
    score : float
        Of the positive class, 0..1.
    threshold : float
        A slice is positive when its score reaches it, 0..1; below it there is no map, the opacity is 0.
    """
    if score < threshold:
        return 0.0
    above = (min(score, 1.0) - threshold) / (1 - threshold) if threshold < 1 else 1.0
    return FAINTEST + (OPACITY - FAINTEST) * above


def overlay(grey: Grey, relative: Real, strength: float) -> Grey:
    """Colour an image by its map.

    Parameters
    ----------
    grey : uint8 array, shape (rows, columns)
        The slice in a lung window, or the radiograph.
    relative : float32 array, same shape, 0..1
    strength : float
        From `opacity`, 0..1.

    Returns
    -------
    uint8 array, shape (rows, columns, 3), RGB
    """
    hues = colours(np.rint(relative * 255).astype(np.uint8)).astype(np.float32)
    alpha = (np.float32(strength) * relative)[..., None]
    base = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
    return np.rint(base + alpha * (hues - base)).astype(np.uint8)


def mapped(grey: Grey, cam: Real, box: Box, strength: float) -> Grey | None:
    """Return an image under its map; None when no part of it raised the score.

    Parameters
    ----------
    grey : uint8 array, shape (rows, columns)
    cam : float32 array, shape (grid rows, grid columns)
    box : Box
        Part of the image that the network saw.
    strength : float
        From `opacity`, 0..1.

    Returns
    -------
    uint8 array, shape (rows, columns, 3), RGB, or None
    """
    relative = normalised(place_cam(cam, box, (grey.shape[0], grey.shape[1])))
    return None if relative is None else overlay(grey, relative, strength)


def squared(picture: Grey, pixel_spacing: tuple[float, float] | None) -> Grey:
    """Return an image with pixels as high as wide, so that it has the patient's proportions.

    Parameters
    ----------
    picture : uint8 array, shape (rows, columns) or (rows, columns, 3)
    pixel_spacing : (between rows, between columns), mm, or None
        None where unknown: the pixels are taken as square.

    Returns
    -------
    uint8 array of as many dimensions, larger along one side
    """
    high, wide = pixel_spacing or (1.0, 1.0)
    stretch = max(high, wide) / min(high, wide)
    if not 1 + _SQUARE_WITHIN < stretch <= MOST_STRETCH:
        return picture
    rows, columns = picture.shape[:2]
    size = (round(columns * max(1.0, wide / high)), round(rows * max(1.0, high / wide)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def render(
    grey: Grey,
    cam: Real,
    box: Box,
    caption: HeatmapCaption,
    pixel_spacing: tuple[float, float] | None,
) -> Grey:
    """Return the finished picture: banner, image with its map, legend.

    Parameters
    ----------
    grey : uint8 array, shape (rows, columns)
        The slice in a lung window, or the radiograph; in display orientation.
    cam : float32 array, shape (grid rows, grid columns)
    box : Box
        Part of the image that the network saw.
    caption : HeatmapCaption
    pixel_spacing : (between rows, between columns), mm, or None
        Of the image; None where unknown.

    Returns
    -------
    uint8 array, shape (rows, columns, 3), RGB
        Larger than the image by the strips above and below it.
    """
    coloured = mapped(grey, cam, box, caption.strength)
    picture = squared(in_grey(grey) if coloured is None else coloured, pixel_spacing)
    rows, columns = picture.shape[:2]
    factor = max(1, min(-(-SMALLEST_SIDE // columns), MOST_ROWS // rows))
    picture = np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)
    edges = max(0, SMALLEST_SIDE - picture.shape[1])
    picture = np.pad(picture, ((0, 0), (edges // 2, edges - edges // 2), (0, 0)))
    width = picture.shape[1]
    unit = width / SMALLEST_SIDE
    mark_sides(picture, caption.sides, 1.3 * LETTERS * unit)
    head = [(caption.banner, AMBER, True), (caption.model, SOFT, False)]
    foot = [(caption.said, WHITE, True), (caption.place, WHITE, False)]
    if coloured is None:
        foot.append((caption.no_map, WHITE, False))
    else:
        foot += [("", WHITE, False), *((note, WHITE, False) for note in caption.notes)]
    size, margin, pitch = LETTERS * unit, _MARGIN * unit, _PITCH * unit
    below = strip(width, foot, height=size, margin=margin, pitch=pitch)
    if coloured is not None:
        colour_scale(below, caption.scale, (margin, 3 * pitch - 0.3 * size), size, width - 2 * margin)
    above = strip(width, head, height=size, margin=margin, pitch=pitch)
    return np.ascontiguousarray(np.vstack([above, picture, below]))


def in_grey(grey: Grey) -> Grey:
    """Return a grey image in three channels.

    Parameters
    ----------
    grey : uint8 array, shape (rows, columns)
    """
    return np.repeat(grey[..., None], 3, axis=2)


def mark_sides(picture: Grey, sides: tuple[str, str], size: float) -> None:
    """Write the patient's sides at the edges of an image.

    Parameters
    ----------
    picture : uint8 array, shape (rows, columns, 3)
        Is changed.
    sides : (left edge, right edge)
    size : float
        Height of a capital letter, in pixels.
    """
    row = picture.shape[0] / 2
    places = (0.6 * size, picture.shape[1] - 0.6 * size - width_of(sides[1], size))
    for mark, column in zip(sides, places, strict=True):
        for right, down in ((-1, 0), (1, 0), (0, -1), (0, 1), (1, 1)):
            place = (column + 0.12 * size * right, row + 0.12 * size * down)
            write(picture, mark, place, height=size, colour=BLACK, bold=True)
        write(picture, mark, (column, row), height=size, colour=WHITE, bold=True)


def colour_scale(
    picture: Grey, ends: tuple[str, str], place: tuple[float, float], size: float, room: float
) -> None:
    """Draw the scale of the map's colours with the meaning of its two ends on one line.

    Parameters
    ----------
    picture : uint8 array, shape (rows, columns, 3)
        Is changed.
    ends : (lowest, highest)
    place : (column, row)
        Left end of the line of writing, in pixels.
    size : float
        Height of a capital letter, in pixels.
    room : float
        Width of the line; the texts are written smaller where they need more.
    """
    gap, bar = 0.7 * size, 11 * size
    needed = width_of(ends[0], size) + width_of(ends[1], size)
    letters = size * min(1.0, (room - bar - 2 * gap) / max(1.0, needed))
    left, bottom = place
    write(picture, ends[0], place, height=letters, colour=WHITE)
    start = round(left + width_of(ends[0], letters) + gap)
    end = round(start + bar)
    ramp = np.rint(np.linspace(0, 255, end - start)).astype(np.uint8)
    picture[round(bottom - 1.1 * size) : round(bottom + 0.1 * size), start:end] = colours(ramp[None])
    write(picture, ends[1], (end + gap, bottom), height=letters, colour=WHITE)


def colours(levels: Grey) -> Grey:
    """Return RGB colours of 8-bit levels, blue to red.

    Without the dark ends of the colour map: the highest level would be less conspicuous than one below it.

    Parameters
    ----------
    levels : uint8 array, shape (rows, columns)

    Returns
    -------
    uint8 array, shape (rows, columns, 3)
    """
    first, last = BRIGHT_COLOURS
    bright = np.rint(first + levels.astype(np.float32) * ((last - first) / 255)).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(bright, cv2.COLORMAP_TURBO)[..., ::-1], dtype=np.uint8)
