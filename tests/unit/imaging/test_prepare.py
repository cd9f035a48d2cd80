"""The network's input: one way for slices and for pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from node.domain.input_spec import WindowSpec
from node.imaging.lungs import body_mask, fill_holes, largest_component
from node.imaging.prepare import (
    Framing,
    frame,
    hu_to_stored,
    prepare_picture,
    prepare_slice,
    resized,
    to_tensor,
    windowed,
    windowed_by,
)

LUNG_SLICE = 20


@given(hnp.arrays(np.int16, (4, 5)))
def test_representation_is_hu_plus_1024_in_12_bits(hu):
    v = hu_to_stored(hu)
    assert v.dtype == np.uint16
    assert (v == np.clip(hu.astype(int) + 1024, 0, 4095)).all()


@given(hnp.arrays(np.uint16, 30, elements=st.integers(0, 4095)), st.floats(-900, 400), st.floats(1, 3000))
def test_window_is_monotonic_and_exact(values, center, width):
    v = np.sort(values).reshape(5, 6)
    grey = windowed_by(v, WindowSpec(center=center, width=width))
    assert (np.diff(grey.ravel().astype(int)) >= 0).all()
    expected = np.clip(((v - 1024.0 - center) / width + 0.5) * 255, 0, 255)
    assert np.abs(grey - expected).max() <= 0.5


def test_window_ends(spec):
    hu = np.array([[-1350, -600, 150]], dtype=np.int16)
    assert windowed(hu_to_stored(hu), spec)[0, 1:].tolist() == [128, 255]
    assert windowed(hu_to_stored(hu), spec)[0, 0] == 55  # -1024 HU, the least there is


def test_slice_and_picture_are_prepared_alike(stored, spec):
    v = stored[LUNG_SLICE]
    from_slice, from_picture = prepare_slice(v, spec), prepare_picture(windowed(v, spec), spec)
    assert from_slice.box == from_picture.box
    assert (from_slice.tensor == from_picture.tensor).all()
    assert from_slice.framing is Framing.LUNG_BOX
    assert from_slice.tensor.shape == (3, 224, 224)
    assert from_slice.tensor.dtype == np.float32
    assert from_slice.tensor.min() >= -1
    assert from_slice.tensor.max() <= 1


def test_steps_give_the_whole(stored, spec):
    v = stored[LUNG_SLICE]
    crop = frame(windowed(v, spec), spec).image
    assert (to_tensor(crop, spec) == prepare_slice(v, spec).tensor).all()


def lung_extent(v):
    """Rows and columns of the phantom's lungs: the dark parts inside its body, noise left out."""
    inside = (v < 400) & (body_mask(v, -500) > 0)
    rows, columns = np.flatnonzero(inside.sum(axis=1) > 3), np.flatnonzero(inside.sum(axis=0) > 3)
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


@pytest.mark.parametrize("index", range(13, 29, 3))
def test_the_box_frames_both_lungs(stored, spec, index):
    v = stored[index]
    top, bottom, left, right = lung_extent(v)
    box = frame(windowed(v, spec), spec).box
    assert box[0] <= top
    assert box[1] >= bottom
    assert box[2] <= left
    assert box[3] >= right
    assert box[3] - box[2] <= 1.16 * (right - left) + 8


def test_a_consolidated_lung_stays_in_the_box(stored, spec):
    v = stored[LUNG_SLICE].copy()
    top, bottom, left, _ = lung_extent(v)
    middle = v.shape[1] // 2
    v[top:bottom, left:middle] = np.maximum(v[top:bottom, left:middle], 1060)
    box = frame(windowed(v, spec), spec).box
    assert middle - box[2] > 0.65 * (box[3] - middle)


def test_consolidated_dorsal_parts_stay_in_the_box(stored, spec):
    v = stored[LUNG_SLICE].copy()
    top, bottom, left, right = lung_extent(v)
    middle = (top + bottom) // 2
    v[middle:bottom, left:right] = np.maximum(v[middle:bottom, left:right], 1060)
    box = frame(windowed(v, spec), spec).box
    assert box[1] > middle + 0.4 * (bottom - middle)


def test_air_over_a_hollow_table_is_no_lung(stored, spec):
    """A foam pad under the back is dark, large and may end at one side of the image."""
    v = stored[LUNG_SLICE].copy()
    expected = frame(windowed(v, spec), spec).box
    v[208:234, 10:] = 1100
    v[210:232, 12:] = 60
    v[185:232, 120:136] = 1100
    assert frame(windowed(v, spec), spec).box[1] <= expected[1] + 8


