"""The part of the trainer's reference that describes recipes: each key out of the record that holds it."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import typing
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from node.domain.input_spec import (
    FixedNormalise,
    InputKind,
    InputModality,
    LungBoxSpec,
    NoNormalise,
    OutputSpec,
    PerImageNormalise,
    PlausibilitySpec,
    PreparationSpec,
    ScopeSpec,
    SelectionSpec,
    WindowSpec,
)
from trainer.feed.specification import ChosenPoint
from trainer.fit.recipe import AUGMENTATIONS, read_recipe
from trainer.fit.schedule import CHOICES, Schedule
from trainer.nets.catalogue import NETS

RECIPES: Final = Path(__file__).parents[1] / "recipes"
INTRODUCTION: Final = """\
A recipe is one TOML file. It needs the texts `name` and `net` and the sections below, each with all of its
keys; unknown keys are refused. Radiographs have no `[specification.selection]`. With `base = "OTHER.toml"`, a
file in the same folder, only what differs is written; a base may have a base in turn. The recipes lie in
`trainer/recipes`; `--recipe` takes their names."""
POINTS_INTRODUCTION: Final = """\
Operating points fixed beforehand, each in a table `[points.NAME]`; `active` names the one in use. Without
this section one point, `default`, is chosen on the scores of images that were not fitted on."""
SPECIFICATION_INTRODUCTION: Final = """\
What becomes the model's `input_spec.json`, but for its name and its operating points. The node reads every
number of selection and preparation from there and has no defaults of its own."""
SPECIFICATION: Final = (
    ("specification.selection", SelectionSpec),
    ("specification.selection.plausibility", PlausibilitySpec),
    ("specification.input", PreparationSpec),
    ("specification.input.window", WindowSpec),
    ("specification.input.lung_box", LungBoxSpec),
    ("specification.outputs", OutputSpec),
    ("specification.scope", ScopeSpec),
)
NORMALISES: Final = (FixedNormalise, PerImageNormalise, NoNormalise)
ELSEWHERE: Final = frozenset({"plausibility", "window", "lung_box", "normalise"})
"""Keys that are tables of their own."""
MEANINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ChosenPoint.chosen_on": "On what the point was chosen, in words; stands in card and report.",
        "PreparationSpec.kind": "How a slice becomes the network's input.",
        "PreparationSpec.equalise": "Histogram equalisation of the 8-bit image.",
        "SelectionSpec.rule": "Which dark pixels of the region count.",
        "WindowSpec.center": "HU.",
        "WindowSpec.width": "HU.",
        "FixedNormalise.mean": "One number a channel.",
        "FixedNormalise.std": "One number a channel.",
        "PerImageNormalise.epsilon": "Keeps the division finite on an image of one grey.",
        "ScopeSpec.minimum_age_years": "Younger patients are not analysed.",
        "ScopeSpec.slice_thickness_mm": "Smallest and largest.",
        "ScopeSpec.pixel_spacing_mm": "Smallest and largest.",
        "ScopeSpec.field_of_view_mm": "Smallest and largest.",
    }
)
"""Record and key -> what it means, where the record leaves it to the name."""
TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bool": "true or false",
        "int": "whole number",
        "float": "number",
        "str": "text",
        "Fraction": "[part, of]",
        "tuple[float, float]": "[number, number]",
        "tuple[int, int]": "[whole number, whole number]",
        "tuple[float, ...]": "list of numbers",
        "tuple[int, ...]": "list of whole numbers",
        "tuple[str, ...]": "list of texts",
        "int | None": "whole number, or left out",
    }
)


def recipes_reference() -> Iterator[str]:
    """Return the lines of the section on recipes, Markdown."""
    yield from ("## Recipes", "", INTRODUCTION, "", *_shipped())
    yield from ("", "### `[schedule]`", "", *_keys(Schedule))
    for kind, record in AUGMENTATIONS.items():
        yield from ("", f'### `[augmentation]` with `kind = "{kind}"`', "")
        yield from (_first_paragraph(inspect.getmodule(record)), "", *_keys(record))
    yield from ("", "### `[points]`", "", POINTS_INTRODUCTION, "", *_keys(ChosenPoint, {"name"}))
    yield from ("", "### `[specification]`", "", SPECIFICATION_INTRODUCTION, "")
    yield from (
        *HEAD,
        f"| `modality` | {_words(InputModality)} | DICOM Modality (0008,0060) that it reads. |",
    )
    optional = documented(PreparationSpec)
    for name, table in SPECIFICATION:
        said = [_first_paragraph(table), optional.get(name.rpartition(".")[2], "")]
        yield from ("", f"### `[{name}]`", "", " ".join(said).strip(), "", *_keys(table, ELSEWHERE))
        if table is PreparationSpec:
            yield from ("", *_kinds_of_input())
            yield from ("", "### `[specification.input.normalise]`", "", *_normalises())


HEAD: Final = ("| key | type | |", "|---|---|---|")


def documented(record: type[Any]) -> dict[str, str]:
    """Return what stands under each attribute or member of a class, as one line of Markdown."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    found = {}
    for one, following in pairwise(getattr(tree, "body", ())):
        targets = getattr(one, "targets", None) or [getattr(one, "target", None)]
        text = getattr(getattr(following, "value", None), "value", None)
        if isinstance(targets[0], ast.Name) and isinstance(following, ast.Expr) and isinstance(text, str):
            found[targets[0].id] = line(text)
    return found


