"""A whole training run: every fold and seed, the out-of-fold scores, the operating point.

A run's folder holds ``run.json`` (recipe, data, folds), one folder a member with ``checkpoint.pt``,
``log.csv`` and ``weights.pt``, and at the end ``out_of_fold.csv`` and ``result.json``.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from node.domain.input_spec import InputSpec
from trainer.cases.case import GROUPED_BY, Case
from trainer.cases.folds import Fold, grouped_folds
from trainer.cases.readers import read_cases, training_part
from trainer.errors import CheckpointError
from trainer.feed.batches import PictureSet, load_pictures
from trainer.feed.images import open_lung_cases
from trainer.feed.specification import ChosenPoint, specification
from trainer.fit.checkpoint import load_checkpoint, save_checkpoint, write_atomically
from trainer.fit.member import Fitting, Member, Report, score_pictures
from trainer.fit.recipe import Recipe, recipe_from
from trainer.judge.metrics import auc, figures, threshold_at_specificity
from trainer.nets.catalogue import build_net

SHARE = Fraction(3, 10)
"""Share of positive slices from which a study is positive (Rahimzadeh et al. 2021, section 2.2); not
validated here."""
SLICE_SPECIFICITY = 0.95
"""Of single pictures out of fold: clear studies then stay six times below ``SHARE``."""


def fit_run(
    recipe: Recipe, data: str, out: Path, *, init: Path | None, resume: bool, report: Report
) -> dict[str, Any]:
    """Fit all members of a run and judge them out of fold.

    Parameters
    ----------
    recipe : Recipe
    data : str
        ``KIND:PATH``; its training part is used, all of it where it has no split.
    out : Path
        The run's folder.
    init : Path or None
        ImageNet weights.
    resume : bool
        Go on with what ``out`` holds; otherwise ``out`` must be empty.
    report : callable (str) -> None
        Receives a line an epoch.

    Returns
    -------
    dict
        What ``result.json`` holds.

    Raises
    ------
    TrainerError
        The data, the recipe, the weights or the run's folder cannot be used, or the loss diverged.
    """
    spec = specification(recipe.specification, name=recipe.name, version=1, status="untrained")
    cases = open_lung_cases(training_part(read_cases(data)), spec)
    folds = grouped_folds(cases, recipe.schedule.folds, recipe.schedule.guard)
    _begin(
        out,
        {
            "recipe": recipe.as_json(),
            "data": data,
            "source": cases[0].source,
            "cases": len(cases),
            "positives": sum(case.positive for case in cases),
            "grouped_by": GROUPED_BY[cases[0].source],
            "init": init.name if init else None,
        },
        resume,
    )
    order = _Order(recipe=recipe, spec=spec, out=out, init=init, resume=resume, report=report)
    rows: list[dict[str, Any]] = []
    for number, fold in enumerate(folds):
        rows += _fit_fold(order, fold, number)
    _fit_whole(order, cases)
    result = _judge(rows, recipe, cases[0].source)
    write_atomically(out / "out_of_fold.csv", _table(rows).encode())
    write_atomically(out / "result.json", (json.dumps(result, indent=2) + "\n").encode())
    return result


def _begin(out: Path, record: dict[str, Any], resume: bool) -> None:
    file = out / "run.json"
    text = json.dumps(record, indent=2) + "\n"
    if file.exists():
        if not resume:
            raise CheckpointError(f"{out} holds a run already; go on with --resume or choose another --out")
        if json.loads(file.read_text(encoding="utf-8")) != json.loads(text):
            raise CheckpointError(
                f"{out} holds a run with another recipe, other data or other initial weights"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(file, text.encode())


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What all folds of a run have in common."""

    recipe: Recipe
    spec: InputSpec
    out: Path
    init: Path | None
    resume: bool
    report: Report


def _fit_fold(order: _Order, fold: Fold, number: int) -> list[dict[str, Any]]:
    spec = order.spec
    train, validation = load_pictures(fold.train, spec), load_pictures(fold.validation, spec)
    scores = []
    for seed in order.recipe.schedule.seeds:
        net = _fit_member(order, Member(fold=number, seed=seed), train, validation)
        scores.append(score_pictures(net, validation, spec, "f32")[:, spec.outputs.positive_index])
    mean = _mean_probability(scores)
    return [
        {
            "image": f"{case.split}/{case.image.parent.name}/{case.image.name}",
            "group": case.group,
            "fold": number,
            "positive": int(case.positive),
            "score": float(score),
        }
        for case, score in zip(fold.validation, mean, strict=True)
    ]


def _fit_whole(order: _Order, cases: Sequence[Case]) -> None:
    seeds = order.recipe.schedule.whole_seeds
    pictures = load_pictures(cases, order.spec) if seeds else None
    for seed in seeds:
        if pictures is not None:
            _fit_member(order, Member(fold=None, seed=seed), pictures, None)


