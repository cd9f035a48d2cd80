"""``models``: the installed networks and the servers that run them."""

from __future__ import annotations

import typer

from node.cli import models_accept, models_build


def register(app: typer.Typer) -> None:
    """Add the commands as a group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="The installed networks and the servers that run them.",
        rich_markup_mode=None,
    )
    models_build.register(group)
    models_accept.register(group)
    app.add_typer(group, name="models")
