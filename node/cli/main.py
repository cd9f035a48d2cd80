"""The command ``groundglass``: all command groups together, and how an error ends."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from node.cli import (
    check,
    destinations,
    models,
    pull,
    report,
    reprocess,
    retention,
    send,
    serve,
    status,
    studies,
    triton,
    upkeep,
)
from node.cli.demo import command as demo
from node.cli.exits import code_for
from node.cli.output import complain
from node.domain.errors import GroundglassError


class Commands(TyperGroup):
    """The commands; an error of the node ends as one line and an exit code, not as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except GroundglassError as error:
            if ctx.params.get("debug"):
                raise
            complain(str(error))
            raise typer.Exit(code_for(error)) from error


app = typer.Typer(
    name="groundglass",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="An AI node for the hospital's DICOM network: screens chest CT for COVID-19 and reports to the "
    "PACS. Research use, not for diagnosis.",
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"groundglass {version('groundglass')}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options that stand before the command."""


for group in (
    demo,
    serve,
    check,
    destinations,
    send,
    status,
    studies,
    pull,
    reprocess,
    report,
    models,
    triton,
    retention,
    upkeep,
):
    group.register(app)