def _fit_member(order: _Order, member: Member, train: PictureSet, validation: PictureSet | None) -> nn.Module:
    recipe, spec, folder = order.recipe, order.spec, order.out / member.name
    if order.resume and (folder / "weights.pt").exists():
        return load_member(folder, recipe, spec)
    torch.manual_seed(int(np.random.default_rng(member.stream).integers(2**31)))
    classes, dropout = len(spec.outputs.classes), recipe.schedule.dropout
    fresh = build_net(recipe.net, spec.input.channels, classes, dropout, order.init, size=spec.input.size)
    fitting = Fitting(
        fresh, recipe=recipe, spec=spec, train=train, validation=validation, member=member, folder=folder
    )
    net = fitting.run(order.resume, order.report)
    save_checkpoint(folder / "weights.pt", net.state_dict())
    return net


def _mean_probability(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Average in the logit domain, as the exported network does with its members' scores."""
    logits = [
        np.log(score) - np.log1p(-score) for score in (np.clip(score, 1e-7, 1 - 1e-7) for score in scores)
    ]
    return np.asarray(1 / (1 + np.exp(-np.mean(logits, axis=0))))


def load_member(folder: Path, recipe: Recipe, spec: InputSpec) -> nn.Module:
    """Load one fitted member in evaluation mode.

    Raises
    ------
    CheckpointError
        The weights are missing, damaged or of another network.
    """
    classes, dropout = len(spec.outputs.classes), recipe.schedule.dropout
    net = build_net(recipe.net, spec.input.channels, classes, dropout, None, size=spec.input.size)
    try:
        net.load_state_dict(load_checkpoint(folder / "weights.pt"))
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder / 'weights.pt'} is of another network than {recipe.net}: {error}"
        ) from error
    return net.eval()


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """What export needs of a run."""

    recipe: Recipe
    record: dict[str, Any]
    """``run.json``."""
    result: dict[str, Any]
    """``result.json``."""
    members: tuple[nn.Module, ...]
    """The networks that are exported together, in evaluation mode."""

    @property
    def point(self) -> ChosenPoint:
        """The operating point chosen out of fold."""
        chosen = self.result["operating_point"]
        return ChosenPoint(
            slice_threshold=chosen["slice_threshold"],
            share=Fraction(*chosen["share"]),
            chosen_on=chosen["chosen_on"],
        )


def read_run(folder: Path) -> FinishedRun:
    """Read a finished run.

    Raises
    ------
    CheckpointError
        The run is not finished or a file is damaged.
    """
    try:
        record, result = (
            json.loads((folder / name).read_text(encoding="utf-8")) for name in ("run.json", "result.json")
        )
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder} holds no finished run ({error}); fit it, or go on with --resume"
        ) from error
    recipe = recipe_from(record["recipe"])
    spec = specification(recipe.specification, name=recipe.name, version=1, status="untrained")
    names = [member.name for member in members_of(recipe)]
    return FinishedRun(
        recipe=recipe,
        record=record,
        result=result,
        members=tuple(load_member(folder / name, recipe, spec) for name in names),
    )


def members_of(recipe: Recipe) -> list[Member]:
    """Return the networks that are exported together."""
    schedule = recipe.schedule
    if schedule.whole_seeds:
        return [Member(fold=None, seed=seed) for seed in schedule.whole_seeds]
    return [Member(fold=fold, seed=seed) for fold in range(schedule.folds) for seed in schedule.seeds]


def _judge(rows: list[dict[str, Any]], recipe: Recipe, source: str) -> dict[str, Any]:
    scores = np.array([row["score"] for row in rows])
    positive = np.array([row["positive"] for row in rows], dtype=bool)
    threshold = threshold_at_specificity(scores, positive, SLICE_SPECIFICITY)
    by_fold = [
        auc(scores[chosen], positive[chosen])
        for number in range(recipe.schedule.folds)
        for chosen in [np.array([row["fold"] == number for row in rows])]
    ]
    pooled = figures(scores, positive, [row["group"] for row in rows], threshold)
    return {
        "fold_auc": by_fold,
        "fold_auc_mean": float(np.mean(by_fold)),
        "out_of_fold": pooled.as_json(),
        "operating_point": {
            "slice_threshold": threshold,
            "share": [SHARE.numerator, SHARE.denominator],
            "chosen_on": f"slice threshold: {SLICE_SPECIFICITY:.0%} specificity on the out-of-fold "
            f"scores of {len(rows)} pictures ({source}, training part, {recipe.schedule.folds} folds by "
            f"{GROUPED_BY[source].split(' (')[0]}); share: not chosen on data",
        },
    }


def _table(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
