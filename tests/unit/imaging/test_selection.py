"""The rule of Rahimzadeh et al. 2021, section 2.2, its edges, and the form that counts inside the body."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.imaging.selection import (
    DarkCount,
    dark_count,
    lungs_close_at_both_ends,
    plausibility,
    region,
    runs_of,
    select,
)


def kept(counts, spec):
    return select(counts, spec.selection).kept


@given(counts=st.lists(st.integers(0, 25_000), min_size=1, max_size=60))
def test_integer_form_equals_the_exact_quotient(spec, counts):
    threshold = Fraction(max(counts) - min(counts)) / Fraction(3, 2)
    selection = select(counts, spec.selection)
    assert selection.kept == tuple(i for i, count in enumerate(counts) if count > threshold)
    assert selection.threshold == threshold


@given(counts=st.lists(st.integers(0, 25_000), min_size=1, max_size=60))
def test_integer_form_equals_the_authors_float_form(spec, counts):
    threshold = (max(counts) - min(counts)) / 1.5
    assert kept(counts, spec) == tuple(i for i, count in enumerate(counts) if count > threshold)


@given(counts=st.lists(st.integers(0, 25_000), min_size=1, max_size=60))
def test_the_darkest_slice_is_kept_unless_all_are_empty(spec, counts):
    assert (counts.index(max(counts)) in kept(counts, spec)) == (max(counts) > 0)


def test_the_papers_example(spec):
    assert select([3030, 30, 2000, 2001], spec.selection).threshold == 2000
    assert kept([3030, 30, 2000, 2001], spec) == (0, 3)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([], ()),
        ([0], ()),
        ([1], (0,)),
        ([0, 0, 0], ()),
        ([7, 7, 7], (0, 1, 2)),
        ([0, 5], (1,)),
        ([41, 100, 100], (0, 1, 2)),
        ([40, 100, 100], (1, 2)),
    ],
)
def test_edges(spec, counts, expected):
    assert kept(counts, spec) == expected


def test_region_is_scaled_to_the_matrix(spec):
    assert region((512, 512), spec.selection) == (240, 340, 120, 370)
    assert region((256, 1024), spec.selection) == (120, 170, 240, 740)
    assert region((768, 768), spec.selection) == (360, 510, 180, 555)


def test_rows_are_rows(spec_of):
    v = np.full((512, 512), 1100, dtype=np.uint16)
    v[240:340, 120:370] = 299
    paper = spec_of(selection={"rule": "paper"}).selection
    assert dark_count(v, paper).count == 25_000
    assert dark_count(v.T, paper).count == 100 * 100
    v[240:340, 120:370] = 300
    assert dark_count(v, paper).count == 0


def test_only_air_in_the_body_counts(spec, spec_of):
    v = np.zeros((512, 512), dtype=np.uint16)
    v[100:400, 100:300] = 1060
    v[250:300, 150:200] = 100
    found = dark_count(v, spec.selection)
    assert found == DarkCount(count=2500, in_body=2500)
    paper = dark_count(v, spec_of(selection={"rule": "paper"}).selection)
    assert paper.in_body == 2500
    assert paper.count == 2500 + 100 * 70


@pytest.mark.parametrize("value", [0, 1100])
def test_a_slice_without_outline_is_counted(spec, value):
    v = np.full((64, 64), value, dtype=np.uint16)
    assert dark_count(v, spec.selection) == DarkCount(count=0, in_body=0)


def judged(counts, spec, *, area=1.0):
    dark = [DarkCount(count=count, in_body=count) for count in counts]
    return plausibility(select(counts, spec.selection), dark, area, spec.selection)


def test_plausible_lungs(spec):
    assert judged([0, 900, 1000, 1000, 1000, 900, 0], spec).reason is None


def test_a_second_run_is_reported(spec):
    result = judged([0, 1000, 1000, 1000, 1000, 0, 1000, 1000, 0], spec)
    assert result.reason is None
    assert result.runs == 2
    assert "2 runs" in result.note


@pytest.mark.parametrize(
    ("counts", "area", "words"),
    [
        ([0] * 20, 1.0, "No slice"),
        ([0, 1000, 1000, 0], 1.0, "Only 2"),
        ([0, *[1000] * 6, 0], 0.4, "no lung inside"),
        ([0, 1000] * 8, 1.0, "8 separate runs"),
    ],
)
def test_implausible_selections(spec, counts, area, words):
    assert words in judged(counts, spec, area=area).reason


@given(st.sets(st.integers(0, 40)))
def test_runs_cover_the_kept_slices(indices):
    ordered = sorted(indices)
    runs = runs_of(ordered)
    assert [index for run in runs for index in run] == ordered
    assert all(before.stop < after.start for before, after in itertools.pairwise(runs))


@pytest.mark.parametrize(
    ("counts", "closed"),
    [([0, 9, 9, 0], True), ([9, 9, 0], False), ([0, 9, 9], False), ([0, 0], False), ([], False)],
)
def test_lungs_close(spec, counts, closed):
    assert lungs_close_at_both_ends(select(counts, spec.selection), len(counts)) is closed


def test_phantom_needs_the_body(stored, phantom, spec, spec_of):
    """Beside the neck the region lies in air: the paper's rule keeps the neck, the node's keeps the lungs."""
    area = phantom.pixel_spacing_mm**2
    paper = spec_of(selection={"rule": "paper"}).selection
    counts = [dark_count(v, paper) for v in stored]
    selection = select([item.count for item in counts], paper)
    assert set(range(35, 40)) <= set(selection.kept)
    assert "no lung inside" in plausibility(selection, counts, area, paper).reason

    counts = [dark_count(v, spec.selection) for v in stored]
    selection = select([item.count for item in counts], spec.selection)
    assert plausibility(selection, counts, area, spec.selection).reason is None
    assert set(range(13, 28)) <= set(selection.kept) <= set(range(9, 31))
    assert lungs_close_at_both_ends(selection, len(stored))
