"""``python -m trainer.cli.reference`` writes ``docs/reference/trainer.md``.

A test proves that the file in the repository is what this module writes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import typer

from trainer import errors
from trainer.cases import covid_ctset_folds
from trainer.cases.case import ABOUT, GROUPED_BY
from trainer.cases.chexpert import Uncertain
from trainer.cases.readers import READERS
from trainer.cli.app import app
from trainer.cli.recipe_reference import line, networks_reference, recipes_reference

FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference" / "trainer.md"
GENERATED: Final = "<!-- Written by `python -m trainer.cli.reference`; do not edit. -->"
INTRODUCTION: Final = """\
`python -m trainer COMMAND ...`. An error is one line on standard error, its class and what to do; the exit
status is then 1. A wrong command line gives 2. [Train a model](../how-to/train-a-model.md) shows the way."""
KINDS_INTRODUCTION: Final = """\
A data set is named `KIND:PATH`. Images of one group are never on both sides of a split made here. Layouts
stand in [Data sets](../how-to/data-sets.md)."""
ERRORS_INTRODUCTION: Final = "Indented classes are particular cases of the one above them."
REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "RecipeError": "Correct the key that is named; the sections above list all of them.",
        "DataError": "Give `KIND:PATH` as the message says.",
        "LayoutError": "Compare the folder with the layout of its kind; give its top folder.",
        "PictureError": "Fetch the file again. `index` names every file that is no image.",
        "EmptyClass": "Give the whole set, both classes of it, or ask for fewer folds.",
        "WeightsError": "Give the file of the network that the recipe or `--net` names.",
        "CheckpointError": "Go on with `--resume` under the same recipe and data, or choose another `--out`.",
        "OutputError": "Make room or choose another place; what was finished stays.",
        "DeviceError": "Ask for fewer devices; `--accelerator cpu --devices 1` works everywhere.",
        "DivergedError": "Lower the learning rate in a recipe of its own name and fit into a new folder.",
        "TableError": "Give the `--out` of a `crossval`; remove the record that is named and judge again.",
        "BundleError": "Export again; give the top folder of a model.",
        "RoundTripError": "Nothing was written. Export with another `--weights`, and report it.",
    }
)
"""Error class -> what to do, beside what its message says."""


def trainer_reference() -> str:
    """Return the trainer's reference, Markdown."""
    lines = [GENERATED, "# Trainer", "", INTRODUCTION, *_commands()]
    lines += ["", *_kinds(), "", *recipes_reference(), "", *networks_reference(), "", *_errors()]
    return "\n".join(lines) + "\n"


def write() -> None:
    """Write the file."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(trainer_reference(), encoding="utf-8")


def _commands() -> Iterator[str]:
    commands: Any = typer.main.get_command(app)
    panels: dict[str, list[Any]] = {}
    for command in commands.commands.values():
        panels.setdefault(command.rich_help_panel, []).append(command)
    for panel, members in panels.items():
        yield from ("", f"## {panel}")
        for command in members:
            yield from ("", *_command(command))


def _command(command: Any) -> Iterator[str]:
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option" and item.name != "help"]
    usage = " ".join([command.name, *(item.metavar or item.name.upper() for item in arguments)])
    yield from (f"### `{usage}`", "", inspect.cleandoc(command.help or ""), "")
    for item in arguments:
        yield f"- `{item.metavar or item.name.upper()}`: {item.help}"
    for item in options:
        required = " (required)" if item.required else ""
        yield f"- `{', '.join(item.opts)}`{required}: {item.help}{_initial(item)}"


def _initial(option: Any) -> str:
    value = option.default
    if option.required or value is None or isinstance(value, bool):
        return ""
    return f" Default: `{value.value if isinstance(value, StrEnum) else value}`."


def _kinds() -> Iterator[str]:
    yield from ("## Kinds of data sets", "", KINDS_INTRODUCTION, "")
    yield from ("| KIND | what | positive | grouped by |", "|---|---|---|---|")
    for kind in READERS:
        source = next(one for one in sorted(GROUPED_BY, key=len, reverse=True) if kind.startswith(one))
        about = ABOUT.get(source, "COVID-19" if source != "dicom" else "none")
        yield f"| `{kind}` | {_what(kind, source)} | {about} | {line(GROUPED_BY[source])} |"


def _what(kind: str, source: str) -> str:
    reader = READERS[kind]
    if isinstance(reader, partial) and "policy" in reader.keywords:
        return f"as `{source}`, uncertain findings {UNCERTAIN[reader.keywords['policy']]}"
    if kind.startswith(f"{source}-fold"):
        number, _, listed = kind.removeprefix(f"{source}-fold").partition("-")
        unseen = " by lists that may put a patient on both sides" if listed else ""
        return f"as `{source}`, fold {number} of {covid_ctset_folds.FOLDS}{unseen}"
    if kind != source:
        return f"as `{source}`, divided {kind.removeprefix(f'{source}-').replace('-', ' to ')} by patients"
    said = inspect.getdoc(inspect.getmodule(reader)) or ""
    return line(said.partition("\n\n")[0].partition(": ")[2].removesuffix("."))


UNCERTAIN: Final = {
    Uncertain.ZEROS: "count as absent",
    Uncertain.ONES: "count as present",
}


def _errors() -> Iterator[str]:
    yield from ("## Errors", "", ERRORS_INTRODUCTION, "")
    yield from ("| error | meaning | what to do |", "|---|---|---|")
    tree = [
        text.lstrip("│├└─ ").partition(" ") for text in (errors.__doc__ or "").splitlines() if "──" in text
    ]
    meanings = {name: meaning.strip() for name, _, meaning in tree}
    for error, depth in _below(errors.TrainerError, 0):
        name = error.__name__
        yield f"| {'&emsp;' * depth}`{name}` | {meanings[name]} | {REMEDIES[name]} |"


def _below(error: type[Exception], depth: int) -> Iterator[tuple[type[Exception], int]]:
    for one in error.__subclasses__():
        yield one, depth
        yield from _below(one, depth + 1)


if __name__ == "__main__":
    write()
