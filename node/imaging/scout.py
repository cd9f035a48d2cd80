"""A series at a glance: its coronal mean upright, and what was measured slice by slice on the same z axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from node.imaging.arrays import Grey, Real, Stored
from node.imaging.heatmap import in_grey, mark_sides
from node.imaging.lettering import BLUE, ORANGE, SOFT, WHITE, Colour, width_of, wrapped, write

WIDEST_GAP = 1.5
"""Steps between slices; a wider gap stays black: nothing is shown that was not received."""
LETTERS = 11.0
"""Height of a capital letter, in pixels."""
_FAINT, _DARK = (80, 80, 80), (48, 48, 48)
_WIDEST_SCOUT = 0.36
"""Share of the panel's width."""
_LANE, _PLOT, _TAGS, _RULER, _GAP, _FOOT = 10, 250, 46, 64, 10, 26
_TAG_PITCH = 16
_FEWEST_ROWS = 6 * _TAG_PITCH
"""Of the z axis, so that six names stand beside it; a series shorter than that is stretched."""
_MARKS_MM = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, kw_only=True)
class Level:
    """One slice on the z axis."""

    position: float
    """Along the normal, in mm; grows from feet to head."""
    profile: Real
    """Array of shape (columns,): mean HU over the rows of the slice in display orientation."""
    value: float | None
    """What the plot shows, in units of its axis; None where nothing was measured."""
    selected: bool
    positive: bool
    tag: str
    """Name of the slice where it is shown below; else empty."""


@dataclass(frozen=True, kw_only=True)
class ScoutText:
    """The wording of a scout."""

    plot: str
    """What the plot shows; beneath it."""
    ends: tuple[str, str]
    """At the two ends of the plot's axis."""
    positive: str
    selected: str
    not_selected: str
    threshold: str
    """Of the dashed line; empty without one."""
    notes: tuple[str, ...]
    """On the picture: what it is, and what the numbers beside the plot are."""
    stretched: str
    """One more note, where the z axis is longer than in the patient."""


@dataclass(frozen=True, kw_only=True)
class Scout:
    """A series along z."""

    levels: Sequence[Level]
    """From feet to head, at least two at different positions."""
    column_mm: float
    """Distance between columns."""
    threshold: float | None
    """On the plot's axis."""
    highest: float
    """Right end of the plot's axis, above 0."""
    text: ScoutText


@dataclass(frozen=True, kw_only=True)
class _ZAxis:
    """From millimetres to rows of the panel."""

    top: float
    """Position of the upper edge, in mm."""
    step: float
    """Between neighbouring slices, in mm."""
    scale: float
    """Pixels in a millimetre."""
    rows: int

    def row(self, position: float) -> float:
        return (self.top - position) * self.scale


def coronal_profile(v: Stored) -> Real:
    """Return the mean HU of each column of a slice.

    Parameters
    ----------
    v : uint16 array, shape (rows, columns)
        HU + 1024, clipped to 0..4095, in display orientation (columns to the left, rows to the back).

    Returns
    -------
    float32 array, shape (columns,)
    """
    return np.asarray(v.mean(axis=0, dtype=np.float32) - np.float32(1024), dtype=np.float32)


