"""A finished run, read for judging and export."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import nn

from node.domain.input_spec import InputSpec
from trainer.errors import CheckpointError
from trainer.feed.specification import ChosenPoint, specification
from trainer.fit.checkpoint import load_checkpoint
from trainer.fit.recipe import Recipe, recipe_from
from trainer.nets.catalogue import build_net

WHOLE = 1000
"""Stands for a fold's number in the random streams of networks fitted without folds."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """Which member of a run: one network, one fold, one seed."""

    part: str
    """``fold-K``; ``whole``: fitted on the whole training part; ``split``: beside a validation part."""
    seed: int

    @property
    def fold(self) -> int | None:
        """Number of the fold, None without."""
        kind, _, number = self.part.partition("-")
        return int(number) if kind == "fold" else None

    @property
    def name(self) -> str:
        """Folder of the member within the run."""
        return f"{self.part}-seed-{self.seed}"

    @property
    def stream(self) -> tuple[int, int]:
        """Start of the seed of every random number drawn for the member."""
        return self.seed, WHOLE if self.fold is None else self.fold


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """What judging and export need of a run."""

    recipe: Recipe
    record: dict[str, Any]
    """``run.json``."""
    result: dict[str, Any]
    """``result.json``."""
    members: tuple[nn.Module, ...]
    """The networks that are served together, in evaluation mode."""

    @property
    def points(self) -> tuple[ChosenPoint, ...]:
        """The recipe's operating points, or the one chosen out of fold."""
        return tuple(
            ChosenPoint(
                name=name,
                slice_threshold=point["slice_threshold"],
                share=Fraction(*point["share"]),
                chosen_on=point["chosen_on"],
            )
            for name, point in self.result["operating_points"].items()
        )

    @property
    def active(self) -> str:
        """Name of the operating point in use."""
        return str(self.result["active_point"])

    def specification(self, name: str, version: int, status: str) -> InputSpec:
        """Return the input specification of a model made of this run."""
        return specification(
            self.recipe.specification,
            name=name,
            version=version,
            status=status,
            points=self.points,
            active=self.active,
        )


def members_of(recipe: Recipe) -> list[Member]:
    """Return the networks that are served together."""
    schedule = recipe.schedule
    if schedule.whole_seeds:
        return [Member(part="whole", seed=seed) for seed in schedule.whole_seeds]
    parts = [f"fold-{number}" for number in range(schedule.folds)] or ["split"]
    return [Member(part=part, seed=seed) for part in parts for seed in schedule.seeds]


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
    return FinishedRun(
        recipe=recipe,
        record=record,
        result=result,
        members=tuple(load_member(folder / one.name, recipe, spec) for one in members_of(recipe)),
    )
