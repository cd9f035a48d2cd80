"""``go-live`` and ``stop``: which destinations results may leave for."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.options import ByOption, ConfigOption, ReasonOption, destination_of, settings_of, store_of
from node.cli.output import show


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("go-live")(go_live)
    app.command("stop")(stop)


def go_live(
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help="Name of the destination in the settings.")
    ],
    by: ByOption,
    reason: ReasonOption,
    config: ConfigOption = None,
) -> None:
    """Open one destination: results made from now on are sent there. Ends a halt."""
    settings = settings_of(config)
    chosen = destination_of(settings, destination)
    with store_of(settings, create=True) as store:
        store.operations.go_live(chosen.name, by, reason)
    show(f"{chosen.name} ({chosen.address}) is live.")
    if not chosen.accept_demonstration:
        show("Results of a demonstration model stay here: accept_demonstration is not set for it.")
    show("Results made before stay withheld; `groundglass send --study UID --to NAME` releases them.")


def stop(by: ByOption, reason: ReasonOption, config: ConfigOption = None) -> None:
    """Halt all deliveries at once; screening goes on. `go-live` ends the halt."""
    settings = settings_of(config)
    with store_of(settings, create=True) as store:
        store.operations.stop(by, reason)
    show("All deliveries are halted. `groundglass go-live DESTINATION` resumes.")
