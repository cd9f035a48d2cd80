"""Image-level metrics with intervals over groups.

Accuracy, sensitivity, specificity and precision of a class are equations 1 to 5 of Rahimzadeh et al. 2021,
section 3.1; a share whose denominator is zero is not known and given as None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.judge.curves import Ranked
from trainer.judge.resampling import Interval, Weights, all_right_interval, bootstrap_intervals

NAN = float("nan")


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
    return Ranked(np.asarray(scores), np.asarray(positive, dtype=bool)).auc()


def average_precision(scores: NDArray[Any], positive: NDArray[Any]) -> float:
    """Return the area under the precision-recall curve as a sum over its steps, without interpolation.

    Parameters
    ----------
    scores : array, shape (n,)
    positive : bool array, shape (n,)

    Returns
    -------
    float
        nan where no image is positive.
    """
    return Ranked(np.asarray(scores), np.asarray(positive, dtype=bool)).average_precision()


def auc_interval(scores: NDArray[Any], positive: NDArray[Any], groups: Sequence[str]) -> Interval:
    """Return the 95 % percentile interval of the AUC under resampling of whole groups.

    Parameters
    ----------
    scores, positive : arrays, shape (n,)
    groups : sequence of str, length n
        Patients, or the nearest thing to them; drawn with replacement within each class.

    Returns
    -------
    tuple of two floats
        Both nan where a class is empty; 0 to 1 where one has a single group; exact where every pair is in
        order, taking as many disjoint pairs of groups as the smaller class has.
    """
    flags = np.asarray(positive, dtype=bool)
    if flags.all() or not flags.any():
        return NAN, NAN
    ranked = Ranked(np.asarray(scores), flags)
    if (bound := _unresampled(ranked.auc(), _fewest_groups(flags, np.asarray(groups)))) is not None:
        return bound
    found = bootstrap_intervals(lambda weights: {"auc": ranked.auc(weights)}, flags, groups)["auc"]
    return (NAN, NAN) if found is None else found


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Decisions at one threshold."""

    true_positive: int
    false_negative: int
    true_negative: int
    false_positive: int

    @property
    def sensitivity(self) -> float | None:
        """Share of the positives that is called positive."""
        return _share(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> float | None:
        """Share of the negatives that is called negative."""
        return _share(self.true_negative, self.true_negative + self.false_positive)

    @property
    def precision(self) -> float | None:
        """Share of those called positive that is positive; holds for this prevalence alone."""
        return _share(self.true_positive, self.true_positive + self.false_positive)

    @property
    def accuracy(self) -> float | None:
        """Share of right decisions; holds for this prevalence alone."""
        return _share(self.true_positive + self.true_negative, sum(asdict(self).values()))

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and sensitivity."""
        wrong = self.false_positive + self.false_negative
        return _share(2 * self.true_positive, 2 * self.true_positive + wrong)


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
    """One network on one set of images; None where a class that a figure needs is empty.

    Intervals are of 95 %, by bootstrap over groups; that of a share in which no error was seen is exact
    (`all_right_interval`), and one group of a class bounds nothing: 0 to 1.
    """

    images: int
    positives: int
    groups: int
    auc: float | None
    auc_interval: Interval | None
    average_precision: float | None
    average_precision_interval: Interval | None
    threshold: float
    counts: Counts
    sensitivity: float | None
    sensitivity_interval: Interval | None
    specificity: float | None
    specificity_interval: Interval | None
    precision: float | None
    precision_interval: Interval | None
    accuracy: float | None
    accuracy_interval: Interval | None
    f1: float | None
    f1_interval: Interval | None

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def figures(scores: NDArray[Any], positive: NDArray[Any], groups: Sequence[str], threshold: float) -> Figures:
    """Return all figures of scores [n] against labels [n] at an inclusive threshold."""
    flags = np.asarray(positive, dtype=bool)
    ranked, called = Ranked(np.asarray(scores), flags), np.asarray(scores) >= threshold
    seen = count(scores, flags, threshold)
    intervals = bootstrap_intervals(
        lambda weights: {
            "auc": ranked.auc(weights),
            "average_precision": ranked.average_precision(weights),
            **_weighted(called, flags, weights),
        },
        flags,
        groups,
    )
    intervals |= _unresampled_shares(seen, called, flags, np.asarray(groups))
    both = bool(flags.any() and not flags.all())
    if both:
        fewest = _fewest_groups(flags, np.asarray(groups))
        intervals["auc"] = _unresampled(ranked.auc(), fewest) or intervals["auc"]
        intervals["average_precision"] = _or_nothing(
            ranked.average_precision(), fewest, intervals["average_precision"]
        )
    return Figures(
        images=len(flags),
        positives=int(flags.sum()),
        groups=len(set(groups)),
        auc=ranked.auc() if both else None,
        auc_interval=intervals.get("auc"),
        average_precision=ranked.average_precision() if both else None,
        average_precision_interval=intervals.get("average_precision") if both else None,
        threshold=threshold,
        counts=seen,
        sensitivity=seen.sensitivity,
        sensitivity_interval=intervals.get("sensitivity"),
        specificity=seen.specificity,
        specificity_interval=intervals.get("specificity"),
        precision=seen.precision,
        precision_interval=intervals.get("precision") if seen.precision is not None else None,
        accuracy=seen.accuracy,
        accuracy_interval=intervals.get("accuracy"),
        f1=seen.f1,
        f1_interval=intervals.get("f1") if seen.f1 is not None else None,
    )


def rate_intervals(
    called: NDArray[np.bool_], positive: NDArray[np.bool_], groups: Sequence[str]
) -> dict[str, Interval | None]:
    """Return the 95 % intervals of sensitivity, specificity, precision, accuracy and F1 of decisions."""
    intervals = bootstrap_intervals(
        lambda weights: _weighted(called, positive, weights), np.asarray(positive, dtype=bool), groups
    )
    return intervals | _unresampled_shares(count(called, positive, 0.5), called, positive, np.asarray(groups))


def _weighted(called: NDArray[np.bool_], flags: NDArray[np.bool_], weights: Weights) -> dict[str, float]:
    hits = float(weights @ (called & flags))
    alarms = float(weights @ (called & ~flags))
    positives, negatives = float(weights @ flags), float(weights @ ~flags)
    right = hits + negatives - alarms
    return {
        "sensitivity": _ratio(hits, positives),
        "specificity": _ratio(negatives - alarms, negatives),
        "precision": _ratio(hits, hits + alarms),
        "accuracy": _ratio(right, positives + negatives),
        "f1": _ratio(2 * hits, hits + alarms + positives),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else NAN


def _fewest_groups(flags: NDArray[np.bool_], groups: NDArray[Any]) -> int:
    """Return the groups of the class that has fewer of them, of the classes that are there."""
    return min((len(np.unique(groups[flags == flag])) for flag in np.unique(flags)), default=0)


def _unresampled(value: float | None, groups: int) -> Interval | None:
    """Return the interval of a figure about which resampling learns nothing, None where it does.

    A figure of 0 or 1 stays what it is in every sample, and a single group is drawn every time.
    """
    if value in {0.0, 1.0}:
        low, high = all_right_interval(groups)
        return (low, high) if value else (1 - high, 1 - low)
    return (0.0, 1.0) if groups < 2 else None


def _or_nothing(value: float | None, fewest: int, resampled: Interval | None) -> Interval | None:
    """Return the interval of a figure that has no exact one: None where it is 0 or 1."""
    if value is None or value in {0.0, 1.0}:
        return None
    return resampled if fewest > 1 else (0.0, 1.0)


def _unresampled_shares(
    seen: Counts, called: NDArray[np.bool_], flags: NDArray[np.bool_], groups: NDArray[Any]
) -> dict[str, Interval | None]:
    """Return the intervals of those shares about which resampling learns nothing."""
    found: dict[str, Interval | None] = {}
    fewest = _fewest_groups(flags, groups)
    bases: Mapping[str, tuple[float | None, NDArray[np.bool_], bool]] = {
        "sensitivity": (seen.sensitivity, flags, False),
        "specificity": (seen.specificity, ~flags, False),
        "precision": (seen.precision, called, True),
        "accuracy": (seen.accuracy, np.ones_like(flags), True),
    }
    for name, (share, base, mixed) in bases.items():
        own = len(np.unique(groups[base]))
        decided = share in {0.0, 1.0} or not mixed
        if share is not None and (bound := _unresampled(share, own if decided else fewest)) is not None:
            found[name] = bound
    if seen.f1 in {0.0, 1.0} or fewest < 2:
        found["f1"] = _or_nothing(seen.f1, fewest, None)
    return found


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """One class against all others (Rahimzadeh et al. 2021, equations 1 to 4)."""

    label: str
    counts: Counts
    accuracy: float | None
    """(TP + TN) / all."""
    sensitivity: float | None
    """TP / (TP + FN)."""
    specificity: float | None
    """TN / (TN + FP)."""
    precision: float | None
    """TP / (TP + FP)."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """What was called what."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """Row: the truth; column: what it was called."""

    @property
    def overall_accuracy(self) -> float | None:
        """Right decisions of all (Rahimzadeh et al. 2021, equation 5)."""
        right = sum(row[index] for index, row in enumerate(self.counts))
        return _share(right, sum(map(sum, self.counts)))

    def of_class(self, label: str) -> ClassFigures:
        """Return one class against the rest.

        Raises
        ------
        ValueError
            There is no such class.
        """
        at = self.labels.index(label)
        hits, missed = self.counts[at][at], sum(self.counts[at]) - self.counts[at][at]
        alarms = sum(row[at] for row in self.counts) - hits
        seen = Counts(
            true_positive=hits,
            false_negative=missed,
            false_positive=alarms,
            true_negative=sum(map(sum, self.counts)) - hits - missed - alarms,
        )
        return ClassFigures(
            label=label,
            counts=seen,
            accuracy=seen.accuracy,
            sensitivity=seen.sensitivity,
            specificity=seen.specificity,
            precision=seen.precision,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the counts and the figures of every class as plain values."""
        return {
            "labels": list(self.labels),
            "counts": [list(row) for row in self.counts],
            "overall_accuracy": self.overall_accuracy,
            "classes": [asdict(self.of_class(label)) for label in self.labels],
        }


def confusion(truth: NDArray[Any], called: NDArray[Any], labels: Sequence[str]) -> Confusion:
    """Count decisions.

    Parameters
    ----------
    truth, called : int arrays, shape (n,)
        Indices into ``labels``.
    labels : sequence of str
    """
    table = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(table, (np.asarray(truth, dtype=np.intp), np.asarray(called, dtype=np.intp)), 1)
    return Confusion(labels=tuple(labels), counts=tuple(tuple(row) for row in table.tolist()))


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


def threshold_at_sensitivity(scores: NDArray[Any], positive: NDArray[Any], sensitivity: float) -> float:
    """Return the highest threshold at which at least the given share of positives is called positive.

    Parameters
    ----------
    scores, positive : arrays, shape (n,)
    sensitivity : float
        0 to 1.

    Returns
    -------
    float
        Rounded down to three decimals; a score that reaches it is positive.
    """
    positives = np.sort(np.asarray(scores, dtype=float)[np.asarray(positive, dtype=bool)])
    allowed = math.floor(len(positives) * (1 - sensitivity) + 1e-9)
    lowest_correct = positives[allowed] if len(positives) > allowed else 1.0
    return math.floor(lowest_correct * 1000) / 1000
