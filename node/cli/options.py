"""Options that several commands share, and how a command comes to the settings and to the store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from node.app import RandomUids, SystemClock
from node.domain.errors import UnknownSubject
from node.domain.network import Destination
from node.settings.loading import load
from node.settings.settings import Settings
from node.store.store import Store, open_store

DEFAULT_FILE = Path("groundglass.toml")


def _not_blank(value: str) -> str:
    """Refuse an act whose audit entry would say nothing."""
    if not value.strip():
        raise typer.BadParameter("is blank; the audit trail needs it")
    return value


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="GROUNDGLASS_CONFIG",
        help="Settings file; by default groundglass.toml here, if there is one.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")]
ByOption = Annotated[
    str, typer.Option("--by", callback=_not_blank, help="Who does it; stands in the audit trail.")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", callback=_not_blank, help="Why; stands in the audit trail.")
]
StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="StudyInstanceUID.")]


def settings_of(config: Path | None, overrides: Mapping[str, str] = MappingProxyType({})) -> Settings:
    """Read the settings that a command was given.

    Parameters
    ----------
    config : Path or None
        The settings file.
    overrides : mapping
        In place of variables of the environment.

    Raises
    ------
    SettingsError
    """
    if config is None and DEFAULT_FILE.is_file():
        config = DEFAULT_FILE
    return load(config, {**os.environ, **overrides})


@contextmanager
def store_of(settings: Settings, *, create: bool = False) -> Iterator[Store]:
    """Open the store beside a node that may be running; the store itself keeps the two apart.

    Raises
    ------
    UnknownSubject
        When there is no store yet and none shall be made.
    """
    root = settings.node.data_dir
    if not create and not root.is_dir():
        raise UnknownSubject(
            f"{root}: no store is there; run `groundglass serve` once, or name its settings with --config"
        )
    with store_at(root, url=settings.node.database_url) as store:
        yield store


@contextmanager
def store_at(root: Path, *, url: str | None = None) -> Iterator[Store]:
    """Open the store of a folder."""
    store = open_store(root, url=url, clock=SystemClock(), uids=RandomUids())
    try:
        yield store
    finally:
        store.close()


def destination_of(settings: Settings, name: str) -> Destination:
    """Return the destination of that name.

    Raises
    ------
    UnknownSubject
    """
    for destination in settings.destination_records():
        if destination.name == name:
            return destination
    known = ", ".join(destination.name for destination in settings.destinations) or "none"
    raise UnknownSubject(f"{name}: no such destination in the settings; known: {known}")
