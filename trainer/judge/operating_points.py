"""Sensitivity against specificity at the points that a reader asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from node.domain.result import OperatingPoint
from trainer.judge.metrics import (
    Counts,
    count,
    rate_intervals,
    threshold_at_sensitivity,
    threshold_at_specificity,
)
from trainer.judge.resampling import Interval
from trainer.judge.sample import Sample

SPECIFICITIES: Final = (0.90, 0.95, 0.99)
SENSITIVITY: Final = 0.95
ARGMAX: Final = 0.5
"""Of two classes the positive one is called when its probability reaches this."""


@dataclass(frozen=True, kw_only=True)
class PointFigures:
    """One threshold on one set of images; None where the class that a share needs is empty."""

    name: str
    threshold: float
    """Inclusive."""
    chosen_here: bool
    """Chosen on these very images: its figures are better than those on others will be."""
    counts: Counts
    sensitivity: float | None
    sensitivity_interval: Interval | None
    """95 %, bootstrap over groups at the fixed threshold."""
    specificity: float | None
    specificity_interval: Interval | None


def point_table(sample: Sample, own: Sequence[OperatingPoint] = ()) -> tuple[PointFigures, ...]:
    """Return sensitivity and specificity at 0.5, at a bundle's own points, and at points chosen here.

    Parameters
    ----------
    sample : Sample
    own : sequence of OperatingPoint
        Of the bundle; only their slice thresholds matter to single images.
    """
    points = [("argmax", ARGMAX, False)]
    points += [(f"bundle: {point.name}", point.slice_threshold, False) for point in own]
    if sample.positive.any() and not sample.positive.all():
        points += [
            (
                f"{share:.0%} specificity",
                threshold_at_specificity(sample.scores, sample.positive, share),
                True,
            )
            for share in SPECIFICITIES
        ]
        lowest = threshold_at_sensitivity(sample.scores, sample.positive, SENSITIVITY)
        points.append((f"{SENSITIVITY:.0%} sensitivity", lowest, True))
    return tuple(_at(sample, name, threshold, chosen_here) for name, threshold, chosen_here in points)


def _at(sample: Sample, name: str, threshold: float, chosen_here: bool) -> PointFigures:
    seen = count(sample.scores, sample.positive, threshold)
    intervals = rate_intervals(np.asarray(sample.scores) >= threshold, sample.positive, sample.groups)
    return PointFigures(
        name=name,
        threshold=threshold,
        chosen_here=chosen_here,
        counts=seen,
        sensitivity=seen.sensitivity,
        sensitivity_interval=intervals.get("sensitivity"),
        specificity=seen.specificity,
        specificity_interval=intervals.get("specificity"),
    )


def as_json(table: Sequence[PointFigures]) -> list[dict[str, Any]]:
    """Return plain values for JSON."""
    return [asdict(one) for one in table]