def draw_scout(scout: Scout, width: int, height: int) -> Grey:
    """Return the panel: coronal mean, selected and positive slices, plot, positions and legend.

    Parameters
    ----------
    scout : Scout
    width : int
        Of the panel, in pixels; at least 900.
    height : int
        At most, in pixels, where the legend needs no more; at least 200.

    Returns
    -------
    uint8 array, shape (rows, width, 3), RGB
    """
    positions = [level.position for level in scout.levels]
    step = float(np.median(np.diff(positions)))
    extent = positions[-1] - positions[0] + step
    wide_mm = max(level.profile.size for level in scout.levels) * scout.column_mm
    scale = min((height - _FOOT) / extent, _WIDEST_SCOUT * width / wide_mm)
    rows, columns = max(_FEWEST_ROWS, round(extent * scale)), max(8, round(wide_mm * scale))
    axis = _ZAxis(top=positions[-1] + step / 2, step=step, scale=rows / extent, rows=rows)
    left = columns + 4 + _LANE + _GAP + _PLOT
    notes = (*scout.text.notes, *((scout.text.stretched,) if rows > 1.05 * extent * scale else ()))
    legend = _legend(scout.text, notes, width - left - _TAGS - _RULER - 2 * _GAP - 8)
    panel = np.zeros((max(rows + _FOOT, legend.shape[0]), width, 3), dtype=np.uint8)
    panel[: legend.shape[0], -8 - legend.shape[1] : -8] = legend
    picture = in_grey(_coronal(scout.levels, axis, columns))
    mark_sides(picture, ("R", "L"), LETTERS)
    panel[:rows, :columns] = picture
    _draw_lane(panel, scout.levels, axis, columns + 4)
    _draw_plot(panel, scout, axis, left - _PLOT)
    _draw_tags(panel, scout.levels, axis, left)
    _draw_ruler(panel, positions, axis, left + _TAGS)
    return panel


def _coronal(levels: Sequence[Level], axis: _ZAxis, columns: int) -> Grey:
    """Return the coronal mean, linear between slices, black in gaps."""
    lines = np.vstack(
        [cv2.resize(level.profile[None], (columns, 1), interpolation=cv2.INTER_AREA) for level in levels]
    )
    positions = np.array([level.position for level in levels])
    wanted = axis.top - (np.arange(axis.rows) + 0.5) / axis.scale
    place = np.interp(wanted, positions, np.arange(len(levels)))
    below = np.minimum(place.astype(int), len(levels) - 2)
    share = (place - below)[:, None]
    values = lines[below] * (1 - share) + lines[below + 1] * share
    dark, bright = np.percentile(lines, (2, 99.5))
    grey = np.clip((values - dark) / max(1.0, bright - dark), 0, 1) * 255
    gap = positions[below + 1] - positions[below] > WIDEST_GAP * axis.step
    far = np.abs(wanted[:, None] - positions[None]).min(axis=1) > axis.step / 2
    grey[gap & far] = 0
    return np.asarray(np.rint(grey), dtype=np.uint8)


def _colour(level: Level) -> Colour:
    return ORANGE if level.positive else BLUE if level.selected else _FAINT


def _placed(levels: Sequence[Level], axis: _ZAxis) -> list[tuple[Level, slice]]:
    """Return each slice with its rows, at least one.

    Neighbours meet half way: a row between them would look like a slice that was not received.
    """
    ends = [(level.position - axis.step / 2, level.position + axis.step / 2) for level in levels]
    for index, (below, above) in enumerate(pairwise(levels)):
        if above.position - below.position <= WIDEST_GAP * axis.step:
            middle = (below.position + above.position) / 2
            ends[index], ends[index + 1] = (ends[index][0], middle), (middle, ends[index + 1][1])
    placed = []
    for level, (low, high) in zip(levels, ends, strict=True):
        first = max(0, min(axis.rows - 1, round(axis.row(high))))
        placed.append((level, slice(first, max(first + 1, round(axis.row(low))))))
    return placed


def _draw_lane(panel: Grey, levels: Sequence[Level], axis: _ZAxis, left: int) -> None:
    """Colour each slice by what became of it; positive ones last, so that none is painted over."""
    for level, rows in sorted(_placed(levels, axis), key=lambda item: (item[0].positive, item[0].selected)):
        panel[rows, left : left + _LANE] = _colour(level) if level.selected else _DARK


