"""The trainer's commands."""

from __future__ import annotations

import typer

from trainer.cli.calibrate import calibrate
from trainer.cli.crossval import crossval
from trainer.cli.evaluate import evaluate
from trainer.cli.export import export
from trainer.cli.fit import fit
from trainer.cli.import_keras import import_keras_file
from trainer.cli.index import index
from trainer.cli.tables import tables

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
app.command("calibrate", rich_help_panel=JUDGING)(calibrate)
app.command("crossval", rich_help_panel=JUDGING)(crossval)
app.command("tables", rich_help_panel=JUDGING)(tables)
app.command("export", rich_help_panel=SERVING)(export)
