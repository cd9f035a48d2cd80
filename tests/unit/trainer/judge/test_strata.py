"""Confounding is measured over patients and said by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.cases.case import Case
from trainer.judge.metrics import auc
from trainer.judge.strata import auc_within, confounding, cramers_v, stratify

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.sampled_from("abc")), min_size=1, max_size=30)


def case(number: int, positive: bool, **known: Any) -> Case:
    return Case(
        image=Path(f"{number}.png"),
        positive=positive,
        source="dicom-labelled",
        split="all",
        group=f"patient {number // 2:05d}",
        **known,
    )


def scores_of(cases: list[Case], seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, len(cases))
    return np.asarray(1 / (1 + np.exp(-noise - np.array([one.positive for one in cases]))))


def test_the_thickness_of_the_published_set_is_called_confounded() -> None:
    """Normal: 86 % of 6 mm, 13.5 % of 5 mm; COVID-19: 39 %, 35 %, 18 % of 1.5 mm, 8 % others."""
    shares = {False: [(6.0, 43), (5.0, 7)], True: [(6.0, 20), (5.0, 17), (1.5, 9), (4.0, 4)]}
    numbers = iter(range(0, 1000, 2))
    cases = [
        case(next(numbers), positive, thickness=thickness)
        for positive, parts in shares.items()
        for thickness, count in parts
        for _ in range(count)
    ]
    (found,) = [one for one in stratify(cases, scores_of(cases), 0.5) if one.attribute == "thickness"]
    assert [one.value for one in found.strata] == ["1.5 mm", "4 mm", "5 mm", "6 mm"]
    assert found.cramers_v > 0.3
    assert found.attribute_auc is not None
    assert found.attribute_auc > 0.7
    (sentence, unknown) = confounding(cases, [found])
    assert "Thickness and class are confounded" in sentence
    assert "of one class only: 1.5 mm" in sentence
    assert "kernel, vendor, age and sex are not known" in unknown


def test_an_attribute_that_tells_nothing_is_not_accused() -> None:
    cases = [case(2 * n, n % 2 == 0, kernel="B70f" if n % 4 < 2 else "B30f") for n in range(80)]
    (found,) = [one for one in stratify(cases, scores_of(cases), 0.5) if one.attribute == "kernel"]
    assert found.cramers_v == 0
    assert found.sentence == ""
    assert all(one.figures.auc is not None for one in found.strata)


def test_one_odd_patient_is_chance() -> None:
    cases = [case(2 * n, n % 2 == 0, vendor="A") for n in range(80)]
    cases.append(case(200, True, vendor="B"))
    (found,) = [one for one in stratify(cases, scores_of(cases), 0.5) if one.attribute == "vendor"]
    assert found.strata[1].one_class
    assert found.sentence == ""


def test_missing_values_are_a_stratum_and_ages_are_banded() -> None:
    ages = (12.0, 18.0, 39.5, 40.0, 80.0, None)
    cases = [case(2 * n, n % 2 == 0, age=ages[n % 6]) for n in range(24)]
    (found,) = [one for one in stratify(cases, scores_of(cases), 0.5) if one.attribute == "age"]
    assert [one.value for one in found.strata] == [
        "under 18",
        "18 to 39",
        "40 to 59",
        "80 or more",
        "not known",
    ]


def test_nothing_is_said_of_one_class() -> None:
    cases = [case(n, False, kernel=f"B{n}") for n in range(8)]
    assert confounding(cases, stratify(cases, scores_of(cases), 0.5)) == []


@given(PAIRS)
def test_the_auc_within_strata_counts_pairs_of_one_stratum(values: list[tuple[int, bool, str]]) -> None:
    scores, flags, names = (np.array(column) for column in zip(*values, strict=True))
    right = [
        (np.sign(scores[i] - scores[j]) + 1) / 2
        for i in np.flatnonzero(flags)
        for j in np.flatnonzero(~flags)
        if names[i] == names[j]
    ]
    found = auc_within(scores, flags, names)
    assert found == (pytest.approx(np.mean(right)) if right else None)


def test_a_score_that_knows_the_attribute_alone_is_at_chance_within() -> None:
    positive = np.repeat([True, False], 50)
    kernel = np.array((["a"] * 40 + ["b"] * 10) + (["a"] * 10 + ["b"] * 40))
    scores = (kernel == "a") * 1.0
    assert auc(scores, positive) == 0.8
    assert auc_within(scores, positive, kernel) == 0.5


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_cramers_v_lies_between_0_and_1(values: list[tuple[str, bool]]) -> None:
    found = cramers_v([name for name, _ in values], [flag for _, flag in values])
    assert 0 <= found <= 1


def test_cramers_v_of_what_decides_the_class_is_1() -> None:
    assert cramers_v(["a", "b"] * 50, [True, False] * 50) == pytest.approx(1, abs=0.02)
