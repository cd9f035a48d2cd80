"""The map lies where the network looked, and the picture says what it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.imaging.heatmap import (
    FAINTEST,
    OPACITY,
    HeatmapCaption,
    cell_mm,
    colours,
    normalised,
    opacity,
    overlay,
    place_cam,
    render,
    squared,
)

GREY = np.full((128, 128), 80, dtype=np.uint8)


def caption(**changes):
    told = {
        "banner": "AI, research use",
        "model": "test-lite 1",
        "strength": 0.5,
        "said": "score 0.90",
        "place": "slice 3 of 40, position -12.5 mm",
        "scale": ("none", "highest in this slice"),
        "notes": ("relative within this slice; not a lesion outline",),
        "no_map": "no map: no part of this slice raised the score",
        "sides": ("", ""),
    }
    return HeatmapCaption(**{**told, **changes})


@pytest.fixture
def said(monkeypatch):
    """Every text that is written, and how wide its line was."""
    written = []
    put = cv2.putText
    monkeypatch.setattr(cv2, "putText", lambda *given: (written.append(given[1]), put(*given))[1])
    return written


@given(st.integers(-40, 60), st.integers(8, 90), st.integers(-40, 60), st.integers(8, 90))
def test_the_map_is_nowhere_outside_of_the_box(top, high, left, wide):
    placed = place_cam(np.ones((7, 7), dtype=np.float32), (top, top + high, left, left + wide), (100, 80))
    assert placed.shape == (100, 80)
    expected = np.zeros((100, 80))
    expected[max(0, top) : max(0, top + high), max(0, left) : max(0, left + wide)] = 1
    assert placed == pytest.approx(expected)


def test_a_cell_lands_on_its_part_of_the_slice():
    cam = np.zeros((7, 7), dtype=np.float32)
    cam[1, 5] = 3.0
    placed = place_cam(cam, (100, 310, 50, 400), (512, 512))
    row, column = np.unravel_index(placed.argmax(), placed.shape)
    assert 130 <= row < 160
    assert 300 <= column < 350
    assert placed.max() == pytest.approx(3.0, rel=0.05)


def test_a_map_without_anything_is_none():
    assert normalised(np.zeros((4, 4), dtype=np.float32)) is None
    assert normalised(np.full((4, 4), -1, dtype=np.float32)) is None
    assert normalised(np.full((4, 4), np.nan, dtype=np.float32)) is None


def test_normalised_by_its_maximum():
    relative = normalised(np.array([[-1, 0, 2, 4]], dtype=np.float32))
    assert relative.tolist() == [[0, 0, 0.5, 1]]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.99))
def test_opacity_grows_with_the_score_and_is_none_below_the_threshold(one, other, threshold):
    lower, higher = sorted((one, other))
    assert opacity(lower, threshold) <= opacity(higher, threshold) <= OPACITY
    if lower < threshold:
        assert opacity(lower, threshold) == 0
    else:
        assert opacity(lower, threshold) >= FAINTEST


def test_a_score_at_the_threshold_does_not_look_like_a_high_one():
    relative = np.ones((128, 128), dtype=np.float32)
    change = [
        np.abs(overlay(GREY, relative, opacity(score, 0.5)).astype(int) - 80).max()
        for score in (0.49, 0.51, 0.75, 0.99)
    ]
    assert change == sorted(change)
    assert change[0] == 0 < change[1]
    assert change[3] > 3 * change[1]


def test_the_highest_level_is_the_most_conspicuous_red():
    scale = colours(np.arange(256, dtype=np.uint8)[None])[0].astype(int)
    assert scale[0, 2] > 150 > scale[0, 0]
    assert scale[-1, 0] > 150 > scale[-1, 2]


def test_cell_size_in_the_patient():
    assert cell_mm((0, 210, 0, 280), (7, 7), (0.7, 0.7)) == pytest.approx(28)
    assert cell_mm((0, 210, 0, 140), (7, 7), (1.4, 0.7)) == pytest.approx(42)


def test_finished_picture_keeps_the_slice_beneath_its_strips():
    cam = np.zeros((7, 7), dtype=np.float32)
    cam[6, 6] = 1
    picture = render(GREY, cam, (0, 128, 0, 128), caption(), None)
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (512, 3)
    assert picture.shape[0] > 512
    assert (picture[60:300, :200] == 80).all()
    assert (picture[:40] == 0).any()
    assert picture[:40].max() > 200


@pytest.mark.parametrize("field", ["banner", "model", "said", "place", "scale", "notes", "sides"])
def test_everything_that_is_told_stands_on_the_picture(field):
    cam = np.ones((7, 7), dtype=np.float32)
    other = {"scale": ("none", "another"), "notes": ("another",), "sides": ("R", "L")}.get(field, "another")
    one, two = (render(GREY, cam, (0, 128, 0, 128), caption(**told), None) for told in ({}, {field: other}))
    assert one.shape == two.shape
    assert (one != two).any()


@pytest.mark.parametrize(
    ("pixel_spacing", "shape"),
    [
        (None, (100, 80)),
        ((0.7, 0.7), (100, 80)),
        ((1.4, 0.7), (200, 80)),
        ((0.8, 1.0), (100, 100)),
        ((1e-6, 1e6), (100, 80)),
    ],
)
def test_a_round_thing_is_round_whatever_the_pixels(pixel_spacing, shape):
    assert squared(np.zeros((100, 80), dtype=np.uint8), pixel_spacing).shape == shape
    assert squared(np.zeros((100, 80, 3), dtype=np.uint8), pixel_spacing).shape == (*shape, 3)


def test_the_image_of_a_heatmap_has_the_patients_proportions():
    cam = np.ones((2, 2), dtype=np.float32)
    flat, square = (
        render(GREY[:rows], cam, (0, rows, 0, 128), caption(), (spacing, 0.7))
        for rows, spacing in ((64, 1.4), (128, 0.7))
    )
    assert flat.shape == square.shape


@pytest.mark.parametrize("shape", [(1024, 1), (1024, 3), (1, 1024), (4000, 40)])
def test_a_narrow_image_makes_no_endless_picture(shape):
    """A peer decides how narrow; enlarged to the width of the text it would need gigabytes."""
    box = (0, shape[0], 0, shape[1])
    picture = render(
        np.full(shape, 80, dtype=np.uint8), np.ones((2, 2), dtype=np.float32), box, caption(), None
    )
    assert picture.shape[0] < 4500
    assert picture.shape[1] >= 512
    assert (picture[60:-150] > 60).any() or shape[0] == 1


def test_the_sides_stand_at_their_edges():
    picture = render(
        np.full((128, 128), 80, dtype=np.uint8),
        np.zeros((7, 7), dtype=np.float32),
        (0, 128, 0, 128),
        caption(sides=("R", "L")),
        None,
    )
    marked = np.flatnonzero((picture[60:540] > 200).any(axis=(0, 2)))
    assert marked.size
    assert ((marked < 30) | (marked > 480)).all()


def test_a_slice_without_map_says_so_and_is_not_coloured(said):
    blank = np.zeros((7, 7), dtype=np.float32)
    picture = render(GREY, blank, (0, 128, 0, 128), caption(), None)
    assert (picture[50:500] == 80).all()
    assert "no map: no part of this slice raised the score" in said
    assert "relative within this slice; not a lesion outline" not in said
    render(GREY, blank + 1, (0, 128, 0, 128), caption(), None)
    assert "relative within this slice; not a lesion outline" in said


def legend_colours(picture):
    """Hues between the picture and its lower edge: the colour scale's, for all text is grey."""
    foot = picture[-60 * picture.shape[1] // 512 :].astype(int)
    return (foot.max(axis=2) - foot.min(axis=2) > 60).any(axis=0)


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_the_scale_of_colours_is_as_wide_a_part_of_every_picture(side):
    grey, cam = np.full((side, side), 80, dtype=np.uint8), np.ones((7, 7), dtype=np.float32)
    picture = render(grey, cam, (0, side, 0, side), caption(), None)
    assert picture.shape[1] == max(512, side)
    assert 0.15 < legend_colours(picture).mean() < 0.4


@given(st.text(max_size=200))
def test_any_model_name_fits(model):
    picture = render(GREY, np.ones((2, 2), dtype=np.float32), (0, 128, 0, 128), caption(model=model), None)
    assert picture.shape[1] == 512
    assert (picture[:45, 508:] == 0).all()
