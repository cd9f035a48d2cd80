"""The phantom is a chest: it opens and closes along z, and it is the same for the same seed."""

from __future__ import annotations

import time

import numpy as np
import pytest

from node.imaging.geometry import stack
from node.imaging.lungs import body_mask
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import hu_to_stored


def test_same_seed_same_pixels():
    one, other = ThoraxPhantom(seed=5, rows=128), ThoraxPhantom(seed=5, rows=128)
    assert (one.slice_at(20).hu == other.slice_at(20).hu).all()
    assert (one.slice_at(20).hu != ThoraxPhantom(seed=6, rows=128).slice_at(20).hu).any()


def test_slices_form_a_volume(phantom):
    items = [phantom.slice_at(index) for index in (3, 1, 0, 2)]
    result = stack([item.plane for item in items])
    assert result.order == (2, 1, 3, 0)
    assert result.uniform
    assert result.step == pytest.approx(phantom.slice_spacing_mm)
    assert len(phantom) == 40
    assert len(list(ThoraxPhantom(rows=64, slices=3))) == 3


def test_values_and_padding(phantom):
    item = phantom.slice_at(20)
    assert item.hu.dtype == np.int16
    assert item.hu.shape == item.padding.shape == (256, 256)
    assert (item.hu[item.padding] == -1024).all()
    assert item.padding[0, 0]
    assert not item.padding[128, 128]
    assert item.hu.max() > 250


def test_lungs_open_and_close(stored):
    air = [int(((v < 300) & (body_mask(v, -500) > 0)).sum()) for v in stored]
    assert max(air[:3]) < 0.05 * max(air)
    assert max(air[34:]) < 0.05 * max(air)
    assert min(air[14:27]) > 0.4 * max(air)


def test_ground_glass_is_denser_than_lung():
    clear, ill = ThoraxPhantom(seed=2, rows=128), ThoraxPhantom(seed=2, rows=128, patches=6)
    lungs = np.concatenate([(item.hu < -700).ravel() for item in map(clear.slice_at, range(12, 26))])
    opacities = np.concatenate([(item.hu < -700).ravel() for item in map(ill.slice_at, range(12, 26))])
    assert opacities.sum() < 0.995 * lungs.sum()


@pytest.mark.parametrize("index", [-1, 40])
def test_there_is_no_such_slice(phantom, index):
    with pytest.raises(IndexError):
        phantom.slice_at(index)


def test_a_slice_is_rendered_fast():
    phantom = ThoraxPhantom()
    hu_to_stored(phantom.slice_at(0).hu)
    started = time.perf_counter()
    phantom.slice_at(20)
    assert time.perf_counter() - started < 1.0
