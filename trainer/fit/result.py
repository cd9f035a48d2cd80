"""What a run says of itself: scores of what its members did not see, figures, operating points."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np

from node.domain.input_spec import InputSpec
from trainer.cases.case import GROUPED_BY, Case
from trainer.feed.batches import Pictures
from trainer.feed.specification import POINT, ChosenPoint
from trainer.feed.targets import Targets
from trainer.fit.recipe import Recipe
from trainer.fit.scoring import Scores, validation_figures
from trainer.judge.metrics import auc, figures, threshold_at_specificity

SHARE: Final = Fraction(3, 10)
"""Share of positive slices from which a study is positive (Rahimzadeh et al. 2021, section 2.2); not
validated here."""
SLICE_SPECIFICITY: Final = 0.95
"""Of single pictures out of fold: clear studies then stay six times below ``SHARE``."""

COLUMNS: Final = ("image", "group", "fold", "positive", "score")


@dataclass(frozen=True, kw_only=True)
class SeenScores:
    """A part that some members did not see, scored by them."""

    part: int
    """Number of the fold; 0 without folds."""
    cases: tuple[Case, ...]
    pictures: Pictures
    scores: Scores
    """Shape (cases, outputs)."""


def rows_of(seen: Sequence[SeenScores]) -> list[dict[str, Any]]:
    """Return one row a case: image, group, fold, truth, score of the positive class.

    A case of which the positive finding is not known is left out.
    """
    return [
        {
            "image": f"{case.split}/{case.image.parent.name}/{case.image.name}",
            "group": case.group,
            "fold": one.part,
            "positive": int(truth),
            "score": float(score),
        }
        for one in seen
        for case, truth, score in zip(one.cases, _truth(one), _positive(one), strict=True)
        if not np.isnan(truth)
    ]


def _positive(one: SeenScores) -> Scores:
    column = one.pictures.spec.outputs.positive_index
    return one.scores[:, column]


def _truth(one: SeenScores) -> Targets:
    return one.pictures.targets[:, one.pictures.spec.outputs.positive_index]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def result_of(seen: Sequence[SeenScores], recipe: Recipe, spec: InputSpec, source: str) -> dict[str, Any]:
    """Return what ``result.json`` holds.

    Parameters
    ----------
    seen : sequence of SeenScores
        The folds, or the one validation part.
    recipe : Recipe
    spec : InputSpec
    source : str
        Kind of the data.
    """
    schedule = recipe.schedule
    rows = rows_of(seen)
    scores = np.array([row["score"] for row in rows])
    positive = np.array([row["positive"] for row in rows], dtype=bool)
    points = recipe.points or (_chosen(scores, positive, recipe, source),)
    active = recipe.active if recipe.points else POINT
    threshold = next(point.slice_threshold for point in points if point.name == active)
    seen_as = "out_of_fold" if schedule.folds else "validation"
    result: dict[str, Any] = {
        seen_as: figures(scores, positive, [row["group"] for row in rows], threshold).as_json(),
        "operating_points": {point.name: point.as_json() for point in points},
        "active_point": active,
        "epochs_chosen_on": seen_as if schedule.keep == "best" else None,
    }
    if schedule.folds:
        by_fold = [auc(_positive(one), np.array([case.positive for case in one.cases])) for one in seen]
        result |= {"fold_auc": by_fold, "fold_auc_mean": float(np.mean(by_fold))}
    if schedule.loss == "sigmoid":
        result["findings"] = _findings(seen[0], spec)
    elif len(spec.outputs.classes) > 2:
        _, accuracy = validation_figures(
            np.concatenate([one.scores for one in seen]),
            np.concatenate([one.pictures.targets for one in seen]),
            spec.outputs.positive_index,
            schedule.loss,
        )
        result["accuracy_of_all_classes"] = accuracy
    return result


def _findings(one: SeenScores, spec: InputSpec) -> dict[str, Any]:
    """Return images, those with the finding, and AUC, a finding, over the images that tell."""
    found = {}
    for column, name in enumerate(spec.outputs.classes):
        known = ~np.isnan(one.pictures.targets[:, column])
        present = one.pictures.targets[known, column] > 0.5
        area = auc(one.scores[known, column], present)
        found[name] = {
            "images": int(known.sum()),
            "present": int(present.sum()),
            "auc": None if np.isnan(area) else area,
        }
    return found


def _chosen(scores: Scores, positive: np.ndarray, recipe: Recipe, source: str) -> ChosenPoint:
    folds = recipe.schedule.folds
    how = (
        f"training part, {folds} folds by" if folds else "validation part set aside from the training part by"
    )
    return ChosenPoint(
        name=POINT,
        slice_threshold=threshold_at_specificity(scores, positive, SLICE_SPECIFICITY),
        share=SHARE,
        chosen_on=f"slice threshold: {SLICE_SPECIFICITY:.0%} specificity on the "
        f"{'out-of-fold ' if folds else ''}scores of {len(scores)} pictures ({source}, {how} "
        f"{GROUPED_BY[source].split(' (')[0]}); share: not chosen on data",
    )
