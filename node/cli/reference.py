"""``python -m node.cli.reference`` writes ``settings.md``, ``cli.md`` and ``dicom.md`` of ``docs/reference``.

A test proves that the files in the repository are what this module writes.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from node.cli.dicom_reference import dicom_reference
from node.cli.exits import ExitCode
from node.cli.main import app
from node.settings.infer import DEFAULT_MODELS_DIR
from node.settings.loading import TABLES_BY_KIND
from node.settings.section import Section
from node.settings.settings import ENV_PREFIX, NESTED, Settings

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "reference"
GENERATED = "<!-- Written by `python -m node.cli.reference`; do not edit. -->"
SETTINGS_INTRODUCTION = f"""\
The node reads one TOML file, `groundglass.toml` by default, and then the environment, which overrides it:
`{ENV_PREFIX}NODE{NESTED}PORT=11113` sets `port` in `[node]`; lists are written as JSON.
Unknown keys are refused. Units stand in the names of the keys.

`groundglass check` reads the file, tries the ports, replays the model's golden answer and calls every
destination."""
CLI_INTRODUCTION = """\
`groundglass [--debug] COMMAND ...`. An error is one line on standard error; with `--debug`, its traceback."""


def settings_reference() -> str:
    """Return the settings reference, Markdown."""
    lines = [GENERATED, "# Settings", "", SETTINGS_INTRODUCTION]
    for name, field in Settings.model_fields.items():
        lines += ["", *_table_reference(name, field)]
    return "\n".join(lines) + "\n"


def cli_reference() -> str:
    """Return the reference of the command line, Markdown."""
    lines = [
        GENERATED,
        "# Command line",
        "",
        CLI_INTRODUCTION,
        "",
        "| exit code | meaning |",
        "|---|---|",
        *(f"| {code.value} | {meaning} |" for code, meaning in _exit_codes()),
    ]
    for path, command in _commands(typer.main.get_command(app), "groundglass"):
        lines += ["", *_command_reference(path, command)]
    return "\n".join(lines) + "\n"


def write() -> None:
    """Write the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "settings.md").write_text(settings_reference(), encoding="utf-8")
    (FOLDER / "cli.md").write_text(cli_reference(), encoding="utf-8")
    (FOLDER / "dicom.md").write_text(f"{GENERATED}\n{dicom_reference()}\n", encoding="utf-8")


def _table_reference(name: str, field: FieldInfo) -> Iterator[str]:
    """Return a table, and after it the tables within it."""
    if name in TABLES_BY_KIND:
        for kind, one in TABLES_BY_KIND[name].items():
            yield from _keys_of(f"## [[{name}]] of kind `{kind}`", name, one)
            yield ""
        return
    found = _table_of(field)
    if found is None:
        raise TypeError(f"{field.annotation} is no table of the settings")
    table, repeated = found
    yield from _keys_of(f"## [[{name}]]" if repeated else f"## [{name}]", name, table)


def _keys_of(heading: str, name: str, table: type[Section]) -> Iterator[str]:
    inner = {key: item for key, item in table.model_fields.items() if _table_of(item) is not None}
    yield heading
    yield ""
    yield str(inspect.getdoc(table))
    yield ""
    yield "| key | type | default | |"
    yield "|---|---|---|---|"
    for key, item in table.model_fields.items():
        if key not in inner:
            yield f"| `{key}` | {_type(item.annotation)} | {_default(item)} | {item.description} |"
    for key, item in inner.items():
        yield ""
        yield from _table_reference(f"{name}.{key}", item)


def _table_of(field: FieldInfo) -> tuple[type[Section], bool] | None:
    """Return a table's class, and whether it may stand in the file any number of times; None for a value."""
    arguments = get_args(field.annotation)
    table = arguments[0] if arguments else field.annotation
    if not (isinstance(table, type) and issubclass(table, Section)):
        return None
    return table, bool(arguments)


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return _type(next(argument for argument in arguments if argument is not type(None)))
    if origin in (tuple, frozenset):
        return f"list of {_type(arguments[0])}"
    if hasattr(annotation, "__metadata__"):
        return _type(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return " or ".join(f"`{item.value}`" for item in annotation)
    names = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
    return names[annotation]


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "-"
    if value == DEFAULT_MODELS_DIR:
        return "`triton_models` of the checkout"
    if isinstance(value, frozenset | tuple):
        return ", ".join(f"`{item}`" for item in sorted(value)) or "-"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _exit_codes() -> Iterator[tuple[ExitCode, str]]:
    """Return each code with the docstring that follows it in the source."""
    meanings = {ExitCode.OK: "Done."}
    source = inspect.getsource(ExitCode).splitlines()
    for line, following in pairwise(source):
        name = line.split("=")[0].strip()
        if name in ExitCode.__members__ and following.strip().startswith('"""'):
            meanings[ExitCode[name]] = following.strip().strip('"')
    return ((code, meanings[code]) for code in ExitCode)


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    members = getattr(command, "commands", None)
    if members is None:
        yield path, command
        return
    for name in members:
        yield from _commands(members[name], f"{path} {name}")


def _command_reference(path: str, command: Any) -> Iterator[str]:
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option" and item.name != "help"]
    usage = " ".join([path, *(item.metavar or item.name.upper() for item in arguments)])
    yield f"## `{usage}`"
    yield ""
    yield str(inspect.cleandoc(command.help or ""))
    if arguments or options:
        yield ""
    for item in arguments:
        yield f"- `{item.metavar or item.name.upper()}`: {item.help}"
    for item in options:
        required = " (required)" if item.required else ""
        yield f"- `{', '.join(item.opts)}`{required}: {item.help}{_initial(item)}"


def _initial(option: Any) -> str:
    value = option.default
    if (
        option.required
        or value is None
        or isinstance(value, bool)
        or not isinstance(value, str | int | float | Path)
    ):
        return ""
    return f" Default: `{value}`." if str(value) else ""


if __name__ == "__main__":
    write()
