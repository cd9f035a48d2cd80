from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from node.domain.errors import EngineUnavailable
from node.domain.model import Precision
from node.infer.acceptance import batch_sizes, try_bundles
from node.infer.bundle import Bundle
from node.infer.openvino import EmbeddedScorer

URL = "triton.example:8001"


def open_scorer(bundle: Bundle) -> EmbeddedScorer:
    return EmbeddedScorer(bundle, precision=Precision.F32, threads=1)


def with_probabilities(bundle: Bundle, shift: float) -> Bundle:
    golden = dataclasses.replace(bundle.golden, probabilities=bundle.golden.probabilities + np.float32(shift))
    return dataclasses.replace(bundle, golden=golden)


def test_an_engine_that_answers_as_the_export_did_is_accepted(bundle: Bundle) -> None:
    (trial,) = try_bundles([bundle], open_scorer)

    assert trial.passed
    assert trial.differences is not None
    assert trial.differences.probabilities <= trial.differences.tolerance == 1e-5
    acceptance = trial.acceptance(URL)
    assert acceptance is not None
    assert (acceptance.url, acceptance.model_name, acceptance.model_version) == (URL, "tiny", 1)
    assert (acceptance.weights_sha256, acceptance.spec_sha256) == (bundle.weights_sha256, bundle.spec_sha256)
    assert acceptance.precision == "f32"
    assert acceptance.server_version == trial.identity.engine_version


def test_an_answer_beyond_the_tolerance_is_measured_and_not_accepted(bundle: Bundle) -> None:
    (trial,) = try_bundles([with_probabilities(bundle, 0.25)], open_scorer)

    assert not trial.passed
    assert trial.differences is not None
    assert trial.differences.probabilities == pytest.approx(0.25, abs=1e-5)
    assert "more than is allowed" in trial.problem
    assert trial.acceptance(URL) is None


def test_one_that_cannot_be_tried_does_not_hide_the_others(bundle: Bundle) -> None:
    absent = dataclasses.replace(bundle, precisions=frozenset())

    def open_some(wanted: Bundle) -> EmbeddedScorer:
        if wanted is absent:
            raise EngineUnavailable("no server answers")
        return open_scorer(wanted)

    first, second = try_bundles([absent, bundle], open_some)

    assert (first.passed, first.problem, first.identity, first.differences) == (
        False,
        "no server answers",
        None,
        None,
    )
    assert first.acceptance(URL) is None
    assert second.passed


def test_the_worst_of_all_batch_sizes_counts(bundle: Bundle) -> None:
    class WrongAtSixteen:
        def __init__(self, scorer: EmbeddedScorer) -> None:
            self._scorer = scorer
            self.identity = scorer.identity
            self.closed = False

        def score(self, batch):
            probabilities, cam = self._scorer.score(batch)
            return (probabilities * 0.5 if len(batch) == 16 else probabilities), cam

        def close(self) -> None:
            self.closed = True
            self._scorer.close()

    opened: list[WrongAtSixteen] = []

    def open_wrong(wanted: Bundle) -> WrongAtSixteen:
        opened.append(WrongAtSixteen(open_scorer(wanted)))
        return opened[-1]

    assert batch_sizes(bundle) == [1, 3, 16]
    (trial,) = try_bundles([bundle], open_wrong)
    assert not trial.passed
    assert trial.differences.probabilities == pytest.approx(bundle.golden.probabilities.max() / 2, abs=1e-5)
    assert opened[0].closed


def test_batch_sizes_stay_within_what_the_configuration_allows(bundle: Bundle) -> None:
    small = dataclasses.replace(bundle, config=dataclasses.replace(bundle.config, max_batch_size=2))
    assert batch_sizes(small) == [1, 2]
