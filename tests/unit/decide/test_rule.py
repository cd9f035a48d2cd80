"""The share of positive slices, exactly."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.decide.rule import decide, is_positive
from node.domain.result import OperatingPoint, Outcome


def point(share: Fraction, threshold: float = 0.5) -> OperatingPoint:
    return OperatingPoint(
        name="paper", slice_threshold=threshold, share=share, chosen_on="nothing", validated=False
    )


PAPER = point(Fraction(3, 10))


@pytest.mark.parametrize(
    ("k", "n", "outcome"),
    [
        (3, 10, Outcome.POSITIVE),
        (2, 10, Outcome.NEGATIVE),
        (30, 100, Outcome.POSITIVE),
        (29, 100, Outcome.NEGATIVE),
        (0, 12, Outcome.NEGATIVE),
        (0, 0, Outcome.UNDETERMINED),
        (4, 4, Outcome.UNDETERMINED),
        (5, 5, Outcome.POSITIVE),
    ],
)
def test_at_the_paper_point(k: int, n: int, outcome: Outcome) -> None:
    assert decide(k, n, PAPER, 5).outcome is outcome


def test_an_empty_selection_is_never_positive() -> None:
    assert decide(0, 0, point(Fraction(0)), 0).outcome is Outcome.UNDETERMINED


@given(n=st.integers(1, 2000), share=st.fractions(0, 1, max_denominator=1000), data=st.data())
def test_the_comparison_is_exact_and_inclusive(n: int, share: Fraction, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    expected = Outcome.POSITIVE if Fraction(k, n) >= share else Outcome.NEGATIVE
    assert decide(k, n, point(share), 1).outcome is expected


@given(n=st.integers(1, 300), share=st.fractions(0, 1, max_denominator=50))
def test_more_positive_slices_never_make_a_study_negative(n: int, share: Fraction) -> None:
    outcomes = [decide(k, n, point(share), 1).outcome is Outcome.POSITIVE for k in range(n + 1)]
    assert outcomes == sorted(outcomes)


def test_the_reason_has_the_numbers() -> None:
    reason = decide(3, 10, PAPER, 5).reason
    assert "3 of 10" in reason
    assert "30.0 %" in reason
    assert "'paper'" in reason
    assert "Too few slices with open lungs: 2, at least 5 needed." in decide(1, 2, PAPER, 5).reason


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3)])
def test_impossible_counts(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="impossible"):
        decide(k, n, PAPER, 1)


def test_the_slice_threshold_is_inclusive() -> None:
    assert is_positive(0.5, PAPER)
    assert not is_positive(0.4999, PAPER)
