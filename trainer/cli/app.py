"""The trainer's commands."""

from __future__ import annotations

import typer

from trainer.cli.evaluate import evaluate
from trainer.cli.export import export
from trainer.cli.fit import fit
from trainer.cli.import_keras import import_keras_file
from trainer.cli.index import index

app = typer.Typer(
    help="Groundglass trainer: from labelled images to a bundle that the node serves. Research use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DATA, FITTING, JUDGING, SERVING = "Data", "Fitting", "Judging", "Serving"
"""Panels of the help."""

app.command("index", rich_help_panel=DATA)(index)
app.command("fit", rich_help_panel=FITTING)(fit)
app.command("import-keras", rich_help_panel=FITTING)(import_keras_file)
app.command("evaluate", rich_help_panel=JUDGING)(evaluate)
app.command("export", rich_help_panel=SERVING)(export)
