"""``report``: a structured report as readable text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.output import show
from node.dicom.read import read_whole_dataset
from node.report.render import report_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    sr_file: Annotated[
        Path, typer.Argument(metavar="SR_FILE", exists=True, dir_okay=False, help="DICOM file of the report.")
    ],
) -> None:
    """Print a structured report of this node as text."""
    show(report_text(read_whole_dataset(sr_file)))
