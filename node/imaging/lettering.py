"""Text on pictures: drawn four times as large and reduced, so that small letters stay readable."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from node.imaging.arrays import Grey

WHITE, BLACK = (235, 235, 235), (0, 0, 0)
AMBER, SOFT = (255, 190, 60), (175, 175, 175)
BLUE, ORANGE = (95, 165, 250), (255, 140, 40)
"""Told apart without red and green: selected, and positive."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL = 21.0
"""Height of a capital letter of the font at scale 1, in pixels."""
_FINER = 4
_DESCENT = 0.45
"""Room below the line of writing, in heights of a capital letter."""

Colour = tuple[int, int, int]


def width_of(text: str, height: float) -> float:
    """Return how wide a line is, in pixels.

    Parameters
    ----------
    text : str
    height : float
        Of a capital letter, in pixels.
    """
    (wide, _), _ = cv2.getTextSize(_printable(text), _FONT, height * _FINER / _CAPITAL, 1)
    return float(wide) / _FINER


def write(
    picture: Grey,
    text: str,
    place: tuple[float, float],
    *,
    height: float,
    colour: Colour,
    bold: bool = False,
    room: float | None = None,
) -> None:
    """Write a line into a picture; what would lie outside of it is cut off.

    Parameters
    ----------
    picture : uint8 array, shape (rows, columns, 3), RGB
        Is changed.
    text : str
        What the font does not have becomes a question mark.
    place : (column, row)
        Left end of the line of writing, in pixels.
    height : float
        Of a capital letter, in pixels.
    colour : (red, green, blue)
    bold : bool
    room : float, optional
        A line wider than this is written smaller.
    """
    if room is not None:
        height *= min(1.0, room / max(1.0, width_of(text, height)))
    stroke = height * (0.19 if bold else 0.13)
    left, top = round(place[0]), round(place[1] - 1.3 * height)
    high, wide = round((1.3 + _DESCENT) * height) + 1, round(width_of(text, height) + 2 * stroke) + 2
    fine = np.zeros((high * _FINER, wide * _FINER), dtype=np.uint8)
    cv2.putText(
        fine,
        _printable(text),
        (round(stroke * _FINER), round(1.3 * height * _FINER)),
        _FONT,
        height * _FINER / _CAPITAL,
        255,
        max(1, round(stroke * _FINER)),
        cv2.LINE_AA,
    )
    ink = cv2.resize(fine, (wide, high), interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] / 255
    rows, columns = slice(max(0, top), max(0, top + high)), slice(max(0, left), max(0, left + wide))
    part = picture[rows, columns]
    ink = ink[max(0, -top) :, max(0, -left) :][: part.shape[0], : part.shape[1]]
    part[:] = np.rint(part + ink * (np.asarray(colour, dtype=np.float32) - part)).astype(np.uint8)


def wrapped(text: str, room: float, height: float) -> list[str]:
    """Break a text between words into lines that fit.

    Parameters
    ----------
    text : str
    room : float
        Width of a line in pixels; a single word may be wider.
    height : float
        Of a capital letter, in pixels.
    """
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, height) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def strip(
    width: int, lines: Sequence[tuple[str, Colour, bool]], *, height: float, margin: float, pitch: float
) -> Grey:
    """Return a black strip with lines of text; a line too long for it is written smaller.

    Parameters
    ----------
    width : int
        Columns.
    lines : sequence of (text, colour, bold)
    height : float
        Of a capital letter, in pixels.
    margin : float
        Left and right of the text, in pixels.
    pitch : float
        From line to line, in pixels.

    Returns
    -------
    uint8 array, shape (rows, width, 3)
    """
    made = np.zeros((round(pitch * len(lines) + 0.6 * height), width, 3), dtype=np.uint8)
    for number, (text, colour, bold) in enumerate(lines, start=1):
        place = (margin, pitch * number - 0.3 * height)
        write(made, text, place, height=height, colour=colour, bold=bold, room=width - 2 * margin)
    return made


def _printable(text: str) -> str:
    """Return the text in the letters that the font has."""
    ascii_only = text.encode("ascii", "replace").decode("ascii")
    return "".join(letter if letter.isprintable() else "?" for letter in ascii_only)
