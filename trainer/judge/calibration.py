"""Whether a score of 0.8 is right in 8 of 10 cases, and the temperature that brings it nearer.

Temperature scaling divides the logits by one number found by maximum likelihood on scores of images that the
networks were not fitted on (Guo et al. 2017, "On Calibration of Modern Neural Networks"). It changes no
order, so no AUC; and it holds for the prevalence of its images only.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trainer.errors import CheckpointError, DataError, EmptyClass
from trainer.fit.checkpoint import write_atomically
from trainer.judge.resampling import Interval, group_weights, percentile_interval

BINS: Final = 10
LEAST: Final = 1e-7
"""Scores are kept this far from 0 and 1, as when members are averaged: a logit has to be finite."""
SEARCHED_TEMPERATURES: Final = (0.02, 50.0)
NEAR: Final = 0.98
"""Of the searched range's ends: nearer, and the best temperature lies outside of it."""
STEPS: Final = 60
"""Halvings by the golden section: the range shrinks to 1e-12 of itself."""
RESAMPLINGS: Final = 500
NORMAL: Final = 1.959963984540054
"""Quantile 0.975 of the normal distribution."""
FILE: Final = "calibration.json"
SCORES: Final = ("out_of_fold.csv", "validation.csv")
"""Scores of images that a run's networks were not fitted on, the better source first."""
PREVALENCE_WARNING: Final = (
    "A calibration holds for the prevalence of its own images only: where COVID-19 is rarer, the same score "
    "means less."
)


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Images with similar scores."""

    low: float
    high: float
    """Exclusive, but for the last bin."""
    count: int
    mean_score: float
    """nan in an empty bin, as ``positive_share``."""
    positive_share: float
    interval: Interval
    """95 % of ``positive_share`` (Wilson 1927), images taken singly: too narrow where patients have many."""


def reliability(scores: NDArray[Any], positive: NDArray[Any], bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Return the images in bins of equal width, from 0 to 1.

    Parameters
    ----------
    scores, positive : arrays, shape (n,)
    bins : int
    """
    values, flags = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    place = np.clip((values * bins).astype(np.intp), 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = np.bincount(place, weights=values, minlength=bins)
    hits = np.bincount(place, weights=flags, minlength=bins)
    return tuple(
        ReliabilityBin(
            low=index / bins,
            high=(index + 1) / bins,
            count=int(count),
            mean_score=float(sums[index] / count) if count else math.nan,
            positive_share=float(hits[index] / count) if count else math.nan,
            interval=_wilson(int(hits[index]), int(count)),
        )
        for index, count in enumerate(counts)
    )


def _wilson(hits: int, count: int) -> Interval:
    if not count:
        return math.nan, math.nan
    share, square = hits / count, NORMAL**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    reach = NORMAL / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return max(0.0, middle - reach), min(1.0, middle + reach)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How far scores are from frequencies; the smaller, the better."""

    ece: float
    """Expected calibration error: mean distance of score and share over the bins, weighted by images."""
    brier: float
    """Mean square of score minus truth."""
    nll: float
    """Mean negative log-likelihood, nats."""


def fit_of(scores: NDArray[Any], positive: NDArray[Any]) -> Fit:
    """Return how well scores [n] agree with labels [n]."""
    values, flags = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    filled = [one for one in reliability(values, flags) if one.count]
    return Fit(
        ece=sum(one.count * abs(one.mean_score - one.positive_share) for one in filled) / len(flags),
        brier=float(np.mean((values - flags) ** 2)),
        nll=_nll(logit(values), flags.astype(np.float64), np.ones(len(flags)), 1.0),
    )


def logit(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return log(p / (1 - p)) of scores, kept finite."""
    values = np.clip(np.asarray(scores, dtype=np.float64), LEAST, 1 - LEAST)
    return np.asarray(np.log(values) - np.log1p(-values))


def _nll(logits: NDArray[Any], flags: NDArray[Any], weights: NDArray[Any], temperature: float) -> float:
    scaled = logits / temperature
    return float(weights @ (np.logaddexp(0.0, scaled) - flags * scaled) / weights.sum())


def best_temperature(
    scores: NDArray[Any], positive: NDArray[Any], weights: NDArray[Any] | None = None
) -> float:
    """Return the temperature of the greatest likelihood, between 0.02 and 50.

    The negative log-likelihood is convex in 1/T and so has a single valley in log T, which the golden section
    finds.

    Parameters
    ----------
    scores, positive : arrays, shape (n,)
    weights : array, shape (n,), optional
        How often each image counts.
    """
    logits, flags = logit(scores), np.asarray(positive, dtype=np.float64)
    own = np.ones(len(flags)) if weights is None else np.asarray(weights, dtype=np.float64)
    ratio = (math.sqrt(5) - 1) / 2

    def loss(logarithm: float) -> float:
        return _nll(logits, flags, own, math.exp(logarithm))

    low, high = map(math.log, SEARCHED_TEMPERATURES)
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(right)
    return math.exp((low + high) / 2)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A temperature and what it changed on the images that it was found on."""

    temperature: float
    temperature_interval: Interval
    """95 %, bootstrap over groups."""
    before: Fit
    after: Fit
    images: int
    groups: int
    prevalence: float
    """Share of positive images that the calibration holds for."""
    found_on: str

    @property
    def doubt(self) -> str:
        """Why the temperature means nothing, empty where it does: the likelihood has no peak."""
        if self.temperature > SEARCHED_TEMPERATURES[1] * NEAR:
            return "the scores tell the classes apart no better than chance, so no temperature helps"
        if self.temperature < SEARCHED_TEMPERATURES[0] / NEAR:
            return "the scores part the classes without error, so any temperature near 0 would do"
        return ""

    def apply(self, score: NDArray[Any]) -> NDArray[np.float64]:
        """Return scores with their logits divided by the temperature; any shape."""
        return apply_temperature(score, self.temperature)

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"warning": PREVALENCE_WARNING}


def apply_temperature(score: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """Return scores, any shape, with their logits divided by a temperature."""
    return np.asarray(0.5 * (1 + np.tanh(logit(score) / (2 * temperature))))  # never overflows


def calibrate(
    scores: NDArray[Any], positive: NDArray[Any], groups: Sequence[str], found_on: str
) -> Calibration:
    """Find the temperature of scores.

    Parameters
    ----------
    scores, positive : arrays, shape (n,)
        Of images that the networks were not fitted on.
    groups : sequence of str, length n
    found_on : str
        What the images are, in words.

    Raises
    ------
    EmptyClass
        There is no positive or no negative image.
    """
    flags = np.asarray(positive, dtype=bool)
    if flags.all() or not flags.any():
        missing = "negative" if flags.any() else "positive"
        raise EmptyClass(f"{found_on} holds no {missing} image; a temperature needs both classes")
    temperature = best_temperature(scores, flags)
    drawn = [
        best_temperature(scores, flags, weights) for weights in group_weights(flags, groups, RESAMPLINGS)
    ]
    interval = percentile_interval(np.array(drawn))
    return Calibration(
        temperature=temperature,
        temperature_interval=interval or (temperature, temperature),
        before=fit_of(scores, flags),
        after=fit_of(apply_temperature(scores, temperature), flags),
        images=len(flags),
        groups=len(set(groups)),
        prevalence=float(flags.mean()),
        found_on=found_on,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class RunScores:
    """Scores of images that the networks of a run were not fitted on."""

    name: str
    """File that they stand in."""
    scores: NDArray[np.float64]
    positive: NDArray[np.bool_]
    groups: tuple[str, ...]


def read_run_scores(run: Path) -> RunScores:
    """Read the out-of-fold scores of a run, or those of its validation part where it has no folds.

    Raises
    ------
    CheckpointError
        There are none, or the file is damaged.
    """
    file = next((run / name for name in SCORES if (run / name).is_file()), None)
    if file is None:
        raise CheckpointError(f"{run} holds neither {' nor '.join(SCORES)}; fit the run to its end")
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return RunScores(
            name=file.name,
            scores=np.array([float(row["score"]) for row in rows]),
            positive=np.array([int(row["positive"]) for row in rows], dtype=bool),
            groups=tuple(row["group"] for row in rows),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file} is damaged ({error}); fit the run again") from error


def write_calibration(run: Path, calibration: Calibration) -> None:
    """Write ``calibration.json`` into a run's folder, whole or not at all.

    Raises
    ------
    DataError
        The temperature means nothing; an older file stays.
    """
    if calibration.doubt:
        raise DataError(f"nothing is written to {run / FILE}: {calibration.doubt}")
    write_atomically(run / FILE, (json.dumps(calibration.as_json(), indent=2) + "\n").encode())


def read_calibration(run: Path) -> Calibration | None:
    """Read the calibration of a run; None where it has none.

    Raises
    ------
    CheckpointError
        The file is damaged.
    """
    file = run / FILE
    if not file.is_file():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        found = Calibration(
            temperature=float(values["temperature"]),
            temperature_interval=_pair(values["temperature_interval"]),
            before=Fit(**values["before"]),
            after=Fit(**values["after"]),
            images=int(values["images"]),
            groups=int(values["groups"]),
            prevalence=float(values["prevalence"]),
            found_on=str(values["found_on"]),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file} is damaged ({error}); run calibrate again") from error
    if not (math.isfinite(found.temperature) and found.temperature > 0):
        raise CheckpointError(f"{file} gives the temperature {found.temperature}; run calibrate again")
    return found


def _pair(values: Sequence[float]) -> Interval:
    low, high = values
    return float(low), float(high)
