"""Printing: tables for people, JSON for programs, and remote text made harmless for a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

MAX_LINE = 4096
MAX_CELL = 200  # characters; the standard's longest short text, ST, allows 1024


def printable(value: object, limit: int = MAX_CELL) -> str:
    """Return ``value`` as text without control characters: a peer must not steer the terminal."""
    if value is None:
        return "-"
    text = value.isoformat(sep=" ", timespec="seconds") if isinstance(value, datetime) else str(value)
    clean = "".join(character if character.isprintable() else "�" for character in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def printable_lines(text: str) -> str:
    """Return text of several lines without other control characters."""
    return "\n".join(printable(line, MAX_LINE) for line in text.split("\n"))


def counted(count: int, one: str, many: str) -> str:
    """Return a number with its noun."""
    return f"{count} {one if count == 1 else many}"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Return a table of plain text: nothing in a cell is read as markup."""
    result = Table(title=Text(title), title_justify="left", header_style="bold", show_edge=False)
    for column in columns:
        result.add_column(Text(column), overflow="fold", no_wrap=column.endswith("_uid"))
    for row in rows:
        result.add_row(*(Text(printable(cell)) for cell in row))
    return result


def show(*parts: Table | str) -> None:
    """Print tables and lines to the standard output; a line stays one line, whatever the terminal's width."""
    console = Console()
    for part in parts:
        if isinstance(part, str):
            console.print(Text(printable_lines(part)), soft_wrap=True)
        else:
            console.print(part)


def show_json(value: Any) -> None:
    """Print one JSON document to the standard output, control characters of any plane as escapes."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    typer.echo(
        "".join(item if item.isprintable() or item == "\n" else json.dumps(item)[1:-1] for item in text)
    )


def complain(message: str) -> None:
    """Print what went wrong to the standard error, one line a problem."""
    for line in printable_lines(message).split("\n"):
        typer.secho(f"groundglass: {line}", err=True, fg="red")
