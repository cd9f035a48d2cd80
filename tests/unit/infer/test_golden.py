from __future__ import annotations

import dataclasses
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from node.domain.errors import CanaryFailed
from node.domain.model import Precision
from node.infer.bundle import Bundle, load_bundle
from node.infer.golden import differences, normalised, replay, tolerance_at
from node.infer.openvino import EmbeddedScorer
from tests.model_folder import TinyNet, write_model_folder


@pytest.fixture
def scorer(bundle: Bundle) -> EmbeddedScorer:
    return EmbeddedScorer(bundle, precision=Precision.F32, threads=1)


def changed(bundle: Bundle, **arrays: Any) -> Bundle:
    return dataclasses.replace(bundle, golden=dataclasses.replace(bundle.golden, **arrays))


def test_the_stored_answer_is_given_again(bundle: Bundle, scorer: EmbeddedScorer) -> None:
    found = replay(bundle, scorer)
    assert found.passed
    assert (found.precision, found.tolerance) == (Precision.F32, 1e-5)
    assert 0 <= max(found.probabilities, found.maps) <= 1e-5


def test_batches_no_larger_than_the_configuration_allows(bundle: Bundle, scorer: EmbeddedScorer) -> None:
    single = dataclasses.replace(bundle, config=dataclasses.replace(bundle.config, max_batch_size=2))
    replay(single, scorer)


class Counting:
    """An engine that remembers how many slices came at once."""

    def __init__(self, scorer: EmbeddedScorer) -> None:
        self._scorer = scorer
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scorer, name)

    def score(self, batch: Any) -> Any:
        self.sizes.append(len(batch))
        return self._scorer.score(batch)


@pytest.mark.parametrize(("batch", "sizes"), [(None, [3]), (1, [1, 1, 1]), (16, [16]), (99, [16] * 6 + [3])])
def test_slices_are_repeated_until_they_fill_a_request(
    batch: int | None, sizes: list[int], bundle: Bundle, scorer: EmbeddedScorer
) -> None:
    counting = Counting(scorer)
    assert differences(bundle, counting, batch=batch).passed
    assert counting.sizes == sizes


def test_a_wrong_answer_is_measured_without_being_refused(bundle: Bundle, scorer: EmbeddedScorer) -> None:
    cam = bundle.golden.cam.copy()
    cam[1] = 0
    found = differences(changed(bundle, cam=cam), scorer, batch=16)
    assert not found.passed
    assert found.maps == pytest.approx(1)
    assert found.probabilities <= found.tolerance


def test_half_precision_is_held_to_the_tolerance_of_bf16(bundle: Bundle) -> None:
    assert tolerance_at(bundle.golden, Precision.F16) == bundle.golden.tolerances[Precision.BF16]
    assert tolerance_at(bundle.golden, Precision.INT8) is None


def test_other_weights_are_caught(bundle: Bundle, tmp_path: Path) -> None:
    other = write_model_folder(tmp_path / "other", list(bundle.golden.slices), net=TinyNet(bias=0.01))
    scorer = EmbeddedScorer(load_bundle(other), precision=Precision.F32, threads=1)
    with pytest.raises(CanaryFailed, match="probabilities"):
        replay(bundle, scorer)


def test_a_changed_preparation_is_caught(bundle: Bundle, scorer: EmbeddedScorer) -> None:
    prepared = bundle.golden.prepared.copy()
    prepared[0, 0, 0, 0] += 1e-4
    with pytest.raises(CanaryFailed, match="preparation"):
        replay(changed(bundle, prepared=prepared), scorer)


def test_a_changed_map_is_caught(bundle: Bundle, scorer: EmbeddedScorer) -> None:
    cam = bundle.golden.cam.copy()
    cam[1, 0, 0] += cam.max()
    with pytest.raises(CanaryFailed, match="maps"):
        replay(changed(bundle, cam=cam), scorer)


def test_maps_are_compared_whatever_their_scale(bundle: Bundle, scorer: EmbeddedScorer) -> None:
    replay(changed(bundle, cam=bundle.golden.cam * 2), scorer)


def test_a_map_of_another_grid_is_caught(bundle: Bundle, scorer: EmbeddedScorer) -> None:
    with pytest.raises(CanaryFailed, match="shape"):
        replay(changed(bundle, cam=bundle.golden.cam[:, :4]), scorer)


def test_a_precision_without_tolerance_is_caught(bundle: Bundle, scorer: EmbeddedScorer) -> None:
    with pytest.raises(CanaryFailed, match="tolerance"):
        replay(changed(bundle, tolerances=MappingProxyType({})), scorer)


def test_a_map_of_zeros_stays_zeros() -> None:
    maps = normalised(np.array([[[0, 0]], [[1, 4]]], dtype=np.float32))
    np.testing.assert_array_equal(maps, [[[0, 0]], [[0.25, 1]]])
