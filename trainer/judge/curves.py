"""ROC and precision-recall curves, and the areas under them, with images weighted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shares = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RocCurve:
    """Points of a ROC curve, from "nothing is positive" to "everything is"."""

    thresholds: Shares
    """Inclusive, falling; the first is above every score."""
    sensitivity: Shares
    one_minus_specificity: Shares


@dataclass(frozen=True, kw_only=True)
class PrCurve:
    """Points of a precision-recall curve, one for each distinct score, recall growing."""

    thresholds: Shares
    """Inclusive, falling."""
    recall: Shares
    precision: Shares
    prevalence: float
    """Precision of a score that says nothing."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """Scores sorted once, so that resampled figures cost a pass each.

    Equal scores stand at one place: no curve goes between them.
    """

    scores: NDArray[Any]
    """Shape (n,)."""
    positive: NDArray[np.bool_]
    """Shape (n,)."""

    @cached_property
    def _places(self) -> tuple[Shares, NDArray[np.intp]]:
        """Distinct scores, falling, and the place of each image among them."""
        distinct, inverse = np.unique(np.asarray(self.scores, dtype=np.float64), return_inverse=True)
        return distinct[::-1], len(distinct) - 1 - inverse

    def _mass(self, weights: NDArray[Any] | None) -> tuple[Shares, Shares]:
        """Return the weight of positives and of negatives at each distinct score."""
        distinct, place = self._places
        own = np.ones(len(place)) if weights is None else np.asarray(weights, dtype=np.float64)
        size = len(distinct)
        hits = np.bincount(place, weights=own * self.positive, minlength=size)
        alarms = np.bincount(place, weights=own * ~self.positive, minlength=size)
        return hits.astype(np.float64), alarms.astype(np.float64)

    def auc(self, weights: NDArray[Any] | None = None) -> float:
        """Return the share of (positive, negative) pairs in the right order, ties one half.

        Parameters
        ----------
        weights : array, shape (n,), optional
            How often each image counts.

        Returns
        -------
        float
            nan where a class is empty.
        """
        hits, alarms = self._mass(weights)
        pairs = hits.sum() * alarms.sum()
        if not pairs:
            return float("nan")
        below = alarms.sum() - np.cumsum(alarms)
        return float((hits * (below + alarms / 2)).sum() / pairs)

    def average_precision(self, weights: NDArray[Any] | None = None) -> float:
        """Return the sum of precision times the gain of recall over falling thresholds.

        No interpolation between points, which would flatter the curve.

        Returns
        -------
        float
            nan where no image is positive.
        """
        hits, alarms = self._mass(weights)
        if not hits.sum():
            return float("nan")
        called = np.cumsum(hits + alarms)
        precision = np.divide(np.cumsum(hits), called, out=np.zeros_like(called), where=called > 0)
        return float((hits * precision).sum() / hits.sum())

    def roc(self) -> RocCurve:
        """Return the ROC curve; shares of an empty class are nan."""
        hits, alarms = (np.concatenate([[0.0], np.cumsum(mass)]) for mass in self._mass(None))
        return RocCurve(
            thresholds=np.concatenate([[np.inf], self._places[0]]),
            sensitivity=_shares(hits),
            one_minus_specificity=_shares(alarms),
        )

    def pr(self) -> PrCurve:
        """Return the precision-recall curve; recall is nan where no image is positive."""
        hits, alarms = (np.cumsum(mass) for mass in self._mass(None))
        return PrCurve(
            thresholds=self._places[0],
            recall=_shares(hits),
            precision=hits / (hits + alarms),
            prevalence=float(self.positive.mean()) if len(self.positive) else float("nan"),
        )


def _shares(sums: Shares) -> Shares:
    whole = sums[-1] if len(sums) else 0.0
    return sums / whole if whole else np.full_like(sums, np.nan)
