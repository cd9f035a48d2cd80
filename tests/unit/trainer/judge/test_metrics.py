"""Metrics against their definitions, and the source probe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model_folder import tiny_spec
from trainer.cases.case import Case
from trainer.judge.evaluate import Scored, source_probe
from trainer.judge.metrics import (
    Confusion,
    auc,
    auc_interval,
    confusion,
    figures,
    threshold_at_sensitivity,
    threshold_at_specificity,
)
from trainer.judge.operating_points import point_table
from trainer.judge.report import same_score_warnings, set_report
from trainer.judge.sample import Sample

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


def test_one_patient_of_a_class_bounds_nothing() -> None:
    scores, positive = np.array([0.9, 0.2, 0.3, 0.1, 0.7]), np.array([True, True, False, False, False])
    assert auc_interval(scores, positive, ["a", "a", "b", "c", "d"]) == (0.0, 1.0)
    found = figures(scores, positive, ["a", "a", "b", "c", "d"], 0.5)
    everything = (0.0, 1.0)
    assert found.auc_interval == found.sensitivity_interval == found.accuracy_interval == everything
    assert found.precision_interval == found.f1_interval == found.average_precision_interval == everything


def test_an_order_without_error_is_not_certain() -> None:
    scores, positive = np.linspace(1, 0, 8), np.arange(8) < 3
    groups = [str(index) for index in range(8)]
    found = figures(scores, positive, groups, 0.7)
    assert found.auc == found.f1 == 1.0
    assert found.auc_interval == pytest.approx((0.025 ** (1 / 3), 1.0))
    assert auc_interval(1 - scores, positive, groups) == pytest.approx((0.0, 1 - 0.025 ** (1 / 3)))
    assert found.f1_interval is None
    assert found.average_precision_interval is None


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


@given(LABELLED, st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0]))
def test_the_threshold_reaches_its_sensitivity(values: list[tuple[int, bool]], wanted: float) -> None:
    scores = np.array([score for score, _ in values]) / 7
    positive = np.array([flag for _, flag in values])
    if not positive.any():
        positive[0] = True
    assert (scores[positive] >= threshold_at_sensitivity(scores, positive, wanted)).mean() >= wanted


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30),
    st.sampled_from(["covid", "other", "normal"]),
)
def test_each_class_is_judged_against_the_rest(pairs: list[tuple[int, int]], label: str) -> None:
    labels = ("covid", "other", "normal")
    truth, called = (np.array(column) for column in zip(*pairs, strict=True))
    found = confusion(truth, called, labels)
    at = labels.index(label)
    own = found.of_class(label)
    assert own.accuracy == pytest.approx(((truth == at) == (called == at)).mean())
    assert own.sensitivity == ((called[truth == at] == at).mean() if (truth == at).any() else None)
    assert own.specificity == ((called[truth != at] != at).mean() if (truth != at).any() else None)
    assert own.precision == ((truth[called == at] == at).mean() if (called == at).any() else None)
    assert found.overall_accuracy == pytest.approx((truth == called).mean())


def test_a_row_of_the_papers_table_6_is_recomputed() -> None:
    """Fold 1, FPN: 436 and 7778 right, 26 COVID-19 missed, 82 normals called COVID-19."""
    found = Confusion(labels=("covid", "normal"), counts=((436, 26), (82, 7778)))
    covid, normal = found.of_class("covid"), found.of_class("normal")
    assert found.overall_accuracy == pytest.approx(0.987, abs=5e-5)
    assert (covid.sensitivity, covid.specificity) == (normal.specificity, normal.sensitivity)
    assert covid.sensitivity == pytest.approx(0.9437, abs=5e-5)
    assert covid.precision == pytest.approx(0.8417, abs=5e-5)
    assert normal.precision == pytest.approx(0.9967, abs=5e-5)


def test_a_share_without_error_is_not_certain() -> None:
    found = figures(np.array([0.9, 0.9, 0.1, 0.1]), np.array([1, 1, 0, 0]), ["a", "b", "c", "d"], 0.5)
    assert found.sensitivity == 1.0
    assert found.sensitivity_interval == (pytest.approx(0.025**0.5), 1.0)


def test_points_are_marked_where_they_were_chosen_on_the_images() -> None:
    rng = np.random.default_rng(2)
    positive = rng.random(200) < 0.5
    scores = np.clip(rng.normal(0.4, 0.2, 200) + 0.2 * positive, 0, 1)
    sample = Sample(name="x", scores=scores, positive=positive, groups=[str(n) for n in range(200)])
    table = point_table(sample, tiny_spec().operating_points)
    assert [one.name for one in table[:2]] == ["argmax", "bundle: tiny"]
    assert [one.chosen_here for one in table] == [False, False, True, True, True, True]
    for one, wanted in zip(table[2:5], (0.9, 0.95, 0.99), strict=True):
        assert one.specificity is not None
        assert one.specificity >= wanted
    assert table[5].sensitivity is not None
    assert table[5].sensitivity >= 0.95


def test_many_equal_scores_are_suspect() -> None:
    spread = np.linspace(0, 1, 40)
    assert same_score_warnings(spread) == []
    assert same_score_warnings(np.array([0.5] * 5)) == []
    (warning,) = same_score_warnings(np.concatenate([spread, np.full(10, 0.5)]))
    assert "10 of 50 images have the same score 0.5000" in warning


def test_images_that_training_could_see_are_said_to_be() -> None:
    spec = tiny_spec()
    for split, kind, said in (("all", "folder", True), ("train", "folder", True), ("val", "folder", False)):
        cases = tuple(
            Case(image=Path(f"{row}.png"), positive=row < 2, source=kind, split=split, group=str(row))
            for row in range(4)
        )
        one = Scored(argument="folder:x", kind=kind, cases=cases, scores=np.linspace(0.9, 0.1, 4))
        report = set_report(one, spec, "folder", patients=False)
        assert any("the network knows" in warning for warning in report["warnings"]) is said
        report = set_report(one, spec, "covid-ct", patients=False)
        assert not any("the network knows" in warning for warning in report["warnings"])
