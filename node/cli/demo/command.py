"""The command ``demo``: options, the way through, and what it prints at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from node.app import SystemClock
from node.cli.demo.evidence import results_of
from node.cli.demo.folder import DemoFolder
from node.cli.demo.narrate import Narrator
from node.cli.demo.plan import DemoPlan
from node.cli.demo.run import run_demo
from node.cli.demo.summary import DemoOutcome, stage_lines
from node.cli.exits import ExitCode
from node.cli.logs import logging_to
from node.cli.output import complain, table
from node.domain.model import Precision

MAX_COLUMNS = 4
DEFAULT_OUT = Path("demo-out")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    *,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input", exists=True, help="Your DICOM folder; without it a synthetic thorax is sent."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for everything that the demo leaves.")
    ] = DEFAULT_OUT,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            exists=True,
            file_okay=False,
            help="Model folder; by default covid-ct-lite0 of the checkout.",
        ),
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="Arithmetic of the engine; bf16 and int8 only where the model has them.")
    ] = Precision.F32,
    quiet_seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Silence after which a series counts as complete.")
    ] = 2.0,
    min_slices: Annotated[
        int | None, typer.Option(min=1, help="Fewest slices of a series; by default the model's number.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that everything may take once all files were sent.")
    ] = 900.0,
) -> None:
    """Show the whole way: a scanner sends, the node screens, a PACS receives report and heatmaps.

    Scanner, node and PACS run on free ports of this machine.  OUT then holds received/ (what arrived at the
    PACS), report.txt, summary.png, summary.json and node.log.
    """
    plan = DemoPlan(
        source=source,
        out=out,
        bundle=bundle,
        precision=precision,
        quiet_seconds=quiet_seconds,
        minimum_slices=min_slices,
        timeout_seconds=timeout,
    )
    console = Console(soft_wrap=True)
    folder = DemoFolder(out)
    narrator = Narrator(console, SystemClock())
    try:
        with logging_to(folder.log), narrator.showing():
            outcome = run_demo(plan, folder, narrator)
    finally:
        folder.drop_data()
    _conclude(console, folder, outcome)
    if outcome.failures:
        complain("\n".join(outcome.failures))
        raise typer.Exit(ExitCode.FAILED if outcome.settled else ExitCode.TIMED_OUT)


def _conclude(console: Console, folder: DemoFolder, outcome: DemoOutcome) -> None:
    console.print()
    console.print(folder.report.read_text(encoding="utf-8"), markup=False, highlight=False)
    unsent = [fate for fate in outcome.fates if fate.fate.value != "sent"]
    if unsent:
        rows = [(fate.path.name, fate.fate.value, fate.detail) for fate in unsent]
        console.print(table("Files that the node did not take", ("file", "fate", "why"), rows))
    for view in outcome.views:
        for kind, path in results_of(view, outcome):
            console.print(f"at the PACS  {path}  {kind}", markup=False, highlight=False)
    for path in (folder.report, folder.picture, folder.summary):
        if path.exists():
            console.print(f"written      {path}", markup=False, highlight=False)
    if len(outcome.views) <= MAX_COLUMNS:
        console.print(_stages(outcome))
    else:
        console.print(f"Seconds a stage of {len(outcome.views)} studies: see {folder.summary.name}.")


def _stages(outcome: DemoOutcome) -> Table:
    columns = ("stage", *(f"study {number}" for number in range(1, len(outcome.views) + 1)))
    return table("Seconds a stage", columns, stage_lines(outcome.views, outcome.seconds))