@pytest.mark.parametrize("colour", [0, 255])
def test_a_picture_on_paper(stored, spec, colour):
    grey = windowed(stored[LUNG_SLICE], spec)
    expected = frame(grey, spec).box
    bordered = np.pad(grey, 30, constant_values=colour)
    found = frame(bordered, spec)
    assert found.framing is Framing.LUNG_BOX
    assert np.abs(np.array(found.box) - 30 - expected).max() <= 5


def test_a_picture_cut_to_the_lungs_stays_whole(stored, spec):
    grey = windowed(stored[LUNG_SLICE], spec)
    first = frame(grey, spec).image
    again = frame(first, spec)
    assert again.image.size >= 0.85 * first.size


@pytest.mark.parametrize("index", [0, 39])
def test_without_lungs_the_frame_is_whole_and_flagged(stored, spec, index):
    prepared = prepare_slice(stored[index], spec)
    assert prepared.framing is Framing.FULL_FRAME
    assert prepared.box == (0, 256, 0, 256)


@given(grey=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70)))
def test_any_picture_is_framed(spec, grey):
    framed = frame(grey, spec)
    top, bottom, left, right = framed.box
    assert 0 <= top < bottom <= grey.shape[0]
    assert 0 <= left < right <= grey.shape[1]
    assert framed.image.shape == (bottom - top, right - left)
    assert np.isfinite(to_tensor(framed.image, spec)).all()


def test_raw_input_is_neither_scaled_nor_resized(raw_spec):
    v = np.arange(512 * 512, dtype=np.uint32).reshape(512, 512).__mod__(4096).astype(np.uint16)
    prepared = prepare_slice(v, raw_spec)
    assert prepared.tensor.shape == (1, 512, 512)
    assert (prepared.tensor[0] == v).all()
    assert prepared.box == (0, 512, 0, 512)


def test_raw_input_is_padded_to_a_square_with_air(raw_spec):
    prepared = prepare_slice(np.full((256, 512), 1000, dtype=np.uint16), raw_spec)
    assert prepared.framing is Framing.SQUARE
    assert prepared.box == (-128, 384, 0, 512)
    assert (prepared.tensor[0, :128] == 0).all()
    assert (prepared.tensor[0, 128:384] == 1000).all()
    assert (prepared.tensor[0, 384:] == 0).all()


def test_raw_input_of_another_matrix_keeps_its_values(raw_spec):
    prepared = prepare_slice(np.full((768, 768), 1234, dtype=np.uint16), raw_spec)
    assert prepared.tensor.shape == (1, 512, 512)
    assert prepared.tensor == pytest.approx(1234)


def test_raw_input_refuses_pictures(raw_spec):
    with pytest.raises(ValueError, match="picture"):
        prepare_picture(np.zeros((8, 8), dtype=np.uint8), raw_spec)
    with pytest.raises(ValueError, match="window"):
        windowed(np.zeros((8, 8), dtype=np.uint16), raw_spec)


def test_equalised_input_is_standardised(stored, equalised_spec):
    tensor = prepare_slice(stored[LUNG_SLICE], equalised_spec).tensor
    assert tensor.shape == (3, 256, 256)
    assert (tensor[0] == tensor[2]).all()
    assert tensor.mean() == pytest.approx(0, abs=1e-4)
    assert tensor.std() == pytest.approx(1, abs=1e-3)


def test_equalised_input_of_an_even_picture_is_finite(equalised_spec):
    tensor = prepare_picture(np.full((40, 30), 7, dtype=np.uint8), equalised_spec).tensor
    assert (tensor == 0).all()


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 4095, width=32))
def test_resizing_keeps_an_even_image_even(rows, columns, value):
    image = resized(np.full((rows, columns), value, dtype=np.float32), (16, 24))
    assert image.shape == (16, 24)
    assert image == pytest.approx(value, rel=1e-5)


def test_body_is_filled_and_the_table_is_out(stored):
    v = stored[LUNG_SLICE]
    mask = body_mask(v, -500)
    assert mask[128, 64] == 1  # a lung
    assert mask[0, 0] == 0
    assert not mask[212:].any()  # the table
    assert not body_mask(np.zeros((32, 32), dtype=np.uint16), -500).any()


@given(hnp.arrays(np.uint8, (12, 12), elements=st.integers(0, 1)))
def test_outlines_only_take_what_is_enclosed(mask):
    assert (largest_component(mask) <= mask).all()
    filled = fill_holes(mask)
    assert (filled >= mask).all()
    assert (fill_holes(filled) == filled).all()
