"""How a model's open-lung slices are selected: the part ``selection`` of the input specification."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from node.domain.strict_json import StrictObject

HIGHEST_STORED = 4095
"""Largest value of the representation HU + 1024 in 12 bits."""
LARGEST_MATRIX = 4096


class SelectionRule(StrEnum):
    """Which dark pixels of the region count."""

    IN_BODY = "in-body"
    """Only those inside the body's outline."""
    PAPER = "paper"
    """All, exactly as Rahimzadeh et al. 2021, section 2.2, has it."""


@dataclass(frozen=True, kw_only=True)
class PlausibilitySpec:
    """What a selection must look like before anything is decided on it."""

    minimum_run_share: float
    """Smallest share of the kept slices that lies in the longest unbroken run along the normal."""
    minimum_dark_area_mm2: float
    """Smallest dark area inside body and region on each kept slice."""


@dataclass(frozen=True, kw_only=True)
class SelectionSpec:
    """How open-lung slices are found (Rahimzadeh et al. 2021, section 2.2)."""

    rule: SelectionRule
    region_rows: tuple[int, int]
    """First row and the row after the last, in a matrix of ``reference_size``."""
    region_columns: tuple[int, int]
    """First column and the column after the last, in a matrix of ``reference_size``."""
    reference_size: int
    """Rows and columns of the matrix for which the region is given."""
    dark_below: int
    """A pixel is dark when HU + 1024 is strictly below this."""
    body_above_hu: int
    """A pixel belongs to the body when its HU is above this."""
    threshold_ratio: Fraction
    """A slice is kept when its count is strictly above this times (largest - smallest count)."""
    minimum_slices: int
    """Fewer slices in the series: not analysed."""
    minimum_selected: int
    """Fewer kept slices: undetermined."""
    plausibility: PlausibilitySpec


def read_selection(source: StrictObject) -> SelectionSpec:
    """Read the part ``selection``; the source's error names the key."""
    reference = source.whole("reference_size", 1, LARGEST_MATRIX)
    plausibility = source.child("plausibility")
    record = SelectionSpec(
        rule=source.choice("rule", SelectionRule),
        region_rows=source.whole_pair("region_rows", 0, reference),
        region_columns=source.whole_pair("region_columns", 0, reference),
        reference_size=reference,
        dark_below=source.whole("dark_below", 1, HIGHEST_STORED),
        body_above_hu=source.whole("body_above_hu", -1024, HIGHEST_STORED - 1024),
        threshold_ratio=source.share("threshold_ratio"),
        minimum_slices=source.whole("minimum_slices", 1, 10**5),
        minimum_selected=source.whole("minimum_selected", 1, 10**5),
        plausibility=PlausibilitySpec(
            minimum_run_share=plausibility.number("minimum_run_share", 0, 1),
            minimum_dark_area_mm2=plausibility.number("minimum_dark_area_mm2", 0),
        ),
    )
    for key, (first, stop) in (
        ("region_rows", record.region_rows),
        ("region_columns", record.region_columns),
    ):
        if first >= stop:
            source.fail(key, "[first, the one after the last]")
    plausibility.close()
    source.close()
    return record
