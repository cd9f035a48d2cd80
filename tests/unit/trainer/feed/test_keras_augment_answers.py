"""Augmented slices against what keras-preprocessing, Keras and SciPy made of them (``tests/parity``)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.parity.augmenting import deep_ct_ranges, rows_of, varied
from trainer.feed.keras_augment import HALF_PIXEL_BEFORE

GIVEN = json.loads((Path(__file__).parents[3] / "parity" / "answers" / "augmentation.json").read_text())


def test_draws_and_slices_are_those_of_the_originals() -> None:
    rows = rows_of(GIVEN, GIVEN["made with"])
    assert len(rows) == 6
    assert [row for row in rows if not row.holds] == []


def test_the_two_centres_are_told_apart() -> None:
    given = np.array(GIVEN["keras-preprocessing"])
    other = varied(HALF_PIXEL_BEFORE, *given.shape[1:], len(given))
    assert np.abs(other - given).max() > 100


def test_draws_of_deep_ct_net_fill_the_ranges_of_the_paper() -> None:
    row = deep_ct_ranges()
    assert row.holds
    assert row.found == pytest.approx(0, abs=0.01)
