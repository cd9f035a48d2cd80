"""A training recipe: one TOML file, read completely or refused."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from trainer.errors import RecipeError
from trainer.feed.augment import Augmentation


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, how fast and by which rules a network is fitted."""

    epochs: int
    """Passes over a fold's training part; fixed, never chosen on validation."""
    batch: int
    """Pictures a step."""
    learning_rate: float
    """Peak, after the warm-up; then cosine to zero."""
    weight_decay: float
    """AdamW's, on matrices and kernels only."""
    warm_up_steps: int
    """Steps of linear rise."""
    ema: float
    """Decay of the exponential moving average of the weights, a step; the average is what is kept."""
    label_smoothing: float
    """Share of the target spread over the classes."""
    mixup: float
    """Both parameters of the Beta distribution; 0 turns mixup off."""
    dropout: float
    """Before the head."""
    frozen_stages: int
    """Leading stages whose weights and batch norms stay as they were read."""
    cached_variants: int
    """Augmented variants a picture for which the frozen stages run once, beforehand; 0 runs them each
    time."""
    precision: str
    """``f32`` or ``bf16`` (autocast)."""
    folds: int
    """Folds by groups: they judge the recipe and choose the slice threshold."""
    guard: int
    """Groups left out of training on each side of a validation run."""
    seeds: tuple[int, ...]
    """Each fold is fitted once a seed."""
    whole_seeds: tuple[int, ...]
    """Once a seed the whole training part is fitted, with as many steps as a fold; these networks become the
    members of the exported one. Empty: the folds' networks do."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a training run but the data and the initial weights."""

    name: str
    """Of the recipe."""
    net: str
    """Name in the catalogue of networks."""
    schedule: Schedule
    augmentation: Augmentation
    specification: Mapping[str, Any]
    """What becomes ``input_spec.json``, but for the model's name and the operating point."""

    def as_json(self) -> dict[str, Any]:
        """Return the recipe as plain values, for comparison and for a run's record."""
        return asdict(self)


def _section(kind: type[Any], values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise RecipeError(f"section [{where}] is missing")
    names = {field.name: str(field.type) for field in fields(kind)}
    unknown, missing = sorted(set(values) - set(names)), sorted(set(names) - set(values))
    if unknown or missing:
        raise RecipeError(f"section [{where}]: unknown keys {unknown}, missing keys {missing}")
    read = {}
    for name, given in values.items():
        wanted, value = names[name], given
        if wanted.startswith("tuple"):
            good = isinstance(value, list | tuple) and (bool(value) or name == "whole_seeds")
            value = tuple(value) if good else value
        elif wanted == "float":
            good = isinstance(value, int | float) and not isinstance(value, bool)
        else:
            good = type(value).__name__ == wanted
        if not good:
            raise RecipeError(f"section [{where}]: {name} must be of type {wanted}, not {value!r}")
        read[name] = value
    return kind(**read)


def _check(schedule: Schedule) -> None:
    rules = {
        "epochs must be at least 1": schedule.epochs >= 1,
        "batch must be at least 2 (batch norm)": schedule.batch >= 2,
        "folds must be at least 2": schedule.folds >= 2,
        "ema must be in [0, 1)": 0 <= schedule.ema < 1,
        "precision must be f32 or bf16": schedule.precision in ("f32", "bf16"),
        "frozen_stages, cached_variants, guard and mixup must not be negative": min(
            schedule.frozen_stages, schedule.cached_variants, schedule.guard, schedule.mixup
        )
        >= 0,
        "cached_variants needs frozen_stages": schedule.cached_variants == 0 or schedule.frozen_stages > 0,
    }
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise RecipeError("section [schedule]: " + "; ".join(broken))


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """Build a recipe from plain values.

    Raises
    ------
    RecipeError
        A key is missing, unknown or of a wrong type or range.
    """
    if not isinstance(values.get("name"), str) or not isinstance(values.get("net"), str):
        raise RecipeError("the recipe needs the texts 'name' and 'net'")
    if not isinstance(values.get("specification"), dict):
        raise RecipeError("section [specification] is missing")
    if unknown := sorted(set(values) - {field.name for field in fields(Recipe)}):
        raise RecipeError(f"unknown sections or keys {unknown}")
    schedule = _section(Schedule, values.get("schedule"), "schedule")
    _check(schedule)
    return Recipe(
        name=values["name"],
        net=values["net"],
        schedule=schedule,
        specification=values["specification"],
        augmentation=_section(Augmentation, values.get("augmentation"), "augmentation"),
    )


def read_recipe(file: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    RecipeError
        The file is missing, is no TOML or not a recipe.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{file} cannot be read as TOML: {error}") from error
    return recipe_from(values)
