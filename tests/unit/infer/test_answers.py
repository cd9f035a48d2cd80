"""What an engine's answer must be."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from node.domain.errors import ScoresInvalid
from node.infer.answers import verified

Real = NDArray[np.float32]


def answer(count: int = 3, classes: int = 2) -> tuple[Real, Real]:
    return (
        np.full((count, classes), 0.5, np.float32),
        np.ones((count, 4, 4), np.float32),
    )


def test_a_good_answer_is_returned() -> None:
    probabilities, cam = verified("m", 2, 3, answer())
    assert (probabilities == 0.5).all()
    assert (cam == 1).all()


def test_rounding_is_clipped() -> None:
    probabilities, cam = answer()
    probabilities[0, 0], probabilities[0, 1], cam[0, 0, 0] = 1.0005, -0.0005, -0.0005
    found, maps = verified("m", 2, 3, (probabilities, cam))
    assert found.min() == 0
    assert found.max() == 1
    assert maps.min() == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.01, -0.01])
def test_other_values_are_refused(value: float) -> None:
    probabilities, cam = answer()
    probabilities[1, 1] = value
    with pytest.raises(ScoresInvalid, match="m answered values"):
        verified("m", 2, 3, (probabilities, cam))


@pytest.mark.parametrize("value", [np.nan, -0.01])
def test_other_maps_are_refused(value: float) -> None:
    probabilities, cam = answer()
    cam[1, 1, 1] = value
    with pytest.raises(ScoresInvalid, match="m answered values"):
        verified("m", 2, 3, (probabilities, cam))


@pytest.mark.parametrize("shape", [(2, 2), (3, 3)])
def test_other_shapes_are_refused(shape: tuple[int, int]) -> None:
    _, cam = answer()
    with pytest.raises(ScoresInvalid, match="to 3 slices"):
        verified("m", 2, 3, (np.zeros(shape, np.float32), cam))
