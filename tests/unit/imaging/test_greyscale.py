"""Grey levels of radiographs: pydicom's transformations are the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import apply_windowing

from node.imaging.greyscale import Greyscale, LookUpTable, Rescale, Window, WindowFunction, grey_levels

NONE = np.zeros((1, 1), dtype=np.bool_)
AS_STORED = Rescale(slope=1, intercept=0)
functions = st.sampled_from(WindowFunction)


def grey(values: list[int], greyscale: Greyscale, padded: list[int] | None = None) -> list[int]:
    stored = np.array([values], dtype=np.int64)
    return grey_levels(stored, np.isin(stored, padded or []), greyscale)[0].tolist()


@given(
    center=st.floats(-500, 4500),
    width=st.floats(1, 5000),
    function=functions,
    slope=st.sampled_from([1.0, 0.5, -1.0]),
)
def test_a_window_is_that_of_the_standard(
    center: float, width: float, function: WindowFunction, slope: float
) -> None:
    stored = np.arange(0, 4096, 5, dtype=np.int64)[None]
    ds = Dataset()
    ds.PhotometricInterpretation, ds.BitsStored, ds.PixelRepresentation = "MONOCHROME2", 12, 0
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = [center], [width], function.value
    with np.errstate(over="ignore"):
        reference = apply_windowing(stored * slope, ds) / 4095 * 255
    greyscale = Greyscale(
        modality=Rescale(slope=slope, intercept=0),
        voi=Window(center=center, width=width, function=function),
        inverted=False,
    )
    made = grey_levels(stored, np.zeros(stored.shape, dtype=np.bool_), greyscale)
    assert np.abs(made - reference).max() <= 0.51


def test_a_window_that_shows_nothing_is_refused() -> None:
    for function, width in zip(WindowFunction, (0.5, 0, -1), strict=True):
        with pytest.raises(ValueError, match="shows nothing"):
            Window(center=1, width=width, function=function)


def test_a_window_of_width_1_is_a_threshold() -> None:
    window = Window(center=100, width=1, function=WindowFunction.LINEAR)
    assert grey([98, 99, 100, 101], Greyscale(modality=AS_STORED, voi=window, inverted=False)) == [
        0,
        0,
        255,
        255,
    ]


def test_a_table_maps_what_is_below_and_above_it_to_its_ends() -> None:
    table = LookUpTable(first=-1, entries=np.array([0, 512, 1023], dtype=np.uint16), bits=10)
    greyscale = Greyscale(modality=AS_STORED, voi=table, inverted=False)
    assert grey([-5, -1, 0, 1, 9], greyscale) == [0, 0, 128, 255, 255]


def test_a_modality_table_comes_before_the_window() -> None:
    table = LookUpTable(first=0, entries=np.array([0, 10, 1000], dtype=np.uint16), bits=16)
    window = Window(center=500, width=1000, function=WindowFunction.LINEAR_EXACT)
    assert grey([0, 1, 2], Greyscale(modality=table, voi=window, inverted=False)) == [0, 3, 255]


def test_without_a_window_the_values_that_are_there_are_shown() -> None:
    greyscale = Greyscale(modality=AS_STORED, voi=None, inverted=False)
    assert grey([100, 150, 200], greyscale) == [0, 128, 255]
    assert grey([100, 150, 200, 4095], greyscale, padded=[4095]) == [0, 128, 255, 0]
    assert grey([7, 7], greyscale) == [0, 0]
    falling = LookUpTable(first=0, entries=np.array([9, 100, 0], dtype=np.uint16), bits=16)
    assert grey([0, 2], Greyscale(modality=falling, voi=None, inverted=False)) == [255, 0]


def test_padded_pixels_are_black_whatever_the_polarity() -> None:
    for inverted in (False, True):
        greyscale = Greyscale(modality=AS_STORED, voi=None, inverted=inverted)
        assert grey([0, 0], greyscale, padded=[0]) == [0, 0]
        assert grey([0, 5, 9], greyscale, padded=[0])[0] == 0


def test_values_beyond_16_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="beyond 16 bits"):
        grey([0, 1 << 16], Greyscale(modality=AS_STORED, voi=None, inverted=False))


@pytest.mark.parametrize("slope", [1e305, -1e308])
def test_a_rescale_beyond_all_numbers_is_refused(slope: float) -> None:
    huge = Greyscale(modality=Rescale(slope=slope, intercept=0), voi=None, inverted=False)
    with pytest.raises(ValueError, match="no radiograph has"):
        grey([0, 65535], huge)


@given(values=st.lists(st.integers(0, 4095), min_size=2, max_size=30), function=functions | st.none())
def test_both_polarities_of_one_image_give_the_same_grey(
    values: list[int], function: WindowFunction | None
) -> None:
    middle = {None: 0.0, WindowFunction.LINEAR: 0.5}.get(function, 0.0)
    voi = None if function is None else Window(center=1500 + middle, width=2000, function=function)
    mirrored = (
        None if function is None else Window(center=4095 - 1500 + middle, width=2000, function=function)
    )
    bright = grey(values, Greyscale(modality=AS_STORED, voi=voi, inverted=False))
    other = grey([4095 - v for v in values], Greyscale(modality=AS_STORED, voi=mirrored, inverted=True))
    if function is None and min(values) == max(values):
        return
    assert np.abs(np.array(bright) - np.array(other)).max() <= 1
