"""Grouped bootstrap: whole patients are drawn, never single images.

Images of one patient are alike, so an interval over single images is too narrow; drawing groups with
replacement within each class keeps what belongs together together, and the prevalence nearly as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BOOTSTRAP_SAMPLES: Final = 2000
BOOTSTRAP_SEED: Final = 20200702
TAILS: Final = (2.5, 97.5)
"""Percentiles of a 95 % interval."""

Weights = NDArray[np.int64]
Interval = tuple[float, float]


def group_weights(
    positive: NDArray[np.bool_], groups: Sequence[str], samples: int = BOOTSTRAP_SAMPLES
) -> Iterator[Weights]:
    """Yield bootstrap samples as how often each image is drawn.

    Parameters
    ----------
    positive : bool array, shape (n,)
    groups : sequence of str, length n
        Patients, or the nearest thing to them. A group with images of both classes counts as one in each.
    samples : int

    Yields
    ------
    int64 array, shape (n,)
        The same sequence for the same labels and groups.
    """
    labels = np.asarray(groups)
    members = []
    for flag in (True, False):
        chosen = np.flatnonzero(positive == flag)
        if len(chosen):
            _, own = np.unique(labels[chosen], return_inverse=True)
            members.append((chosen, own, int(own.max()) + 1))
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    for _ in range(samples):
        weights = np.zeros(len(positive), np.int64)
        for chosen, own, count in members:
            weights[chosen] = np.bincount(rng.integers(0, count, count), minlength=count)[own]
        yield weights


def bootstrap_intervals(
    measure: Callable[[Weights], dict[str, float]],
    positive: NDArray[np.bool_],
    groups: Sequence[str],
    samples: int = BOOTSTRAP_SAMPLES,
) -> dict[str, Interval | None]:
    """Return 95 % percentile intervals of several figures under one resampling.

    Parameters
    ----------
    measure : callable
        Weights, shape (n,) -> figure by name; nan where it is undefined on a sample.
    positive, groups : as for `group_weights`
    samples : int

    Returns
    -------
    dict
        Name -> interval; None where no sample defines the figure.
    """
    drawn: dict[str, list[float]] = {}
    for weights in group_weights(positive, groups, samples):
        for name, value in measure(weights).items():
            drawn.setdefault(name, []).append(value)
    return {name: percentile_interval(np.array(values)) for name, values in drawn.items()}


def percentile_interval(values: NDArray[Any]) -> Interval | None:
    """Return the 95 % interval of resampled figures, shape (samples,); None where none is finite."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return None
    low, high = np.percentile(defined, TAILS)
    return float(low), float(high)


def all_right_interval(groups: int) -> Interval:
    """Return the exact 95 % interval of a share that is 1 in every one of a number of groups.

    Resampling never draws the error that was not seen, so its interval would be of no width; this one is
    Clopper and Pearson's (1934) for ``groups`` successes of ``groups``.
    """
    return float(0.025 ** (1 / groups)), 1.0
