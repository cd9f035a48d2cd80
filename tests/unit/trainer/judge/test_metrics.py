"""Metrics against their definitions, and the source probe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.cases.case import Case
from trainer.judge.evaluate import Scored, source_probe
from trainer.judge.metrics import auc, auc_interval, figures, threshold_at_specificity

LABELLED = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40)


@given(LABELLED)
def test_auc_is_the_share_of_pairs_in_the_right_order(values: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in values]) / 6
    positive = np.array([flag for _, flag in values])
    above = [np.sign(one - other) for one in scores[positive] for other in scores[~positive]]
    wanted = np.mean([(sign + 1) / 2 for sign in above]) if above else np.nan
    np.testing.assert_allclose(auc(scores, positive), wanted)


@given(LABELLED, st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0]))
def test_the_threshold_reaches_its_specificity(values: list[tuple[int, bool]], wanted: float) -> None:
    scores = np.array([score for score, _ in values]) / 7
    positive = np.array([flag for _, flag in values])
    if positive.all():
        positive[0] = False
    threshold = threshold_at_specificity(scores, positive, wanted)
    assert (scores[~positive] < threshold).mean() >= wanted


def test_figures_count_at_an_inclusive_threshold() -> None:
    found = figures(
        np.array([0.5, 0.9, 0.2, 0.5, 0.1]), np.array([1, 1, 1, 0, 0]), ["a", "a", "b", "c", "d"], 0.5
    )
    assert (found.sensitivity, found.specificity, found.accuracy) == (2 / 3, 0.5, 0.6)
    assert found.f1 == pytest.approx(2 / 3)
    assert (found.images, found.positives, found.groups) == (5, 3, 4)


def test_one_class_alone_has_no_auc() -> None:
    found = figures(np.array([0.5, 0.9]), np.array([0, 0]), ["a", "b"], 0.5)
    assert found.auc is None
    assert found.auc_interval is None
    assert found.sensitivity is None
    assert found.specificity == 0.0


def test_the_interval_is_wider_when_pictures_come_in_groups() -> None:
    rng = np.random.default_rng(1)
    positive = np.repeat([True, False], 40)
    scores = np.repeat(rng.normal(0, 1, 16), 5) + positive
    single = auc_interval(scores, positive, [str(index) for index in range(80)])
    grouped = auc_interval(scores, positive, [str(index // 5) for index in range(80)])
    assert grouped[1] - grouped[0] > single[1] - single[0]
    assert grouped[0] <= auc(scores, positive) <= grouped[1]


def scored(kind: str, scores: list[float], positive: bool) -> Scored:
    case = Case(image=Path("a"), positive=positive, source=kind, split="all", group="1")
    return Scored(
        argument=f"{kind}:x", kind=kind, cases=(case,) * len(scores), scores=np.array(scores, np.float32)
    )


def test_the_probe_sees_a_score_that_knows_dicom() -> None:
    pictures = scored("folder", [0.5, 0.6, 0.7], False)
    sick = scored("folder", [0.0, 0.1], True)
    low = source_probe([pictures, sick, scored("dicom", [0.1, 0.2], False)], None)
    assert low is not None
    assert low.auc == 0.0
    assert low.pictures == 3
    assert "Not usable on DICOM CT" in low.sentence
    alike = source_probe([pictures, scored("dicom", [0.5, 0.6, 0.7], False)], None)
    assert alike is not None
    assert alike.auc == 0.5
    assert alike.sentence == ""
    other = scored("covid-ct", [0.9, 0.9], False)
    own = source_probe([pictures, other, scored("dicom", [0.5, 0.6, 0.7], False)], "folder")
    assert own is not None
    assert (own.auc, own.against, own.by_kind["covid-ct"]) == (0.5, ("folder",), 0.0)
    assert source_probe([pictures], None) is None
    assert source_probe([sick, scored("dicom", [0.5], False)], None) is None