def line(text: str) -> str:
    """Return a docstring's text as one line of a Markdown table."""
    absent = re.sub(r"^None\b", "Left out", re.sub(r"(?<!^)\bNone\b", "left out", text))
    return " ".join(absent.replace("``", "`").replace("|", "\\|").split())


def _shipped() -> Iterator[str]:
    yield "| recipe | network | images | at most | judges, not fitted on | what |"
    yield "|---|---|---|---|---|---|"
    for file in sorted(RECIPES.glob("*.toml")):
        recipe = read_recipe(file)
        schedule, rows_columns = recipe.schedule, recipe.specification["input"]["size"]
        judged = (
            f"{schedule.folds} folds"
            if schedule.folds
            else f"{schedule.validation_share:.0%} of the training groups".replace("%", " %")
        )
        yield (
            f"| `{recipe.name}` | `{recipe.net}` | {rows_columns[0]} x {rows_columns[1]} | "
            f"{schedule.epochs} epochs | {judged} | {_comment(file)} |"
        )


def _comment(file: Path) -> str:
    """Return the comment that a recipe begins with."""
    lines = file.read_text(encoding="utf-8").splitlines()
    first = next(number for number, text in enumerate(lines) if not text.startswith("#"))
    return line(" ".join(text.removeprefix("#") for text in lines[:first]))


def _keys(record: type[Any], without: frozenset[str] | set[str] = frozenset()) -> Iterator[str]:
    """Return the table of a record's keys."""
    meanings = documented(record)
    hints = typing.get_type_hints(record)
    yield from HEAD
    for field in fields(record):
        if field.name in without or not field.init:
            continue
        said = meanings.get(field.name) or MEANINGS[f"{record.__name__}.{field.name}"]
        yield f"| `{field.name}` | {_type(record, field, hints[field.name])} | {said} |"


def _type(record: type[Any], field: Field[Any], hint: Any) -> str:
    if record is Schedule and field.name in CHOICES:
        return " or ".join(f"`{word}`" for word in CHOICES[field.name])
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _words(hint)
    return TYPES[str(field.type)]


def _words(choice: type[StrEnum]) -> str:
    return " or ".join(f"`{one.value}`" for one in choice)


def _kinds_of_input() -> Iterator[str]:
    meanings = documented(InputKind)
    yield "| `kind` | |"
    yield "|---|---|"
    for one in InputKind:
        yield f"| `{one.value}` | {meanings[one.name]} |"


def _normalises() -> Iterator[str]:
    yield "| `kind` | further keys | |"
    yield "|---|---|---|"
    for record in NORMALISES:
        kind = next(field.default for field in fields(record) if field.name == "kind")
        keys = ", ".join(f"`{field.name}`" for field in fields(record) if field.init)
        yield f"| `{kind.value}` | {keys or '-'} | {_first_paragraph(record)} |"


def _first_paragraph(thing: Any) -> str:
    return line(inspect.getdoc(thing).partition("\n\n")[0])  # type: ignore[union-attr]  # each has a docstring


def networks_reference() -> Iterator[str]:
    """Return the lines of the section on networks, Markdown."""
    yield from ("## Networks", "", "Names for a recipe's `net` and for `crossval --net`.", "")
    yield from ("| `net` | what | `--init` | size |", "|---|---|---|---|")
    for name, kind in NETS.items():
        weights = "published ImageNet weights" if kind.load_imagenet else "-"
        size = "the recipe's alone" if kind.sized else "any"
        yield f"| `{name}` | {kind.title} | {weights} | {size} |"
