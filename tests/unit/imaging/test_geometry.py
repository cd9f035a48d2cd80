"""Order, steps and orientation come from positions alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from node.domain.errors import GeometryError, MixedOrientation, OrientationUnknown
from node.imaging.geometry import Gap, SlicePlane, display_orientation, odd_ones, slice_plane, stack

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def planes(heights, orientation=AXIAL, x=-180.0):
    return [slice_plane((x, -200.0, z), orientation) for z in heights]


@given(st.integers(2, 60), st.floats(0.5, 12), st.floats(-2000, 2000), st.randoms(use_true_random=False))
def test_any_order_is_sorted_and_uniform(count, step, lowest, random):
    heights = [lowest + step * index for index in range(count)]
    shuffled = heights.copy()
    random.shuffle(shuffled)
    result = stack(planes(shuffled))
    assert [shuffled[index] for index in result.order] == heights
    assert result.uniform
    assert result.step == pytest.approx(step, rel=1e-6)
    assert not result.gaps
    assert not result.duplicates
    assert result.axial
    assert not result.sheared


@given(st.integers(6, 40), st.floats(0.5, 10), st.data())
def test_a_missing_slice_is_a_gap(count, step, data):
    lost = data.draw(st.integers(1, count - 2))
    result = stack(planes([step * index for index in range(count) if index != lost]))
    assert not result.uniform
    assert result.gaps == (Gap(after=lost - 1, missing=1),)


@given(st.integers(3, 40), st.data())
def test_a_repeated_position_is_a_duplicate(count, data):
    twice = data.draw(st.integers(0, count - 1))
    result = stack(planes([2.5 * index for index in range(count)] + [2.5 * twice]))
    assert not result.uniform
    assert result.duplicates == ((twice, count),)


def test_positions_rounded_to_two_decimals_are_uniform():
    assert stack(planes([round(0.625 * index, 2) for index in range(200)])).uniform


def test_a_step_that_differs_by_two_percent_is_not_uniform():
    assert not stack(planes([0, 5, 10, 15.1, 20.1])).uniform


def test_single_and_stacked_positions():
    alone = stack(planes([3.0]))
    assert alone.uniform
    assert alone.step is None
    same = stack(planes([3.0, 3.0]))
    assert not same.uniform
    assert same.duplicates == ((0, 1),)


def test_nothing_is_no_stack():
    with pytest.raises(GeometryError):
        stack([])


def test_mixed_orientation_names_the_odd_ones():
    mixed = planes([0, 1, 2, 3]) + planes([9], SAGITTAL)
    assert odd_ones(mixed) == (4,)
    with pytest.raises(MixedOrientation):
        stack(mixed)


@given(st.floats(1.5, 25))
def test_a_tilted_gantry_is_seen(degrees):
    angle = math.radians(degrees)
    tilted = (1.0, 0.0, 0.0, 0.0, math.cos(angle), math.sin(angle))
    result = stack([slice_plane((0, 0, 5.0 * index), tilted) for index in range(10)])
    assert result.tilt_degrees == pytest.approx(degrees, abs=0.01)
    assert result.sheared
    assert result.uniform


def test_an_oblique_stack_along_its_normal_is_no_tilt():
    angle = math.radians(15)
    normal = (0.0, -math.sin(angle), math.cos(angle))
    tilted = (1.0, 0.0, 0.0, 0.0, math.cos(angle), math.sin(angle))
    result = stack([slice_plane(tuple(5.0 * i * n for n in normal), tilted) for i in range(10)])
    assert result.tilt_degrees == pytest.approx(0, abs=1e-3)
    assert result.step == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("position", "orientation"),
    [
        (None, AXIAL),
        ((0, 0, 0), None),
        ((0, 0), AXIAL),
        ((0, 0, 0), (1, 0, 0)),
        ((0, 0, math.nan), AXIAL),
        ((0, 0, 0), (0,) * 6),
        ((0, 0, 0), (1, 0, 0, 1, 0, 0)),
        ((0, 0, 0), (2, 0, 0, 0, 1, 0)),
    ],
)
def test_what_is_no_plane_is_refused(position, orientation):
    with pytest.raises(OrientationUnknown):
        slice_plane(position, orientation)


def test_sagittal_is_not_axial():
    (plane,) = planes([0], SAGITTAL)
    assert not plane.axial
    with pytest.raises(GeometryError):
        display_orientation(plane)


# Where the patient's left and back lie on the stored image, for the eight ways an axial slice can be stored.
AXIS = {"+x": (1.0, 0.0, 0.0), "-x": (-1.0, 0.0, 0.0), "+y": (0.0, 1.0, 0.0), "-y": (0.0, -1.0, 0.0)}


@given(
    st.sampled_from([a + b for a in AXIS for b in AXIS if a[1] != b[1]]),
    st.integers(2, 9),
    st.integers(2, 9),
    st.floats(-12, 12),
)
def test_display_runs_left_and_back_and_can_be_undone(ways, rows, columns, skew):
    across, down = np.array(AXIS[ways[:2]]), np.array(AXIS[ways[2:]])
    angle = math.radians(skew)
    turn = np.array(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    plane = SlicePlane(
        position=(0.0, 0.0, 0.0), row_cosine=tuple(turn @ across), column_cosine=tuple(turn @ down)
    )
    assume(plane.axial)
    row, column = np.mgrid[:rows, :columns]
    x = row * down[0] + column * across[0]
    y = row * down[1] + column * across[1]
    how = display_orientation(plane)
    assert (np.diff(how.apply(x), axis=1) == 1).all()
    assert (np.diff(how.apply(y), axis=0) == 1).all()
    assert (how.restore(how.apply(x)) == x).all()
    assert how.transposed == (ways[1] == "y")
    assert (how.warning is not None) == how.transposed
    assert how.spacing((0.5, 0.7)) == ((0.7, 0.5) if how.transposed else (0.5, 0.7))
