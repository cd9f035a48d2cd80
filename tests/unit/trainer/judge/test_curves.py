"""Curves and their areas by brute force, and the grouped bootstrap."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainer.judge.curves import Ranked
from trainer.judge.resampling import all_right_interval, bootstrap_intervals, group_weights

LABELLED = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30).filter(
    lambda values: {flag for _, flag in values} == {True, False}
)
WEIGHTED = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 3)), min_size=2, max_size=20)


def ranked(values: list[tuple[int, bool]]) -> Ranked:
    return Ranked(np.array([score for score, _ in values]) / 6, np.array([flag for _, flag in values]))


@given(LABELLED)
def test_the_roc_curve_is_what_counting_at_every_threshold_gives(values: list[tuple[int, bool]]) -> None:
    one = ranked(values)
    curve = one.roc()
    for threshold, hit, alarm in zip(
        curve.thresholds, curve.sensitivity, curve.one_minus_specificity, strict=True
    ):
        called = one.scores >= threshold
        assert np.isclose(hit, called[one.positive].mean())
        assert np.isclose(alarm, called[~one.positive].mean())
    assert (curve.sensitivity[-1], curve.one_minus_specificity[-1]) == (1, 1)
    assert np.isclose(np.trapezoid(curve.sensitivity, curve.one_minus_specificity), one.auc())


@given(LABELLED)
def test_precision_and_recall_are_what_counting_gives(values: list[tuple[int, bool]]) -> None:
    one = ranked(values)
    curve = one.pr()
    before, area = 0.0, 0.0
    for threshold, recall, precision in zip(curve.thresholds, curve.recall, curve.precision, strict=True):
        called = one.scores >= threshold
        assert np.isclose(precision, one.positive[called].mean())
        assert np.isclose(recall, called[one.positive].mean())
        area += (recall - before) * precision
        before = recall
    assert np.isclose(area, one.average_precision())
    assert np.isclose(curve.precision[-1], curve.prevalence)


@given(WEIGHTED)
def test_a_weight_counts_an_image_that_often(values: list[tuple[int, bool, int]]) -> None:
    scores, positive, weights = (np.array(column) for column in zip(*values, strict=True))
    repeated = Ranked(np.repeat(scores, weights), np.repeat(positive, weights).astype(bool))
    one = Ranked(scores, positive.astype(bool))
    np.testing.assert_allclose(one.auc(weights), repeated.auc())
    np.testing.assert_allclose(one.average_precision(weights), repeated.average_precision())


def test_groups_are_drawn_whole_and_within_their_class() -> None:
    positive = np.array([True, True, True, False, False, True])
    groups = ["a", "a", "b", "c", "d", "c"]
    for weights in group_weights(positive, groups, 50):
        assert weights[0] == weights[1]
        assert weights[[0, 2, 5]].sum() == 3
        assert weights[[3, 4]].sum() == 2
    first, again = (np.stack(list(group_weights(positive, groups, 20))) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first, axis=0)) > 5


def test_a_figure_that_is_never_defined_has_no_interval() -> None:
    flags = np.array([True, True])
    found = bootstrap_intervals(lambda weights: {"never": float("nan"), "one": 1.0}, flags, ["a", "b"], 10)
    assert found == {"never": None, "one": (1.0, 1.0)}


def test_a_share_without_error_is_bounded_by_its_groups() -> None:
    low, high = all_right_interval(7)
    assert np.isclose(low**7, 0.025)
    assert high == 1.0
