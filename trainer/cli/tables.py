"""``tables``: the papers' tables, with one's own figures beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer.tables.ctset_sheets import ctset_sheets
from trainer.tables.deep_ct_sheets import deep_ct_sheets
from trainer.tables.output import Format, text_of_sheets
from trainer.tables.records import Records, read_records


def tables(
    *,
    form: Annotated[Format, typer.Option("--format", help="As what they are printed.")] = Format.MARKDOWN,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a crossval; its figures stand beside. May be given several times."),
    ] = None,
) -> None:
    """Print the tables of the two papers: what is printed, what recomputes otherwise, what was measured."""
    read = [read_records(folder) for folder in beside or ()]
    records = Records(
        images=tuple(one for records in read for one in records.images),
        patients=tuple(one for records in read for one in records.patients),
    )
    typer.echo(text_of_sheets((*ctset_sheets(records), *deep_ct_sheets(records)), form), nl=False)