def _draw_plot(panel: Grey, scout: Scout, axis: _ZAxis, left: int) -> None:
    """Draw a bar for each slice from 0 to its value, the threshold, and the axis."""
    for share in (0.0, 0.5, 1.0):
        panel[: axis.rows, left + round(share * (_PLOT - 1))] = _DARK
    for level, rows in sorted(_placed(scout.levels, axis), key=lambda item: item[0].positive):
        if level.value is not None:
            share = min(1.0, max(0.0, level.value / scout.highest))
            panel[rows, left : left + max(1, round(share * _PLOT))] = _colour(level)
    if scout.threshold is not None and 0 <= scout.threshold <= scout.highest:
        column = left + min(_PLOT - 1, round(scout.threshold / scout.highest * _PLOT))
        for row in range(0, axis.rows, 8):
            panel[row : min(axis.rows, row + 4), column : column + 2] = WHITE
    line = axis.rows + 1.6 * LETTERS
    low, high = scout.text.ends
    write(panel, low, (left, line), height=LETTERS, colour=SOFT)
    room = _PLOT - 3 * LETTERS - width_of(high, LETTERS)
    write(panel, scout.text.plot, (left + 2 * LETTERS, line), height=LETTERS, colour=SOFT, room=room)
    write(panel, high, (left + _PLOT - width_of(high, LETTERS), line), height=LETTERS, colour=SOFT)


def _draw_tags(panel: Grey, levels: Sequence[Level], axis: _ZAxis, left: int) -> None:
    """Name the slices shown below, each joined to its place by a line; names are moved apart."""
    named = [level for level in reversed(levels) if level.tag]
    wanted = [axis.row(level.position) for level in named]
    rows = _apart(wanted, _TAG_PITCH, _TAG_PITCH / 2, axis.rows - _TAG_PITCH / 2)
    for level, true, row in zip(named, wanted, rows, strict=True):
        ends = (left + 3, round(true)), (left + _TAGS - 18, round(row))
        cv2.line(panel, *ends, SOFT, 1, cv2.LINE_AA)
        place = (left + _TAGS - 15, row + LETTERS / 2)
        write(panel, level.tag, place, height=LETTERS, colour=_colour(level), bold=True)


def _apart(wanted: Sequence[float], pitch: float, first: float, last: float) -> list[float]:
    """Return ascending places at least a pitch apart, near to the wanted ones and within the limits."""
    placed: list[float] = []
    for place in wanted:
        placed.append(max(place, placed[-1] + pitch if placed else first))
    limit = last
    for index in reversed(range(len(placed))):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - pitch
    return placed


def _draw_ruler(panel: Grey, positions: Sequence[float], axis: _ZAxis, left: int) -> None:
    """Write positions in mm beside the plot, as close as they stay readable."""
    size = 0.75 * LETTERS
    shortest = 2.5 * LETTERS / axis.scale
    step = next((mm for mm in _MARKS_MM if mm >= shortest), _MARKS_MM[-1])
    first = int(np.ceil(positions[0] / step))
    for mark in range(first, int(np.floor(positions[-1] / step)) + 1):
        row = axis.row(mark * step)
        panel[min(axis.rows - 1, round(row)), left : left + 6] = SOFT
        place = (left + 10, max(row, 0.7 * size) + size / 2)
        said = f"{mark * step:+d} mm" if mark else "0 mm"  # else a tick would look like a minus
        write(panel, said, place, height=size, colour=SOFT, room=_RULER - 10)


def _legend(text: ScoutText, notes: Sequence[str], room: int) -> Grey:
    """Return what colours and lines mean, as high as it is long."""
    pitch, indent = 1.75 * LETTERS, 18
    marks: list[tuple[str, Colour | None]] = [
        (text.positive, ORANGE),
        (text.selected, BLUE),
        (text.not_selected, _FAINT),
        (text.threshold, WHITE),
        *((note, None) for note in notes),
    ]
    said = [
        (wrapped(line, room - (indent if colour else 0), LETTERS), colour) for line, colour in marks if line
    ]
    rows = sum(len(lines) * pitch + (0 if colour else 0.5 * LETTERS) for lines, colour in said)
    made = np.zeros((round(rows + 1.3 * LETTERS), room, 3), dtype=np.uint8)
    row = 1.3 * LETTERS
    for lines, colour in said:
        top = round(row - 0.8 * LETTERS)
        if colour is WHITE:
            made[top : top + 4, 4:6] = made[top + 7 : top + 11, 4:6] = WHITE
        elif colour:
            made[top : top + 10, :10] = colour
        else:
            row += 0.5 * LETTERS
        for line in lines:
            place = (indent if colour else 0, row)
            write(made, line, place, height=LETTERS, colour=WHITE if colour else SOFT)
            row += pitch
    return made
