"""A whole training run: every fold or the split, every seed, the scores, the operating point.

A run's folder holds ``run.json`` (recipe, data, initial weights), one folder a member with
``checkpoint.pt``, ``log.csv``, ``curves.png`` and ``weights.pt``, and at the end the scores of what each
member did not see (``out_of_fold.csv`` or ``validation.csv``) and ``result.json``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from node.domain.input_spec import InputSpec
from trainer.cases.case import GROUPED_BY, Case, with_known_truth
from trainer.cases.folds import grouped_folds
from trainer.cases.readers import read_cases, training_part
from trainer.cases.splits import grouped_split
from trainer.errors import CheckpointError
from trainer.feed.batches import Pictures, load_pictures
from trainer.feed.images import open_lung_cases
from trainer.feed.specification import specification
from trainer.fit.checkpoint import save_checkpoint, sha256_of, write_atomically
from trainer.fit.engine import Engine, first_does
from trainer.fit.finished import Member, load_member
from trainer.fit.member import Fitting, Progress, Report, Setting
from trainer.fit.parts import digests_of, initial_net
from trainer.fit.recipe import Recipe
from trainer.fit.result import SeenScores, result_of, rows_of, table
from trainer.fit.ridge import VariantMaps, fit_dense_layer
from trainer.fit.scoring import Scores, mean_probability, score_pictures

SPLIT_SEED = 0
"""Of the validation part; the same for every seed of a recipe."""


def no_progress(_what: str, _done: int, _steps: int) -> None:
    """Show nothing."""


def fit_run(
    recipe: Recipe,
    data: str,
    out: Path,
    *,
    init: Path | None,
    resume: bool,
    report: Report,
    engine: Engine | None = None,
    parts: Sequence[Path] = (),
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Fit all members of a run and judge them by what they did not see.

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
        Receives a line an epoch, and warnings.
    engine : Engine or None
        None: this processor.
    parts : sequence of Path
        Runs of parts 1 and 2, for Deep-CXR-Net.
    progress : callable (str, int, int) -> None

    Returns
    -------
    dict
        What ``result.json`` holds.

    Raises
    ------
    TrainerError
        The data, the recipe, the weights, the devices or the run's folder cannot be used, or the loss
        diverged.
    """
    engine = engine or Engine()
    engine.require_enough(recipe.schedule.batch, recipe.schedule.accumulate)
    spec = specification(recipe.specification, name=recipe.name, version=1, status="untrained")
    fabric = engine.open(recipe.schedule.precision)
    told = _told(training_part(read_cases(data)), recipe, report if fabric.is_global_zero else _silent)
    cases = open_lung_cases(told, spec)
    record = _record(recipe, data, cases, init, parts) | {"devices": fabric.world_size}
    first_does(fabric, lambda: _begin(out, record, resume))
    setting = _setting(recipe, spec, fabric, workers=engine.workers, report=report, progress=progress)
    maps = VariantMaps(cases, setting)
    run = _Run(setting=setting, out=out, init=init, parts=tuple(parts), resume=resume, maps=maps)
    seen = run.folds(cases) if recipe.schedule.folds else [run.split(cases)]
    run.whole(cases)
    result = result_of(seen, recipe, spec, cases[0].source)
    first_does(fabric, lambda: _finish(out, seen, result, recipe))
    return result


def _told(cases: list[Case], recipe: Recipe, report: Report) -> list[Case]:
    """Return what can be learnt from: of two classes nothing where the class is not known."""
    if recipe.schedule.loss != "softmax":
        return cases
    told = with_known_truth(cases)
    if left_out := len(cases) - len(told):
        report(f"{left_out} of {len(cases)} images are left out: it is not known what they show")
    return told


def _setting(
    recipe: Recipe, spec: InputSpec, fabric: Fabric, *, workers: int, report: Report, progress: Progress
) -> Setting:
    """Return what the members have in common; the first process alone speaks."""
    speaks = fabric.is_global_zero
    return Setting(
        recipe=recipe,
        spec=spec,
        fabric=fabric,
        workers=workers,
        report=report if speaks else _silent,
        progress=progress if speaks else no_progress,
    )


def _record(
    recipe: Recipe, data: str, cases: Sequence[Case], init: Path | None, parts: Sequence[Path]
) -> dict[str, Any]:
    """Return what ``run.json`` holds; a run goes on only under the same record."""
    return {
        "recipe": recipe.as_json(),
        "data": data,
        "source": cases[0].source,
        "cases": len(cases),
        "cases_sha256": _digest_of(cases),
        "positives": sum(case.positive for case in cases),
        "grouped_by": GROUPED_BY[cases[0].source],
        "init": init.name if init else None,
        "init_sha256": sha256_of(init) if init else None,
        "parts": digests_of(parts),
    }


