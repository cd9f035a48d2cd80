"""The papers' augmentations against numbers that scipy's ``affine_transform`` gave once, and their laws.

The stored answers were computed by ``scipy.ndimage.affine_transform(order=1, mode='nearest')`` (SciPy 1.17)
from matrices written out by the generator's formulas, with ``numpy.random.RandomState(2021)``.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.feed.deep_ct_augment import DeepCtAugmentation, deep_ct_augmented
from trainer.feed.keras_augment import (
    HALF_PIXEL_BEFORE,
    HALF_PIXEL_BEHIND,
    KerasAugmentation,
    KerasTransform,
    draw,
    keras_augmented,
    matrix_of,
    transformed,
)
from trainer.feed.sampling import TILE, Outside, sample

IMAGE = ((np.arange(42).reshape(6, 7) * 1009) % 4096).astype(np.float32)
STREAM = (
    (
        76.30436074133144,
        0.14002161671609886,
        -0.25273699029012087,
        -0.018732691614531304,
        1.0497243281340318,
        0.962816237541896,
        True,
        False,
    ),
    (
        116.7555703028645,
        0.17058607928467365,
        -0.28217392285259746,
        -0.0441428714911964,
        1.0462395990210391,
        1.0116557443894574,
        True,
        False,
    ),
    (
        83.89779020495291,
        0.27830581372537927,
        0.05201300611826948,
        -0.012883915184221842,
        0.9952145243789564,
        0.9701850247834619,
        False,
        True,
    ),
)
"""What three images draw: theta, tx, ty, shear, zx, zy, left-right, up-down."""
ANSWERS = {
    HALF_PIXEL_BEFORE: (
        (
            (1222.21, 1842.31, 3477.94, 2191.59, 1171.77, 3436.32, 2588.26),
            (2251.26, 1416.74, 2546.40, 2940.04, 1653.70, 1398.61, 3416.34),
            (3280.32, 2165.20, 1484.03, 2886.99, 2402.15, 1115.80, 834.92),
            (3197.75, 2913.66, 1627.31, 1871.65, 2913.64, 1864.26, 1378.45),
            (1855.82, 3477.85, 2375.77, 1333.92, 2486.22, 2637.83, 2407.51),
            (1287.43, 2399.47, 3124.23, 1837.88, 1379.09, 2973.18, 3436.57),
        ),
        (
            (2807.14, 1821.50, 1260.06, 894.93, 2000.58, 921.97, 779.77),
            (2508.07, 3295.90, 2734.45, 2173.01, 1611.57, 1263.58, 1722.41),
            (1686.97, 1454.46, 2754.72, 3350.21, 2882.96, 2524.52, 2665.04),
            (2403.70, 2148.68, 1587.24, 1482.38, 1587.79, 1975.96, 3154.35),
            (3346.33, 3623.07, 3061.63, 2500.19, 1938.75, 1377.31, 770.57),
            (3262.08, 1858.31, 2483.23, 2709.36, 3342.87, 2322.60, 1302.33),
        ),
        (
            (2118.74, 1564.54, 1518.50, 2711.89, 3122.57, 1126.22, 1958.00),
            (2947.68, 2546.46, 1468.69, 1832.85, 3026.23, 3052.42, 1026.36),
            (1949.20, 2663.03, 2464.08, 1438.51, 2147.19, 3340.58, 3767.14),
            (950.72, 1783.99, 2977.38, 2316.02, 1474.00, 2461.54, 3125.40),
            (2050.02, 1321.07, 2098.34, 3291.73, 2102.29, 1582.50, 2126.92),
            (3049.75, 2009.35, 1434.46, 2412.69, 3606.07, 1849.46, 1128.43),
        ),
    ),
    HALF_PIXEL_BEHIND: (
        (
            (3895.83, 2609.48, 1323.13, 2532.05, 2801.20, 2547.00, 2547.00),
            (1771.87, 3357.94, 2071.59, 1051.77, 3339.99, 3396.28, 3165.96),
            (1296.74, 2426.40, 2820.04, 1533.70, 559.66, 896.28, 1600.94),
            (2045.20, 1364.03, 2766.99, 2282.15, 1588.72, 1358.40, 1128.08),
            (2793.66, 1507.31, 1751.65, 2793.64, 2617.77, 2387.45, 2157.13),
            (3479.00, 2255.77, 1213.92, 2329.88, 3034.54, 3416.51, 3186.19),
        ),
        (
            (2130.14, 2443.52, 3526.46, 2122.69, 718.92, 846.14, 1304.97),
            (1701.50, 1140.06, 774.93, 871.12, 1329.94, 1788.77, 2247.60),
            (3175.90, 2614.45, 2053.01, 1813.75, 2272.58, 2731.41, 3190.23),
            (1334.46, 2634.72, 3230.21, 2762.96, 3215.21, 2951.30, 1547.53),
            (2028.68, 1467.24, 1362.38, 1467.79, 1471.12, 409.00, 409.00),
            (3503.07, 2941.63, 2380.19, 1682.11, 661.84, 409.00, 409.00),
        ),
        (
            (2405.61, 2086.56, 1767.52, 1348.69, 1712.85, 2906.23, 2932.42),
            (2853.92, 2958.20, 3062.48, 2344.08, 1318.51, 2027.19, 3220.58),
            (1855.44, 1959.72, 2064.00, 2857.38, 2196.02, 1354.00, 2341.54),
            (856.96, 961.24, 1065.52, 1978.34, 3171.73, 1982.29, 1462.50),
            (2336.88, 2017.84, 1698.80, 1314.46, 2292.69, 3486.07, 1729.46),
            (2955.99, 3060.27, 3164.55, 1597.72, 1493.52, 2607.03, 3714.78),
        ),
    ),
}
"""By centre."""


@pytest.mark.parametrize("centre", [HALF_PIXEL_BEFORE, HALF_PIXEL_BEHIND])
def test_the_stream_of_keras_gives_the_stored_images(centre: float) -> None:
    draws = np.random.RandomState(2021)
    how = KerasAugmentation(centre=centre)
    for answer in ANSWERS[centre]:
        np.testing.assert_allclose(keras_augmented(IMAGE, how, draws), answer, atol=6e-3)


def test_numbers_are_drawn_in_the_order_of_the_generator() -> None:
    draws = np.random.RandomState(2021)
    for expected in STREAM:
        drawn = dataclasses.astuple(draw(KerasAugmentation(), (6, 7), draws))
        np.testing.assert_allclose(drawn, expected, rtol=1e-12)


def test_a_range_of_nothing_draws_nothing_but_the_flips() -> None:
    how = KerasAugmentation(rotation=0, height_shift=0, width_shift=0, shear=0, zoom=0)
    draws, alone = np.random.RandomState(7), np.random.RandomState(7)
    drawn = draw(how, (6, 7), draws)
    assert (drawn.flip_horizontal, drawn.flip_vertical) == (alone.random() < 0.5, alone.random() < 0.5)
    assert draws.random() == alone.random()
    np.testing.assert_array_equal(matrix_of(drawn, (6, 7)), np.eye(3))


def test_distributions_are_those_of_the_paper() -> None:
    draws = np.random.RandomState(1)
    drawn = [draw(KerasAugmentation(), (512, 512), draws) for _ in range(4000)]
    for name, low, high in (
        ("theta", -360, 360),
        ("tx", -25.6, 25.6),
        ("ty", -25.6, 25.6),
        ("shear", -0.05, 0.05),
        ("zx", 0.95, 1.05),
        ("zy", 0.95, 1.05),
    ):
        values = np.array([getattr(one, name) for one in drawn])
        span = high - low
        assert low <= values.min() < low + 0.01 * span
        assert high - 0.01 * span < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 0.02 * span
        assert abs(values.std() - span / np.sqrt(12)) < 0.02 * span
    for name in ("flip_horizontal", "flip_vertical"):
        assert abs(np.mean([getattr(one, name) for one in drawn]) - 0.5) < 0.03
    assert abs(np.corrcoef([one.zx for one in drawn], [one.zy for one in drawn])[0, 1]) < 0.05


def still(**values: float | bool) -> KerasTransform:
    rest = {"theta": 0.0, "tx": 0.0, "ty": 0.0, "shear": 0.0, "zx": 1.0, "zy": 1.0}
    return KerasTransform(**({"flip_horizontal": False, "flip_vertical": False} | rest | values))


def test_a_quarter_turn_about_the_middle_loses_no_pixel() -> None:
    square = IMAGE[:, :6]
    np.testing.assert_allclose(transformed(square, still(theta=90.0)), np.rot90(square, -1), atol=1e-3)
    np.testing.assert_allclose(transformed(square, still(theta=-90.0)), np.rot90(square), atol=1e-3)


def test_a_shift_repeats_the_edge_and_a_zoom_above_one_shrinks() -> None:
    down = transformed(IMAGE, still(tx=-2.0))
    np.testing.assert_array_equal(down[2:], IMAGE[:-2])
    np.testing.assert_array_equal(down[:2], np.repeat(IMAGE[:1], 2, axis=0))
    dot = np.zeros((41, 41), np.float32)
    dot[15:26, 15:26] = 1
    assert transformed(dot, still(zx=1.2, zy=1.2)).sum() < dot.sum() < transformed(dot, still(zx=0.8)).sum()


def test_flips_come_last_left_right_then_up_down() -> None:
    both = transformed(IMAGE, still(tx=-1.0, ty=-1.0, flip_horizontal=True, flip_vertical=True))
    np.testing.assert_array_equal(both, transformed(IMAGE, still(tx=-1.0, ty=-1.0))[::-1, ::-1])


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_values_stay_within_those_of_the_image(seed: int, rows: int, columns: int) -> None:
    image = np.random.default_rng(seed).integers(0, 4096, (rows, columns)).astype(np.uint16)
    varied = keras_augmented(image, KerasAugmentation(), np.random.default_rng(seed))
    assert varied.shape == image.shape
    assert image.min() - 1e-3 <= varied.min() <= varied.max() <= image.max() + 1e-3


@given(down=st.integers(-3, 3), right=st.integers(-3, 3))
def test_whole_pixels_are_moved_exactly(down: int, right: int) -> None:
    matrix = np.eye(3)
    matrix[:2, 2] = (down, right)
    padded = np.pad(IMAGE, 3)
    expected = padded[3 + down : 9 + down, 3 + right : 10 + right]
    np.testing.assert_array_equal(sample(IMAGE, matrix, Outside.ZERO), expected)
    padded = np.pad(IMAGE, 3, mode="edge")
    expected = padded[3 + down : 9 + down, 3 + right : 10 + right]
    np.testing.assert_array_equal(sample(IMAGE, matrix, Outside.EDGE), expected)


def in_double_precision(image: np.ndarray, matrix: np.ndarray, outside: Outside) -> np.ndarray:
    """The bilinear formula pixel by pixel, nothing rounded."""
    rows, columns = image.shape
    padded = np.pad(image.astype(np.float64), 1, mode="edge" if outside is Outside.EDGE else "constant")
    result = np.empty(image.shape)
    for row, column in np.ndindex(rows, columns):
        y, x, _ = matrix @ (row, column, 1) + 1
        y, x = min(max(y, 0), rows + 1), min(max(x, 0), columns + 1)
        top, left = min(int(y), rows), min(int(x), columns)
        weights_y, weights_x = np.array([1 - y + top, y - top]), np.array([1 - x + left, x - left])
        result[row, column] = weights_y @ padded[top : top + 2, left : left + 2] @ weights_x
    return result


@pytest.mark.parametrize("outside", list(Outside))
def test_tiles_and_single_precision_change_no_value_of_12_bits(outside: Outside) -> None:
    image = np.random.default_rng(2).integers(0, 4096, (2 * TILE + 3, 40)).astype(np.uint16)
    draws = np.random.default_rng(3)
    for _ in range(4):
        matrix = matrix_of(draw(KerasAugmentation(), image.shape, draws), image.shape)
        expected = in_double_precision(image, matrix, outside)
        np.testing.assert_allclose(sample(image, matrix, outside), expected, rtol=0, atol=1e-3)


class Given:
    """Draws that are given."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)

    def uniform(self, low: float, high: float, size: int | None = None) -> float:
        value = self.values.pop(0)
        assert low <= value <= high
        return value

    def random(self) -> float:
        return self.values.pop(0)


def test_deep_ct_net_turns_about_the_centre_then_moves_and_fills_with_black() -> None:
    grey = np.full((40, 60), 200, np.uint8)
    grey[10, 20] = 0
    moved = deep_ct_augmented(grey, DeepCtAugmentation(), Given(0.0, 0.05, -0.05))
    assert (moved[:2] == 0).all()
    assert (moved[:, -3:] == 0).all()
    assert moved[12, 17] == 0
    assert (moved[2:, :-3] == 200).sum() == 38 * 57 - 1
    square = np.random.default_rng(3).integers(0, 256, (9, 9)).astype(np.uint8)
    turned = deep_ct_augmented(square, DeepCtAugmentation(rotation=90), Given(90.0, 0.0, 0.0))
    np.testing.assert_array_equal(turned, np.rot90(square, -1))


def test_deep_ct_net_keeps_to_its_ranges() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (32, 32)).astype(np.uint8)
    one, same = (deep_ct_augmented(grey, DeepCtAugmentation(), np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    with pytest.raises(AssertionError):
        deep_ct_augmented(grey, DeepCtAugmentation(), Given(16.0, 0.0, 0.0))
