"""``integrity`` and ``audit``: is everything there, and who decided what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.exits import ExitCode
from node.cli.options import ConfigOption, JsonOption, settings_of, store_at, store_of
from node.cli.output import counted, show, show_json, table
from node.domain.errors import UnknownSubject
from node.store.integrity import Problem, check


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("integrity")(integrity)
    app.command("audit")(audit)


def integrity(
    store_folder: Annotated[
        Path | None,
        typer.Option(
            "--store", help="Folder of a store, for example a backup; by default the settings' own."
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every object file and compare it with the index. May run beside a node."""
    problems = _check_folder(store_folder) if store_folder is not None else _check_own(config)
    if as_json:
        show_json([{"kind": item.kind.value, "table": item.table, "key": item.key} for item in problems])
    else:
        rows = [[item.kind.value, item.table, item.key] for item in problems]
        if rows:
            show(table("Problems", ("kind", "named by", "object file"), rows))
        show(counted(len(problems), "problem", "problems"))
    if problems:
        raise typer.Exit(ExitCode.FAILED)


def audit(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the newest.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List what people decided: who, what, why and when; newest first."""
    with store_of(settings_of(config)) as store:
        acts = store.operations.audit_trail(limit)
    rows = [
        {
            "at": act.at.isoformat(timespec="seconds"),
            "by": act.by,
            "action": act.action,
            "subject": act.subject,
            "reason": act.reason,
        }
        for act in acts
    ]
    if as_json:
        show_json(rows)
        return
    columns = ("at", "by", "action", "subject", "reason")
    show(table(counted(len(rows), "act", "acts"), columns, [[row[name] for name in columns] for row in rows]))


def _check_own(config: Path | None) -> list[Problem]:
    with store_of(settings_of(config)) as store:
        return check(store)


def _check_folder(folder: Path) -> list[Problem]:
    if not (folder / "index.sqlite").is_file():
        raise UnknownSubject(f"{folder}: no index.sqlite is there; name the folder of a store")
    with store_at(folder) as store:
        return check(store)
