"""The picture that a reader opens first: one page with all that a screening saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from node.imaging.arrays import Box, Grey, Stored
from node.imaging.heatmap import colour_scale, in_grey, mark_sides
from node.imaging.lettering import AMBER, ORANGE, SOFT, WHITE, Colour, strip, wrapped, write
from node.imaging.lungs import body_mask
from node.imaging.scout import Scout, draw_scout

SIDE = 1024
"""Columns of the page, and rows where the text leaves room for it."""
SCOUT_ROWS = 270
SMALLEST_TILES = 500
"""Rows that the images get however long the text is; the page grows then."""
_MARGIN = 8
_SMALL, _MIDDLE, _LARGE = 11.0, 13.0, 19.0
"""Heights of a capital letter, in pixels."""
_LABEL = 42
_MOST_COLUMNS, _WORTH_IT = 3, 1.3
_BODY_MARGIN = 6
"""Pixels of the slice around the body."""


@dataclass(frozen=True, kw_only=True)
class SheetTile:
    """One image of the page."""

    picture: Grey
    """Array of shape (rows, columns) or (rows, columns, 3)."""
    label: str
    """Which image, and its score."""
    detail: str
    """Where it lies."""
    positive: bool
    mapped: bool
    """Whether a map lies over it."""
    sides: tuple[str, str]
    """Marks at the left and the right edge; empty where the patient's sides are not known."""


@dataclass(frozen=True, kw_only=True)
class SheetText:
    """The wording of a page."""

    banner: str
    title: str
    outcome: str
    lines: tuple[str, ...]
    """Counts, reason, warnings, operating point, model."""
    tiles: str
    """Heading over the images."""
    scale: tuple[str, str]
    """What the two ends of the colour scale mean."""
    note: str
    """How the maps are to be read; written only where there is one."""


@dataclass(frozen=True, kw_only=True)
class ContactSheet:
    """All that a page shows."""

    text: SheetText
    flagged: bool
    """Whether the study is flagged."""
    scout: Scout | None
    """None where there is no z axis."""
    tiles: Sequence[SheetTile]


def contact_sheet(sheet: ContactSheet) -> Grey:
    """Return the page.

    Parameters
    ----------
    sheet : ContactSheet

    Returns
    -------
    uint8 array, shape (rows, 1024, 3), RGB
        About 1024 rows: fewer where the images need less, more where the text is long.
    """
    head, foot = _head(sheet), _foot(sheet)
    parts = [head]
    if sheet.scout is not None:
        parts.append(_framed(draw_scout(sheet.scout, SIDE - 2 * _MARGIN, SCOUT_ROWS)))
    parts.append(strip(SIDE, [(sheet.text.tiles, WHITE, True)], height=_SMALL, margin=_MARGIN, pitch=18))
    used = sum(part.shape[0] for part in parts) + foot.shape[0]
    parts += [_tiles(sheet.tiles, max(SMALLEST_TILES, SIDE - used)), foot]
    return np.ascontiguousarray(np.vstack(parts))


def around_body(v: Stored, body_above_hu: int) -> Box:
    """Return the part of a slice that holds the body; all of it where no body is seen.

    Parameters
    ----------
    v : uint16 array, shape (rows, columns)
        HU + 1024, clipped to 0..4095, in display orientation.
    body_above_hu : int
        Tissue is above this, in HU.
    """
    inside = body_mask(v, body_above_hu)
    if not inside.any():
        return (0, v.shape[0], 0, v.shape[1])
    left, top, wide, high = cv2.boundingRect(inside)
    return (
        max(0, top - _BODY_MARGIN),
        min(v.shape[0], top + high + _BODY_MARGIN),
        max(0, left - _BODY_MARGIN),
        min(v.shape[1], left + wide + _BODY_MARGIN),
    )


