"""A training recipe: one TOML file, read completely or refused."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from trainer.errors import RecipeError
from trainer.feed.augment import Augmentation
from trainer.feed.batches import Varying
from trainer.feed.deep_ct_augment import DeepCtAugmentation
from trainer.feed.keras_augment import KerasAugmentation
from trainer.feed.specification import POINT, ChosenPoint
from trainer.fit.schedule import Schedule, check

AUGMENTATIONS: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {"lung-box": Augmentation, "keras": KerasAugmentation, "deep-ct": DeepCtAugmentation}
)
"""``kind`` in the section ``augmentation`` -> its record."""
SECTIONS: Final = ("schedule", "augmentation", "specification", "points")
KEYS: Final = frozenset({"name", "net", "base", *SECTIONS})
EMPTY_ALLOWED: Final = frozenset({"whole_seeds"})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a training run but the data and the initial weights."""

    name: str
    """Of the recipe."""
    net: str
    """Name in the catalogue of networks."""
    schedule: Schedule
    augmentation: Varying
    specification: Mapping[str, Any]
    """What becomes ``input_spec.json``, but for the model's name and the operating points."""
    points: tuple[ChosenPoint, ...] = ()
    """Operating points fixed beforehand; empty: one is chosen on the out-of-fold scores."""
    active: str = POINT
    """The operating point in use."""

    def as_json(self) -> dict[str, Any]:
        """Return the recipe as plain values, as its TOML file has them."""
        kinds = {record: kind for kind, record in AUGMENTATIONS.items()}
        document: dict[str, Any] = {
            "name": self.name,
            "net": self.net,
            "schedule": asdict(self.schedule),
            "augmentation": {"kind": kinds[type(self.augmentation)]} | asdict(self.augmentation),
            "specification": dict(self.specification),
        }
        if self.points:
            points = {point.name: point.as_json() for point in self.points}
            document["points"] = {"active": self.active} | points
        return document


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """Build a recipe from plain values.

    Raises
    ------
    RecipeError
        A key is missing, unknown or of a wrong type or range.
    """
    if not isinstance(values.get("name"), str) or not isinstance(values.get("net"), str):
        raise RecipeError("the recipe needs the texts 'name' and 'net'")
    if unknown := sorted(set(values) - KEYS):
        raise RecipeError(f"unknown sections or keys {unknown}")
    specification = _table(values, "specification")
    schedule: Schedule = _record(Schedule, _table(values, "schedule"), "schedule")
    check(schedule)
    points, active = _points(values.get("points"))
    return Recipe(
        name=values["name"],
        net=values["net"],
        schedule=schedule,
        specification=specification,
        augmentation=_augmentation(_table(values, "augmentation")),
        points=points,
        active=active,
    )


def read_recipe(file: Path) -> Recipe:
    """Read a recipe; ``base`` names another one in the same folder that it departs from.

    Raises
    ------
    RecipeError
        The file is missing, is no TOML or not a recipe.
    """
    return recipe_from(_with_base(file, frozenset()))


def _with_base(file: Path, above: frozenset[str]) -> dict[str, Any]:
    """Return a file's values laid over those of its base, and of that one's base."""
    values = _toml(file)
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str) or Path(base).name != base:
        raise RecipeError(f"{file}: base must be the name of a file in the same folder")
    if base in above | {file.name}:
        raise RecipeError(f"{file}: its base {base} departs from it in turn; one must stand alone")
    return _merged(_with_base(file.with_name(base), above | {file.name}), values)


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{file} cannot be read as TOML: {error}") from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``below`` with the values of ``above``, table by table."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _table(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(values.get(name), dict):
        raise RecipeError(f"section [{name}] is missing")
    return dict(values[name])


def _augmentation(values: dict[str, Any]) -> Varying:
    kind = values.pop("kind", None)
    if kind not in AUGMENTATIONS:
        raise RecipeError(f"section [augmentation]: kind must be one of {', '.join(AUGMENTATIONS)}")
    record: Varying = _record(AUGMENTATIONS[kind], values, "augmentation")
    return record


def _points(values: Any) -> tuple[tuple[ChosenPoint, ...], str]:
    if values is None:
        return (), POINT
    if not isinstance(values, dict) or not isinstance(values.get("active"), str):
        raise RecipeError("section [points] needs the text 'active', the name of a point")
    tables = {name: value for name, value in values.items() if name != "active"}
    if values["active"] not in tables:
        raise RecipeError(f"section [points]: active names no point; there are {', '.join(tables) or 'none'}")
    return tuple(_point(name, value) for name, value in tables.items()), values["active"]


def _point(name: str, values: Any) -> ChosenPoint:
    where = f"points.{name}"
    if not isinstance(values, dict):
        raise RecipeError(f"section [{where}] must be a table")
    share: Any = values.get("share")
    whole = isinstance(share, list | tuple) and [type(part) for part in share] == [int, int]
    if not whole or not 0 < share[0] <= share[1]:
        raise RecipeError(f"section [{where}]: share must be two whole numbers [part, of], not {share!r}")
    given = dict(values) | {"name": name, "share": Fraction(share[0], share[1])}
    point: ChosenPoint = _record(ChosenPoint, given, where)
    return point


def _record(kind: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """Read a section into its record: every key of it, none besides, each of its type."""
    names = {field.name: str(field.type) for field in fields(kind)}
    unknown, missing = sorted(set(values) - set(names)), sorted(set(names) - set(values))
    if unknown or missing:
        raise RecipeError(f"section [{where}]: unknown keys {unknown}, missing keys {missing}")
    return kind(**{name: _value(name, names[name], given, where) for name, given in values.items()})


def _value(name: str, wanted: str, given: Any, where: str) -> Any:
    if wanted.startswith("tuple"):
        good = isinstance(given, list | tuple) and (bool(given) or name in EMPTY_ALLOWED)
        value = tuple(given) if good else given
    elif wanted == "float":
        good, value = isinstance(given, int | float) and not isinstance(given, bool), given
    else:
        good, value = type(given).__name__ == wanted, given
    if not good:
        raise RecipeError(f"section [{where}]: {name} must be of type {wanted}, not {given!r}")
    return value
