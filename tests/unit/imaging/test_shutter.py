"""Display shutters (PS3.3 C.7.6.11)."""

from __future__ import annotations

import numpy as np
import pytest

from node.domain.radiograph import DisplayShutter
from node.imaging.shutter import box_of, shown_within

SQUARE = (1.0, 1.0)


def test_a_rectangle_shows_its_edges_counted_from_one() -> None:
    shown = shown_within((6, 8), DisplayShutter(rectangle=(2, 4, 3, 7)), SQUARE)
    expected = np.zeros((6, 8), dtype=bool)
    expected[1:4, 2:7] = True
    np.testing.assert_array_equal(shown, expected)
    assert box_of(shown) == (1, 4, 2, 7)


@pytest.mark.parametrize(
    ("pixel", "height"), [(SQUARE, 11), ((2.0, 1.0), 5), ((0.1, 0.2), 21), ((1e300, 1e-300), 1)]
)
def test_a_circle_is_round_on_the_patient(pixel: tuple[float, float], height: int) -> None:
    shown = shown_within((41, 41), DisplayShutter(circle=(21, 21, 5)), pixel)
    assert (shown[:, 20].sum(), shown[20].sum()) == (height, 11)
    np.testing.assert_array_equal(shown, shown[::-1, ::-1])


def test_a_polygon_is_closed_and_what_lies_within_all_shapes_is_shown() -> None:
    triangle = ((1, 1), (1, 9), (9, 1))
    shown = shown_within((9, 9), DisplayShutter(polygon=triangle), SQUARE)
    np.testing.assert_array_equal(shown, np.add.outer(np.arange(9), np.arange(9)) <= 8)
    both = shown_within((9, 9), DisplayShutter(polygon=triangle, rectangle=(1, 2, 1, 9)), SQUARE)
    np.testing.assert_array_equal(both[:2], shown[:2])
    assert not both[2:].any()


def test_a_shutter_beside_the_image_shows_nothing() -> None:
    shown = shown_within((4, 4), DisplayShutter(rectangle=(70, 80, 1, 4)), SQUARE)
    assert box_of(shown) is None
