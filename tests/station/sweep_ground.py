"""Times and selection by which the tests of the sweep judge."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

from node.domain.job import Assignment
from node.domain.network import QuietTimes
from node.domain.selection_spec import PlausibilitySpec, SelectionRule, SelectionSpec
from node.domain.study import Study

QUIET = QuietTimes(
    geometry=timedelta(seconds=30),
    plain=timedelta(seconds=120),
    study=timedelta(seconds=120),
    cap=timedelta(minutes=30),
    gap_multiple=3,
    floor=timedelta(seconds=1),
    ceiling=timedelta(seconds=300),
)
SELECTION = SelectionSpec(
    rule=SelectionRule.IN_BODY,
    region_rows=(240, 340),
    region_columns=(120, 370),
    reference_size=512,
    dark_below=300,
    body_above_hu=-500,
    threshold_ratio=Fraction(2, 3),
    minimum_slices=6,
    minimum_selected=3,
    plausibility=PlausibilitySpec(minimum_run_share=0.5, minimum_dark_area_mm2=100.0),
)


def by_covid(study: Study) -> list[Assignment]:
    """Route every study to one model."""
    return [Assignment(model_name="covid")]
