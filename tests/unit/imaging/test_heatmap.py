"""The map lies where the network looked, and the picture says what it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.imaging.heatmap import (
    HeatmapCaption,
    cell_mm,
    normalised,
    overlay,
    place_cam,
    render,
)

GREY = np.full((128, 128), 80, dtype=np.uint8)


def caption(score=0.9, model="test-lite 1"):
    return HeatmapCaption(model=model, score=score, image="slice", place="slice 3 of 40, position -12.5 mm")


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


def test_opacity_follows_the_score():
    relative = np.ones((128, 128), dtype=np.float32)
    change = [
        np.abs(overlay(GREY, relative, score).astype(int) - 80).max() for score in (0.0, 0.51, 0.75, 0.99)
    ]
    assert change == sorted(change)
    assert change[0] == 0
    assert change[3] > 3 * change[1]


def test_cell_size_in_the_patient():
    assert cell_mm((0, 210, 0, 280), (7, 7), (0.7, 0.7)) == pytest.approx(28)
    assert cell_mm((0, 210, 0, 140), (7, 7), (1.4, 0.7)) == pytest.approx(42)


def test_finished_picture_keeps_the_slice_beneath_its_strips():
    cam = np.zeros((7, 7), dtype=np.float32)
    cam[6, 6] = 1
    picture = render(GREY, cam, (0, 128, 0, 128), (0.7, 0.7), caption())
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (512, 3)
    assert picture.shape[0] > 512
    assert (picture[60:300, :200] == 80).all()
    assert (picture[:40] == 0).any()
    assert picture[:40].max() > 200


def test_captions_change_the_picture():
    cam = np.ones((7, 7), dtype=np.float32)
    one, other = (
        render(GREY, cam, (0, 128, 0, 128), (0.7, 0.7), caption(model=model)) for model in ("a 1", "b 1")
    )
    assert one.shape == other.shape
    assert (one != other).any()


def test_a_slice_without_map_says_so_and_is_not_coloured():
    blank = np.zeros((7, 7), dtype=np.float32)
    picture = render(GREY, blank, (0, 128, 0, 128), (0.7, 0.7), caption())
    assert (picture[50:500] == 80).all()
    mapped = render(GREY, blank + 1, (0, 128, 0, 128), (0.7, 0.7), caption(score=0.0))
    assert (picture[-40:] != mapped[-40:]).any()


@given(st.text(max_size=200))
def test_any_model_name_fits(model):
    picture = render(GREY, np.ones((2, 2), dtype=np.float32), (0, 128, 0, 128), (1, 1), caption(model=model))
    assert picture.shape[1] == 512


def test_a_radiograph_is_called_one_and_its_map_may_have_no_size(monkeypatch):
    said = []
    put = cv2.putText
    monkeypatch.setattr(cv2, "putText", lambda *given: (said.append(given[1]), put(*given))[1])
    shown = HeatmapCaption(model="m", score=0.7, image="radiograph", place="image 1 of 2")
    for cam in (np.eye(8, dtype=np.float32), np.zeros((8, 8), dtype=np.float32)):
        render(GREY, cam, (0, 128, 0, 128), None, shown)
    assert "score 0.70, image 1 of 2" in said
    assert "relative within this radiograph; the map has 8 x 8 cells;" in said
    assert "no map: no part of this radiograph raised the score" in said
    assert not any("slice" in text for text in said)