def _head(sheet: ContactSheet) -> Grey:
    """Return banner, title, outcome, and what stands under them."""
    text, room = sheet.text, SIDE - 2 * _MARGIN
    banner = strip(SIDE, [(text.banner, AMBER, True)], height=_MIDDLE, margin=_MARGIN, pitch=24)
    outcome: Colour = ORANGE if sheet.flagged else WHITE
    parts = [
        banner,
        strip(SIDE, [(text.title, WHITE, False)], height=_MIDDLE, margin=_MARGIN, pitch=22),
        strip(SIDE, [(text.outcome, outcome, True)], height=_LARGE, margin=_MARGIN, pitch=30),
    ]
    lines = [line for said in text.lines for line in wrapped(said, room, _SMALL)]
    parts.append(
        strip(SIDE, [(line, SOFT, False) for line in lines], height=_SMALL, margin=_MARGIN, pitch=18)
    )
    return np.vstack(parts)


def _foot(sheet: ContactSheet) -> Grey:
    """Return the colour scale and how maps are to be read; empty without a map."""
    if not any(tile.mapped for tile in sheet.tiles):
        return np.zeros((_MARGIN, SIDE, 3), dtype=np.uint8)
    room = SIDE - 2 * _MARGIN
    lines: list[tuple[str, Colour, bool]] = [("", WHITE, False)]
    lines += [(line, SOFT, False) for line in wrapped(sheet.text.note, room, _SMALL)]
    made = strip(SIDE, lines, height=_SMALL, margin=_MARGIN, pitch=18)
    colour_scale(made, sheet.text.scale, (_MARGIN, 14), _SMALL, room)
    return made


def _framed(panel: Grey) -> Grey:
    return np.pad(panel, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)))


def _tiles(tiles: Sequence[SheetTile], rows: int) -> Grey:
    """Return the images in the grid that shows them largest; no more rows than they need.

    Fewer columns must gain something: with as many as there are images none stands below another.
    """
    if not tiles:
        return np.zeros((_MARGIN, SIDE, 3), dtype=np.uint8)
    columns = min(_MOST_COLUMNS, len(tiles))
    for fewer in range(columns - 1, 0, -1):
        if _area(tiles, fewer, rows) > _WORTH_IT * _area(tiles, columns, rows):
            columns = fewer
    wide, high = _room(len(tiles), columns, rows)
    lines = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    return np.vstack([_line(line, wide, high) for line in lines])


def _room(tiles: int, columns: int, rows: int) -> tuple[int, int]:
    """Return width and height that an image has in a grid."""
    lines = -(-tiles // columns)
    return (SIDE - _MARGIN) // columns - _MARGIN, rows // lines - _LABEL - _MARGIN


def _area(tiles: Sequence[SheetTile], columns: int, rows: int) -> int:
    sizes = [_size(tile.picture, *_room(len(tiles), columns, rows)) for tile in tiles]
    return sum(size[0] * size[1] for size in sizes)


def _line(tiles: Sequence[SheetTile], wide: int, high: int) -> Grey:
    """Return images side by side, each under its label."""
    pictures = [_fitted(tile.picture, wide, high) for tile in tiles]
    rows = _LABEL + max(picture.shape[0] for picture in pictures) + _MARGIN
    line = np.zeros((rows, SIDE, 3), dtype=np.uint8)
    for place, (tile, picture) in enumerate(zip(tiles, pictures, strict=True)):
        left, room = _MARGIN + place * (wide + _MARGIN), wide - _MARGIN
        colour = ORANGE if tile.positive else WHITE
        write(line, tile.label, (left, 17), height=_MIDDLE, colour=colour, bold=True, room=room)
        write(line, tile.detail, (left, 34), height=_SMALL, colour=SOFT, room=room)
        mark_sides(picture, tile.sides, _MIDDLE)
        line[_LABEL : _LABEL + picture.shape[0], left : left + picture.shape[1]] = picture
    return line


def _size(picture: Grey, wide: int, high: int) -> tuple[int, int]:
    """Return width and height of an image that fills a space."""
    factor = min(wide / picture.shape[1], high / picture.shape[0])
    return max(1, int(picture.shape[1] * factor)), max(1, int(picture.shape[0] * factor))


def _fitted(picture: Grey, wide: int, high: int) -> Grey:
    """Return an image in three channels, as large as it fits into a space."""
    size = _size(picture, wide, high)
    method = cv2.INTER_AREA if size[0] < picture.shape[1] else cv2.INTER_CUBIC
    scaled = np.asarray(cv2.resize(picture, size, interpolation=method), dtype=np.uint8)
    return in_grey(scaled) if scaled.ndim == 2 else scaled
