"""The pictures of a judgement, one function each; the same input gives the same bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from trainer.errors import EmptyClass
from trainer.judge.calibration import ReliabilityBin
from trainer.judge.canvas import COLOURS, INK, QUIET, drawn, unit_square
from trainer.judge.resampling import Interval
from trainer.judge.sample import Sample, size_in_words

SQUARE: Final = (5.2, 5.7)
LINE_HEIGHT: Final = 0.36
"""Inches that one entry of a legend below the axes takes."""
VALIDATION: Final = ("validation_auc", "validation_accuracy", "validation_loss")
"""Columns of a fit's log that are drawn below the loss."""


def roc_png(samples: Sequence[Sample], file: Path, title: str) -> None:
    """Draw ROC curves with their areas, intervals and operating points.

    Parameters
    ----------
    samples : sequence of Sample
        Each with both classes.
    file : Path
    title : str

    Raises
    ------
    EmptyClass
        A sample has one class only.
    """
    _require_both(samples)
    with drawn(file, title, _sizes(samples), _with_legend(len(samples) + 1)) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)), label="chance")
        for sample, colour in _coloured(samples):
            curve, found = sample.ranked.roc(), sample.figures
            axes.plot(
                curve.one_minus_specificity,
                curve.sensitivity,
                color=colour,
                label=f"{sample.name}\nAUC {_number(found.auc)}{_range(found.auc_interval)}",
            )
            if found.specificity is not None and found.sensitivity is not None:
                _mark(axes, 1 - found.specificity, found.sensitivity, colour)
        unit_square(axes, "1 − specificity", "Sensitivity")
        _legend_below(axes)


def pr_png(samples: Sequence[Sample], file: Path, title: str) -> None:
    """Draw precision-recall curves with the prevalence of each sample, below which no score is worth a thing.

    Parameters
    ----------
    samples : sequence of Sample
        Each with both classes.
    file : Path
    title : str

    Raises
    ------
    EmptyClass
        A sample has one class only.
    """
    _require_both(samples)
    with drawn(file, title, _sizes(samples), _with_legend(len(samples))) as figure:
        axes = figure.subplots()
        for sample, colour in _coloured(samples):
            curve, found = sample.ranked.pr(), sample.figures
            axes.step(
                np.concatenate([[0.0], curve.recall]),
                np.concatenate([curve.precision[:1], curve.precision]),
                where="pre",
                color=colour,
                label=f"{sample.name}; prevalence {curve.prevalence:.2f} (dashed)\n"
                f"AP {_number(found.average_precision)}{_range(found.average_precision_interval)}",
            )
            axes.axhline(curve.prevalence, color=colour, linewidth=0.8, linestyle=(0, (4, 3)))
            if found.sensitivity is not None and found.precision is not None:
                _mark(axes, found.sensitivity, found.precision, colour)
        unit_square(axes, "Recall (sensitivity)", "Precision")
        _legend_below(axes)


def confusion_png(
    counts: Sequence[Sequence[int]], labels: Sequence[str], file: Path, title: str, groups: int | None = None
) -> None:
    """Draw a confusion matrix: counts, and the share of each row below them.

    Parameters
    ----------
    counts : sequence of rows
        Row: the truth; column: what it was called.
    labels : sequence of str
    file : Path
    title : str
    groups : int, optional
        Patients, or the nearest thing to them.
    """
    table = np.asarray(counts, dtype=np.int64)
    rows = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, rows, out=np.zeros(table.shape), where=rows > 0)
    side = 1.35 + 1.05 * len(labels)
    with drawn(file, title, size_in_words(int(table.sum()), groups), (max(4.2, side + 0.7), side + 0.9)) as (
        figure
    ):
        axes = figure.subplots()
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(*table.shape):
            dark = shares[row, column] > 0.55
            axes.text(
                column,
                row,
                f"{table[row, column]}\n",
                ha="center",
                va="center",
                fontsize=13,
                fontweight="bold",
                linespacing=1.1,
                color="white" if dark else INK,
            )
            share = f"\n{shares[row, column]:.1%}" if rows[row, 0] else "\n–"
            axes.text(
                column, row, share, ha="center", va="center", fontsize=9, color="white" if dark else QUIET
            )
        places = range(len(labels))
        axes.set_xticks(places, [f"{label}\n({table[:, at].sum()})" for at, label in enumerate(labels)])
        axes.set_yticks(
            places,
            [f"{label}\n({table[at].sum()})" for at, label in enumerate(labels)],
            rotation=90,
            va="center",
            ha="center",
        )
        axes.tick_params(length=0, pad=8)
        axes.tick_params(axis="y", pad=20)
        axes.set(xlabel="Called", ylabel="Truth")
        bar = figure.colorbar(
            image, ax=axes, shrink=0.8, label="Share of the row", ticks=[0, 0.25, 0.5, 0.75, 1]
        )
        bar.outline.set_visible(False)


