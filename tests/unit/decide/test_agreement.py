"""How far two models agree."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.decide.agreement import StudyScore, compare
from node.domain.result import Outcome

START = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday."""
P, N, U = Outcome.POSITIVE, Outcome.NEGATIVE, Outcome.UNDETERMINED
NONE = Outcome.NOT_ANALYSED


def scored(study: int, outcome: Outcome, score: float | None = None, days: int = 0) -> StudyScore:
    return StudyScore(
        study_id=study,
        study_instance_uid=f"1.2.{study}",
        arrived_at=START + timedelta(days=days),
        version=1,
        outcome=outcome,
        mean_probability=score,
    )


SCORES = st.lists(
    st.builds(
        scored,
        st.integers(1, 12),
        st.sampled_from(Outcome),
        st.none() | st.floats(0, 1),
        st.integers(0, 40),
    ),
    max_size=12,
    unique_by=lambda item: item.study_id,
)


@given(SCORES, SCORES)
def test_every_common_study_is_counted_once(first: list[StudyScore], second: list[StudyScore]) -> None:
    found = compare(first, second)
    common = {item.study_id for item in first} & {item.study_id for item in second}
    analysed = {item.study_id for item in [*first, *second] if item.outcome is not NONE}
    common &= analysed
    assert {pair.first.study_id for pair in found.pairs} == common
    assert sum(found.outcomes.values()) == found.studies == len(common)
    agreed = sum(count for (one, other), count in found.outcomes.items() if one is other)
    assert agreed == found.studies - len(found.changes)
    assert sum(week.studies for week in found.weeks) <= found.studies


@given(SCORES, SCORES)
def test_the_order_of_the_models_turns_the_differences_round(
    first: list[StudyScore], second: list[StudyScore]
) -> None:
    one, other = compare(first, second), compare(second, first)
    assert one.kappa == other.kappa
    assert one.agreement == other.agreement
    assert (one.mean_difference or 0.0) == pytest.approx(-(other.mean_difference or 0.0))
    assert one.largest_difference == other.largest_difference


@given(SCORES)
def test_a_model_agrees_with_itself(scores: list[StudyScore]) -> None:
    found = compare(scores, scores)
    assert found.changes == ()
    assert found.kappa in (None, 1.0)
    assert not found.largest_difference
    assert all(week.first == week.second for week in found.weeks)


@given(SCORES, SCORES)
def test_kappa_stays_in_its_range(first: list[StudyScore], second: list[StudyScore]) -> None:
    found = compare(first, second)
    assert found.kappa is None or -1 <= found.kappa <= 1


def test_cohens_own_way_of_counting() -> None:
    """20 both positive, 5 and 10 changed, 15 both negative: 0.7 observed, 0.5 by chance, so 0.4."""
    answers = [(P, P)] * 20 + [(P, N)] * 5 + [(N, P)] * 10 + [(N, N)] * 15
    first = [scored(number, one) for number, (one, _) in enumerate(answers)]
    second = [scored(number, other) for number, (_, other) in enumerate(answers)]
    found = compare(first, second)
    assert found.agreement == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)
    assert [pair.first.study_id for pair in found.changes] == list(range(20, 35))


def test_a_drift_shows_in_the_weeks() -> None:
    first = [scored(number, N, 0.2, days=number) for number in range(14)]
    second = [
        dataclasses.replace(item, mean_probability=0.2 if number < 7 else 0.4)
        for number, item in enumerate(first)
    ]
    found = compare(first, second)
    assert [(week.week, week.studies) for week in found.weeks] == [("2026-W02", 7), ("2026-W03", 7)]
    assert [week.second - week.first for week in found.weeks] == pytest.approx([0.0, 0.2])
    assert found.mean_difference == pytest.approx(0.1)
    assert found.deviation == pytest.approx(0.10377, abs=1e-5)
    assert found.kappa is None, "whoever always says the same agrees by chance"


def test_a_study_without_scores_is_still_an_answer() -> None:
    found = compare([scored(1, U), scored(2, P, 0.9)], [scored(1, N, 0.1), scored(2, P, 0.8)])
    assert found.studies == 2
    assert [pair.first.outcome for pair in found.changes] == [U]
    assert found.mean_difference == pytest.approx(-0.1)
    assert found.deviation is None


def test_a_study_that_neither_analysed_speaks_for_no_agreement() -> None:
    first = [scored(1, P, 0.9), scored(2, NONE), scored(3, NONE), scored(4, NONE)]
    second = [scored(1, N, 0.1), scored(2, NONE), scored(3, NONE), scored(4, P, 0.8)]
    found = compare(first, second)
    assert (found.studies, found.agreement) == (2, 0)
    assert [pair.first.study_id for pair in found.changes] == [1, 4]
