"""Image-level metrics with intervals over groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BOOTSTRAP_SAMPLES: Final = 2000
BOOTSTRAP_SEED: Final = 20200702


def auc(scores: NDArray[Any], positive: NDArray[Any]) -> float:
    """Return the area under the ROC curve: the share of (positive, negative) pairs in the right order.

    Parameters
    ----------
    scores : array, shape (n,)
    positive : bool array, shape (n,)

    Returns
    -------
    float
        Ties count one half; nan where a class is empty.
    """
    flags = np.asarray(positive, dtype=bool)
    pairs = int(flags.sum()) * int((~flags).sum())
    if pairs == 0:
        return float("nan")
    _, inverse, counts = np.unique(np.asarray(scores), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    above = ranks[flags].sum() - flags.sum() * (flags.sum() + 1) / 2
    return float(above / pairs)


def auc_interval(scores: NDArray[Any], positive: NDArray[Any], groups: Sequence[str]) -> tuple[float, float]:
    """Return the 95 % percentile interval of the AUC under resampling of whole groups.

    Parameters
    ----------
    scores, positive : arrays, shape (n,)
    groups : sequence of str, length n
        Patients, or the nearest thing to them; drawn with replacement within each class.
    """
    labels = np.asarray(groups)
    flags = np.asarray(positive, dtype=bool)
    members = {
        bool(flag): [
            np.flatnonzero((labels == group) & (flags == flag)) for group in np.unique(labels[flags == flag])
        ]
        for flag in (True, False)
    }
    if not members[True] or not members[False]:
        return float("nan"), float("nan")
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    areas = []
    for _ in range(BOOTSTRAP_SAMPLES):
        drawn = np.concatenate(
            [own[index] for own in members.values() for index in rng.integers(0, len(own), len(own))]
        )
        areas.append(auc(scores[drawn], flags[drawn]))
    low, high = np.nanpercentile(areas, (2.5, 97.5))
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Decisions at one threshold."""

    true_positive: int
    false_negative: int
    true_negative: int
    false_positive: int


def count(scores: NDArray[Any], positive: NDArray[Any], threshold: float) -> Counts:
    """Count decisions; a score that reaches ``threshold`` is positive (inclusive)."""
    called = np.asarray(scores) >= threshold
    flags = np.asarray(positive, dtype=bool)
    return Counts(
        true_positive=int((called & flags).sum()),
        false_negative=int((~called & flags).sum()),
        true_negative=int((~called & ~flags).sum()),
        false_positive=int((called & ~flags).sum()),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One network on one set of images."""

    images: int
    positives: int
    groups: int
    auc: float | None
    """None where a class is empty."""
    auc_interval: tuple[float, float] | None
    """95 %, bootstrap over groups."""
    threshold: float
    counts: Counts
    sensitivity: float | None
    specificity: float | None
    accuracy: float | None
    f1: float | None

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def figures(scores: NDArray[Any], positive: NDArray[Any], groups: Sequence[str], threshold: float) -> Figures:
    """Return all figures of scores [n] against labels [n] at an inclusive threshold."""
    flags = np.asarray(positive, dtype=bool)
    seen = count(scores, flags, threshold)
    both = bool(flags.any() and not flags.all())
    return Figures(
        images=len(flags),
        positives=int(flags.sum()),
        groups=len(set(groups)),
        auc=auc(scores, flags) if both else None,
        auc_interval=auc_interval(scores, flags, groups) if both else None,
        threshold=threshold,
        counts=seen,
        sensitivity=_share(seen.true_positive, seen.true_positive + seen.false_negative),
        specificity=_share(seen.true_negative, seen.true_negative + seen.false_positive),
        accuracy=_share(seen.true_positive + seen.true_negative, len(flags)),
        f1=_share(2 * seen.true_positive, 2 * seen.true_positive + seen.false_positive + seen.false_negative),
    )


def threshold_at_specificity(scores: NDArray[Any], positive: NDArray[Any], specificity: float) -> float:
    """Return the lowest threshold at which at least the given share of negatives is called negative.

    Parameters
    ----------
    scores, positive : arrays, shape (n,)
    specificity : float
        0 to 1.

    Returns
    -------
    float
        Rounded up to three decimals; a score that reaches it is positive.
    """
    negatives = np.sort(np.asarray(scores, dtype=float)[~np.asarray(positive, dtype=bool)])
    allowed = math.floor(len(negatives) * (1 - specificity) + 1e-9)
    highest_correct = negatives[len(negatives) - allowed - 1] if len(negatives) > allowed else 0.0
    return min(1.0, (math.floor(highest_correct * 1000) + 1) / 1000)