def _digest_of(cases: Sequence[Case]) -> str:
    """Return the SHA-256 over what is fitted: each image's name, group, part and truth."""
    rows = [
        [case.image.name, case.group, case.split, case.positive, case.label, case.findings] for case in cases
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _silent(_: str) -> None:
    """Say nothing: another process speaks."""


def _begin(out: Path, record: dict[str, Any], resume: bool) -> None:
    file = out / "run.json"
    text = json.dumps(record, indent=2) + "\n"
    if file.exists():
        if not resume:
            raise CheckpointError(f"{out} holds a run already; go on with --resume or choose another --out")
        try:
            begun = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{file} cannot be read ({error}); choose another --out") from error
        if begun != json.loads(text):
            raise CheckpointError(
                f"{out} holds a run with another recipe, other data, other initial weights or another number "
                "of devices; go on as it was begun, or choose another --out"
            )
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{out} cannot be made ({error}); choose another --out") from error
    write_atomically(file, text.encode())


def _finish(out: Path, seen: Sequence[SeenScores], result: dict[str, Any], recipe: Recipe) -> None:
    name = "out_of_fold.csv" if recipe.schedule.folds else "validation.csv"
    write_atomically(out / name, table(rows_of(seen)).encode())
    write_atomically(out / "result.json", (json.dumps(result, indent=2) + "\n").encode())


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What all members of a run are made from."""

    setting: Setting
    out: Path
    init: Path | None
    parts: tuple[Path, ...]
    resume: bool
    maps: VariantMaps
    """For a dense layer on a frozen trunk."""

    def folds(self, cases: list[Case]) -> list[SeenScores]:
        """Fit every fold once a seed; each case is scored by those that did not see it."""
        schedule = self.setting.recipe.schedule
        seen = []
        for number, fold in enumerate(grouped_folds(cases, schedule.folds, schedule.guard)):
            train, validation = self._load(fold.train), self._load(fold.validation)
            scores = self._fit_seeds(f"fold-{number}", train, validation)
            seen.append(SeenScores(part=number, cases=fold.validation, pictures=validation, scores=scores))
        return seen

    def split(self, cases: list[Case]) -> SeenScores:
        """Fit once a seed beside a validation part that shares no group with the rest."""
        divided = grouped_split(cases, self.setting.recipe.schedule.validation_share, "val", SPLIT_SEED)
        aside = tuple(case for case in divided if case.split == "val")
        train, validation = self._load([case for case in divided if case.split != "val"]), self._load(aside)
        scores = self._fit_seeds("split", train, validation)
        return SeenScores(part=0, cases=aside, pictures=validation, scores=scores)

    def whole(self, cases: list[Case]) -> None:
        """Fit all cases, once a seed of ``whole_seeds``."""
        seeds = self.setting.recipe.schedule.whole_seeds
        pictures = self._load(cases) if seeds else None
        for seed in seeds:
            if pictures is not None:
                self._fit(Member(part="whole", seed=seed), pictures, None)

    def _load(self, cases: Sequence[Case]) -> Pictures:
        return load_pictures(cases, self.setting.spec, self.setting.recipe.schedule.loss)

    def _fit_seeds(self, part: str, train: Pictures, validation: Pictures) -> Scores:
        spec, schedule = self.setting.spec, self.setting.recipe.schedule
        scores = []
        for seed in schedule.seeds:
            net = self._fit(Member(part=part, seed=seed), train, validation)
            device = self.setting.fabric.device
            scores.append(
                score_pictures(net.to(device), validation, spec, "f32", loss=schedule.loss, device=device)
            )
        return scores[0] if len(scores) == 1 else mean_probability(scores)

    def _fit(self, member: Member, train: Pictures, validation: Pictures | None) -> nn.Module:
        recipe, spec, folder = self.setting.recipe, self.setting.spec, self.out / member.name
        if self.resume and (folder / "weights.pt").exists():
            return load_member(folder, recipe, spec)
        torch.manual_seed(int(np.random.default_rng(member.stream).integers(2**31)))
        fresh = initial_net(recipe, spec, self.init, self.parts)
        if recipe.schedule.optimiser == "lbfgs":
            trunk = "published" if self.init else member.name
            net: nn.Module = fit_dense_layer(fresh, self.maps, trunk, train, member)
            first_does(self.setting.fabric, partial(folder.mkdir, parents=True, exist_ok=True))
        else:
            net = Fitting(
                fresh,
                setting=self.setting,
                train=train,
                validation=validation,
                member=member,
                folder=folder,
            ).run(self.resume)
        first_does(self.setting.fabric, lambda: save_checkpoint(folder / "weights.pt", net.state_dict()))
        return net
