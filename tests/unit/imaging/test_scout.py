"""Rows of the scout, bars of the plot and names of slices lie at the same height."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.imaging.lettering import BLUE, ORANGE
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import hu_to_stored
from node.imaging.scout import Level, Scout, ScoutText, _apart, coronal_profile, draw_scout

TEXT = ScoutText(
    plot="score", ends=("0", "1"), positive="positive", selected="selected", not_selected="not",
    threshold="threshold", notes=("a note",), stretched="stretched along the z axis",
)  # fmt: skip


def level(position, *, value=None, selected=False, positive=False, tag="", brightness=-500.0):
    profile = np.full(64, brightness, dtype=np.float32)
    return Level(
        position=position, profile=profile, value=value, selected=selected, positive=positive, tag=tag
    )


def scout(levels, *, threshold=0.5):
    return Scout(levels=levels, column_mm=5.0, threshold=threshold, highest=1.0, text=TEXT)


def rows_of(panel, colour, columns=slice(None)):
    return np.flatnonzero((panel[:, columns] == colour).all(axis=2).any(axis=1))


def test_the_profile_is_the_mean_hu_of_each_column():
    v = np.array([[0, 1024], [1000, 2048]], dtype=np.uint16)
    assert coronal_profile(v).tolist() == [-524.0, 512.0]
    assert coronal_profile(v).dtype == np.float32


def test_the_head_is_above_and_the_left_side_at_the_right():
    levels = [level(10.0 * i, brightness=-900.0 + 40 * i) for i in range(20)]
    panel = draw_scout(scout(levels), 1000, 270)
    assert panel[5, 100, 0] > panel[225, 100, 0] + 100


def test_the_phantoms_lungs_are_darker_than_its_middle():
    phantom = ThoraxPhantom(slices=24, rows=256)
    levels = [
        Level(
            position=item.plane.position[2],
            profile=coronal_profile(hu_to_stored(item.hu)),
            value=None,
            selected=False,
            positive=False,
            tag="",
        )
        for item in phantom
    ]
    made = Scout(levels=levels, column_mm=phantom.pixel_spacing_mm, threshold=None, highest=1.0, text=TEXT)
    panel = draw_scout(made, 1000, 270)
    columns = round(256 * phantom.pixel_spacing_mm * 244 / (levels[-1].position - levels[0].position))
    middle = panel[110, : columns - 10, 0].astype(int)
    assert middle[middle.size // 2] > middle[middle.size // 3] + 30


def test_a_bar_stands_at_the_height_of_its_slice():
    levels = [level(10.0 * i, value=0.1, selected=True) for i in range(20)]
    levels[15] = level(150.0, value=0.9, selected=True, positive=True, tag="1")
    panel = draw_scout(scout(levels), 1000, 270)
    expected = (195 - 150) / 200 * 225
    found = rows_of(panel, ORANGE, slice(385, 630))
    assert abs(found.mean() - expected) < 2
    assert 9 <= found.size <= 14
    assert rows_of(panel, BLUE).size > 150


def test_a_thin_positive_slice_is_never_painted_over():
    levels = [level(0.5 * i, value=0.4, selected=True) for i in range(900)]
    levels[450] = level(225.0, value=0.6, selected=True, positive=True)
    assert rows_of(draw_scout(scout(levels), 1000, 270), ORANGE, slice(100, 600)).size >= 1


@pytest.mark.parametrize("step", [7.083333, 14.166667, 0.7, 2.5, 1.25, 10 / 3])
def test_between_neighbours_there_is_no_black_row(step):
    for count in range(8, 60):
        positions = [round(131.041667 + step * (i + 0.009 * (i % 2)), 6) for i in range(count)]
        panel = draw_scout(scout([level(place, value=1.0, selected=True) for place in positions]), 1000, 270)
        rows = rows_of(panel, BLUE, slice(0, 420))
        assert rows.size == rows[-1] + 1, (step, count)


def test_a_missing_part_is_black_and_not_filled_in():
    levels = [level(5.0 * i, brightness=100.0 * (i % 2)) for i in range(40) if not 10 <= i < 30]
    panel = draw_scout(scout(levels), 1000, 270)
    assert not panel[70:110, 40:200].any()
    assert panel[:40, 40:200].any()


def test_the_threshold_is_a_line_at_its_value():
    drawn, without = (
        draw_scout(scout([level(0.0), level(100.0)], threshold=value), 1000, 270) for value in (0.3, None)
    )
    columns = np.flatnonzero((drawn != without).any(axis=(0, 2)))
    assert columns.size <= 3


@pytest.mark.parametrize("count", [2, 3, 60])
@pytest.mark.parametrize("step", [0.01, 1.0, 40.0])
def test_every_series_fits(count, step):
    panel = draw_scout(scout([level(step * i, value=1.0, tag="7") for i in range(count)]), 1000, 270)
    assert panel.shape[1:] == (1000, 3)
    assert panel.shape[0] <= 270


def test_each_slice_of_a_short_series_has_its_name_beside_its_row():
    levels = [level(float(i), value=1.0, selected=True, positive=True, tag="1") for i in range(6)]
    panel = draw_scout(scout(levels), 1000, 270)
    plot = np.flatnonzero((panel == ORANGE).all(axis=2).sum(axis=0) > 80)
    beside = (panel[:96, plot[-1] + 15 : plot[-1] + 50] > 120).all(axis=2).any(axis=1)
    names = (panel[:96, plot[-1] + 33 : plot[-1] + 48, 0] > 200).any(axis=1)
    assert beside.any()
    assert np.count_nonzero(np.diff(np.r_[0, names.astype(int)]) == 1) == 6


@pytest.mark.parametrize(("step", "stretched"), [(1.0, True), (20.0, False)])
def test_a_short_series_is_stretched_and_says_so(step, stretched):
    """Twenty slices of 1 mm would be as high as a word; what is not as in the patient is said."""
    made = scout([level(step * i, value=1.0, selected=True) for i in range(20)])
    silent = dataclasses.replace(made, text=dataclasses.replace(TEXT, stretched=""))
    assert draw_scout(made, 1000, 270).shape[0] >= 96
    assert np.array_equal(draw_scout(made, 1000, 270), draw_scout(silent, 1000, 270)) != stretched


def test_the_whole_legend_is_seen_however_long_it_is():
    levels = [level(5.0 * i, value=1.0) for i in range(20)]
    note = "what the picture is, which the reader of a page must know " * 3
    short, long = (
        draw_scout(
            dataclasses.replace(scout(levels), text=dataclasses.replace(TEXT, notes=(note,) * count)),
            1000,
            270,
        )
        for count in (1, 4)
    )
    assert short.shape[0] <= 270 < long.shape[0]
    assert not long[-2:, 700:].any(), "the last line is not cut"
    assert long[-40:, 700:].any()


@given(st.lists(st.floats(0, 240), max_size=8).map(sorted))
def test_names_are_apart_and_within(wanted):
    placed = _apart(wanted, 16, 8, 232)
    assert placed == sorted(placed)
    assert all(second - first >= 15.99 for first, second in itertools.pairwise(placed))
    assert all(7.99 <= place <= 232.01 for place in placed)
