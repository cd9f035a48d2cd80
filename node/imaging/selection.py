"""Which slices show open lungs: the rule of Rahimzadeh et al. 2021, section 2.2, and a safer form of it.

The authors count dark pixels in a region just below the image's centre and keep the slices whose count is
above two thirds of the series' range. Beside a neck that region lies in the air outside of the body, and a
series that begins there keeps neck slices alone; the rule ``in-body`` therefore counts inside the body only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from node.domain.input_spec import SelectionRule, SelectionSpec
from node.domain.wording import tell
from node.imaging.arrays import Box, Stored
from node.imaging.lungs import body_mask


@dataclass(frozen=True, kw_only=True)
class DarkCount:
    """Dark pixels of one slice within the region."""

    count: int
    """The count that the rule uses."""
    in_body: int
    """Those inside the body's outline."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The slices that the rule keeps."""

    kept: tuple[int, ...]
    """Indices into the counts given, ascending."""
    threshold: Fraction
    """A kept slice's count is strictly above it; exact."""
    smallest: int
    largest: int


@dataclass(frozen=True, kw_only=True)
class Plausibility:
    """Whether a selection can carry a decision."""

    reason: str | None
    """Why nothing may be decided on it, one sentence; None: it looks like lungs."""
    runs: int
    """Number of unbroken runs of kept slices along the normal."""
    note: str | None
    """What the report's reader should know although a decision is possible."""


def region(shape: tuple[int, ...], spec: SelectionSpec) -> Box:
    """Return the region for a matrix, scaled from the reference matrix and rounded.

    Parameters
    ----------
    shape : (rows, columns)
    spec : SelectionSpec
    """

    def scaled(edge: int, size: int) -> int:
        return round(Fraction(edge * size, spec.reference_size))

    return (
        scaled(spec.region_rows[0], shape[0]),
        scaled(spec.region_rows[1], shape[0]),
        scaled(spec.region_columns[0], shape[1]),
        scaled(spec.region_columns[1], shape[1]),
    )


def dark_count(v: Stored, spec: SelectionSpec) -> DarkCount:
    """Count the dark pixels of one slice; slices are counted one by one, never held together.

    Parameters
    ----------
    v : uint16 array, shape (rows, columns)
        HU + 1024, clipped to 0..4095, in display orientation (columns to the left, rows to the back).
    spec : SelectionSpec
    """
    top, bottom, left, right = region(v.shape, spec)
    dark = v[top:bottom, left:right] < spec.dark_below
    inside = body_mask(v, spec.body_above_hu)[top:bottom, left:right]
    in_body = int(np.count_nonzero(dark & (inside > 0)))
    paper = spec.rule is SelectionRule.PAPER
    return DarkCount(count=int(np.count_nonzero(dark)) if paper else in_body, in_body=in_body)


def select(counts: Sequence[int], spec: SelectionSpec) -> Selection:
    """Keep the slices whose count is strictly above the threshold.

    With a ratio a/b a slice is kept when ``b * count > a * (largest - smallest)``: integers alone, so no
    slice is kept or lost by rounding. A series without any dark pixel keeps nothing; equal counts above 0 are
    all kept; one slice is kept when it has a dark pixel.

    Parameters
    ----------
    counts : sequence of int
        ``DarkCount.count`` of every slice of one series.
    spec : SelectionSpec
    """
    if not counts:
        return Selection(kept=(), threshold=Fraction(0), smallest=0, largest=0)
    smallest, largest = min(counts), max(counts)
    numerator, denominator = spec.threshold_ratio.numerator, spec.threshold_ratio.denominator
    span = numerator * (largest - smallest)
    return Selection(
        kept=tuple(index for index, count in enumerate(counts) if denominator * count > span),
        threshold=Fraction(span, denominator),
        smallest=smallest,
        largest=largest,
    )


def plausibility(
    selection: Selection, counts: Sequence[DarkCount], pixel_area_mm2: float, spec: SelectionSpec
) -> Plausibility:
    """Judge whether a selection looks like lungs.

    Parameters
    ----------
    selection : Selection
    counts : sequence of DarkCount
        Of every slice, in the order along the normal.
    pixel_area_mm2 : float
        Product of the two numbers of PixelSpacing.
    spec : SelectionSpec
    """
    runs = runs_of(selection.kept)
    longest = max((len(run) for run in runs), default=0)
    reason, note = None, None
    airless = [
        index
        for index in selection.kept
        if counts[index].in_body * pixel_area_mm2 < spec.plausibility.minimum_dark_area_mm2
    ]
    if not selection.kept:
        reason = tell("decision.no-open-lungs")
    elif len(selection.kept) < spec.minimum_selected:
        reason = tell("decision.few-open-lungs", count=len(selection.kept), needed=spec.minimum_selected)
    elif airless:
        reason = tell("decision.no-lung-inside", count=len(airless), selected=len(selection.kept))
    elif longest < spec.plausibility.minimum_run_share * len(selection.kept):
        reason = tell("decision.separate-runs", runs=len(runs))
    elif len(runs) > 1:
        note = tell("warning.runs", runs=len(runs), longest=longest)
    return Plausibility(reason=reason, runs=len(runs), note=note)


def runs_of(kept: Sequence[int]) -> list[range]:
    """Return the unbroken runs of ascending indices."""
    runs: list[range] = []
    for index in kept:
        if runs and runs[-1].stop == index:
            runs[-1] = range(runs[-1].start, index + 1)
        else:
            runs.append(range(index, index + 1))
    return runs


def lungs_close_at_both_ends(selection: Selection, slices: int) -> bool:
    """Return whether slices were kept, but neither the first nor the last one.

    A series that is still arriving in order has no gap either; this tells a whole chest from a part of one.

    Parameters
    ----------
    selection : Selection
        Over counts in the order along the normal.
    slices : int
        Number of slices of the series.
    """
    return bool(selection.kept) and selection.kept[0] > 0 and selection.kept[-1] < slices - 1