def reliability_png(
    lines: Mapping[str, Sequence[ReliabilityBin]], file: Path, title: str, groups: int | None = None
) -> None:
    """Draw a reliability diagram, with the number of images in each bin below.

    Parameters
    ----------
    lines : mapping
        Name (as ``before``, ``after, T = 1.7``) -> its bins; the same images in each.
    file : Path
    title : str
    groups : int, optional
    """
    images = max((sum(one.count for one in bins) for bins in lines.values()), default=0)
    with drawn(file, title, size_in_words(images, groups), (5.2, 6.9)) as figure:
        above, below = figure.subplots(2, 1, height_ratios=[4, 1.1], sharex=True)
        above.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)), label="as it should be")
        for (name, bins), colour in zip(lines.items(), COLOURS, strict=False):
            filled = [one for one in bins if one.count]
            middles = [one.mean_score for one in filled]
            shares = np.array([one.positive_share for one in filled])
            reach = np.abs(np.array([one.interval for one in filled]).reshape(-1, 2).T - shares)
            above.errorbar(
                middles,
                shares,
                yerr=reach,
                color=colour,
                marker="o",
                markersize=4,
                elinewidth=0.8,
                label=name,
            )
            edges = [bins[0].low, *(one.high for one in bins)]
            below.stairs([one.count for one in bins], edges, color=colour, linewidth=1.4)
        above.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), ylabel="Share that is positive")
        above.legend(loc="upper left")
        below.set(xlabel="Score", ylabel="Images")
        below.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))


def learning_curves_png(rows: Sequence[Mapping[str, float]], file: Path, title: str) -> None:
    """Draw a fit's loss, and what was watched on the validation part where there is one.

    Parameters
    ----------
    rows : sequence of mappings
        One an epoch: ``epoch``, ``loss``, and perhaps ``validation_auc``, ``validation_accuracy``,
        ``validation_loss``. What is absent or not finite is left out.
    file : Path
    title : str
    """
    watched = [name for name in VALIDATION[:2] if _series(rows, name)]
    panels = 1 + bool(watched)
    counted = f"{len(rows)} epoch" + ("" if len(rows) == 1 else "s")
    with drawn(file, title, counted, (6.4, 2.6 + 2.1 * panels)) as figure:
        axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
        for name, colour in (("loss", COLOURS[0]), ("validation_loss", COLOURS[1])):
            _epochs(axes[0], _series(rows, name), name, colour)
        axes[0].set(ylabel="Loss")
        if axes[0].lines:
            axes[0].legend()
        for name, colour in zip(watched, COLOURS[2:], strict=False):
            points = _series(rows, name)
            epoch, best = max(points, key=lambda point: (point[1], -point[0]))
            _epochs(axes[1], points, f"{name}, best {best:.3f} in epoch {epoch:g}", colour)
            _mark(axes[1], epoch, best, colour)
            axes[1].set(ylabel="Validation")
            axes[1].legend(loc="lower right")
        axes[-1].set(xlabel="Epoch")
        axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))


def _series(rows: Sequence[Mapping[str, float]], name: str) -> list[tuple[float, float]]:
    found = [(float(row["epoch"]), float(row[name])) for row in rows if name in row]
    return [(epoch, value) for epoch, value in found if math.isfinite(value)]


def _epochs(axes: Axes, points: Sequence[tuple[float, float]], name: str, colour: str) -> None:
    """Draw a line that breaks where an epoch has no value."""
    if not points:
        return
    step = min((later - sooner for (sooner, _), (later, _) in pairwise(points)), default=1.0)
    across, up = [points[0][0]], [points[0][1]]
    for (sooner, _), (later, value) in pairwise(points):
        if later - sooner > step:
            across.append(math.nan)
            up.append(math.nan)
        across.append(later)
        up.append(value)
    marker = "o" if len(points) == 1 else None
    axes.plot(across, up, color=colour, marker=marker, label=name.replace("_", " "))


def _mark(axes: Axes, across: float, up: float, colour: str) -> None:
    """Mark an operating point."""
    axes.plot([across], [up], marker="o", markersize=6, color=colour, markeredgecolor="white", zorder=5)


def _legend_below(axes: Axes) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(-0.05, -0.13), borderaxespad=0)


def _with_legend(entries: int) -> tuple[float, float]:
    """Return the size of a square plot with a legend below it."""
    return SQUARE[0], SQUARE[1] + LINE_HEIGHT * entries


def _coloured(samples: Sequence[Sample]) -> list[tuple[Sample, str]]:
    return [(sample, COLOURS[index % len(COLOURS)]) for index, sample in enumerate(samples)]


def _sizes(samples: Sequence[Sample]) -> str:
    if len(samples) == 1:
        return f"{samples[0].size}; dot: threshold {samples[0].threshold:g}"
    images = sum(len(sample.positive) for sample in samples)
    groups = sum(len(set(sample.groups)) for sample in samples)
    return f"{size_in_words(images, groups)} in {len(samples)} sets; dots: the operating points"


def _require_both(samples: Sequence[Sample]) -> None:
    for sample in samples:
        if sample.positive.all() or not sample.positive.any():
            raise EmptyClass(f"{sample.name} has images of one class only; there is no curve to draw")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})"
