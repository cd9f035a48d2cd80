"""Text stays where it was put, fits, and can be read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.imaging.lettering import WHITE, strip, width_of, wrapped, write


def page(rows=60, columns=400):
    return np.zeros((rows, columns, 3), dtype=np.uint8)


@pytest.mark.parametrize("height", [9, 12, 20])
def test_a_capital_letter_has_the_height_asked_for_and_is_bright(height):
    picture = page()
    write(picture, "HEILIGE", (20, 40), height=height, colour=WHITE)
    inked = np.flatnonzero((picture > 100).any(axis=(1, 2)))
    assert height <= inked.size <= 1.2 * height + 1  # the stroke is drawn around the letter
    assert abs(int(inked[-1]) - 40) <= 1
    assert picture.max() > 180


def test_a_line_is_as_wide_as_it_was_said_to_be():
    picture = page()
    write(picture, "score 0.91", (20, 40), height=12, colour=WHITE)
    inked = np.flatnonzero(picture.any(axis=(0, 2)))
    assert inked[0] >= 19
    assert abs(inked[-1] - inked[0] - width_of("score 0.91", 12)) < 6


def test_a_line_too_long_for_its_room_is_written_smaller():
    picture = page()
    write(
        picture,
        "a line of text that is far too long for its room",
        (0, 40),
        height=14,
        colour=WHITE,
        room=200,
    )
    assert 150 < np.flatnonzero(picture.any(axis=(0, 2)))[-1] < 204


@given(st.text(max_size=40), st.integers(-50, 450), st.integers(-50, 100))
def test_whatever_lies_outside_is_cut_off(text, column, row):
    picture = page()
    write(picture, text, (column, row), height=12, colour=WHITE)
    assert picture.shape == (60, 400, 3)


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=200), st.integers(60, 400))
def test_wrapping_keeps_every_word_and_fits(text, room):
    lines = wrapped(text, room, 10)
    assert " ".join(lines).split() == text.split()
    assert all(width_of(line, 10) <= room or " " not in line for line in lines)


def test_a_strip_has_a_row_of_text_for_each_line():
    made = strip(300, [("one", WHITE, False), ("two", WHITE, True)], height=10, margin=8, pitch=20)
    assert made.shape == (46, 300, 3)
    assert made[:20].any()
    assert made[20:40].any()
    assert not made[40:].any()
