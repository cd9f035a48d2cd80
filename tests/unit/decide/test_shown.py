"""Which images a reader is shown, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.decide.shown import MOST_ON_SHEET, on_sheet, strongest
from tests.unit.report.conftest import Case, slices

BASE = Case().request().finding


def finding(scores, threshold=0.5):
    """``None``: not selected; ``-1``: selected, but not scored."""
    items = [
        replace(
            slices(1, 0)[0],
            selected=score is not None,
            probability=None if score in {None, -1} else score,
            positive=score is not None and score >= threshold,
        )
        for score in scores
    ]
    return replace(BASE, slices=tuple(items))


SCORES = st.lists(st.one_of(st.none(), st.just(-1), st.floats(0, 1)), max_size=30)


@given(SCORES, st.integers(0, 9))
def test_the_strongest_are_positive_and_ordered(scores, limit):
    made = finding(scores)
    shown = strongest(made, limit)
    assert len(shown) == min(limit, made.positive)
    keys = [(-made.slices[index].probability, index) for index in shown]
    assert keys == sorted(keys)
    rest = [item.probability for i, item in enumerate(made.slices) if item.positive and i not in shown]
    if shown:
        assert all(score <= made.slices[shown[-1]].probability for score in rest)


@given(SCORES)
def test_a_sheet_shows_something_of_every_series(scores):
    made = finding(scores)
    shown = on_sheet(made)
    assert len(set(shown)) == len(shown) <= MOST_ON_SHEET
    assert bool(shown) == bool(scores)
    if made.positive:
        assert shown == strongest(made, MOST_ON_SHEET)
    elif made.scored:
        assert max(item.probability for item in made.slices if item.probability is not None) == (
            made.slices[shown[0]].probability
        )
    elif made.selected:
        assert all(made.slices[index].selected for index in shown)


@pytest.mark.parametrize(
    ("count", "expected"), [(1, (0,)), (6, (0, 1, 2, 3, 4, 5)), (12, (1, 3, 5, 7, 9, 11))]
)
def test_without_scores_they_are_evenly_spaced(count, expected):
    assert on_sheet(finding([-1] * count)) == expected
    assert on_sheet(finding([None] * count)) == expected
