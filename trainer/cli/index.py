"""``index``: count a data set and warn of what would spoil a figure."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from trainer.cases.readers import notes_on, read_cases
from trainer.cases.summary import summarise
from trainer.cli.options import Data


def index(data: Data, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Count a data set and warn of what would spoil a figure: duplicates, leaks, telling file formats."""
    cases = read_cases(data)
    summary = summarise(cases, notes_on(data, cases))
    if as_json:
        typer.echo(json.dumps(asdict(summary), indent=2))
        return
    table = Table("split", "class", "images", "groups")
    for part in summary.parts:
        table.add_row(
            part.split,
            summary.about if part.positive else f"not {summary.about}",
            str(part.images),
            str(part.groups),
        )
    console = Console()
    console.print(table)
    console.print(f"Groups are {summary.grouped_by}.", highlight=False)
    for warning in summary.warnings:
        console.print(f"Warning: {warning}.", style="yellow", highlight=False)
