"""``retention``: what is kept and for how long."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from node.app import SystemClock
from node.cli.options import (
    ByOption,
    ConfigOption,
    JsonOption,
    ReasonOption,
    StudyArgument,
    settings_of,
    store_of,
)
from node.cli.output import counted, show, show_json, table
from node.cli.records import mebibytes, removal_record
from node.domain.errors import SettingsError
from node.keeping import forgetting_of, retention_of
from node.operate.retention import Planned
from node.settings.settings import Settings

LATEST = 20
"""Removals that the status lists."""

AuthorOption = Annotated[
    str | None, typer.Option("--by", help="Who does it; stands in the audit trail. Not for a dry run.")
]

group = typer.Typer(no_args_is_help=True, help="What is kept and for how long.", rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="retention")


@group.command()
def run(
    *,
    config: ConfigOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
    by: AuthorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Apply the rules of the settings now, also where they are not applied by themselves."""
    author = _author(by, dry_run=dry_run)
    settings = settings_of(config)
    _refuse_without_rules(settings)
    with store_of(settings) as store:
        retention = retention_of(settings, store, SystemClock())
        found = list(retention.planned()) if author is None else retention.run_once(author)
    rows = [_planned_record(item) for item in found]
    if as_json:
        show_json(rows)
        return
    columns = ("study_instance_uid", "extent", "rule", "instances", "mib", "reason")
    if rows:
        show(table("Would go" if dry_run else "Removed", columns, _cells(rows, columns)))
    verb = "would be removed" if dry_run else "removed"
    show(f"{counted(len(rows), 'study', 'studies')} {verb}, {sum(row['size'] for row in rows)} bytes")


@group.command()
def forget(
    *,
    config: ConfigOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be forgotten, and forget nothing.")
    ] = False,
    by: AuthorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget now what peers announced and asked, and what was fetched, that has been over for long."""
    author = _author(by, dry_run=dry_run)
    settings = settings_of(config)
    with store_of(settings) as store:
        forgetting = forgetting_of(settings, store, SystemClock())
        if forgetting is None:
            raise SettingsError("retention.forget_after_days has no value, so nothing is forgotten; give one")
        found = forgetting.planned() if author is None else forgetting.run_once(author)
    rows = [{"what": item.kind.value, "count": item.count, "rows": item.rows} for item in found]
    if as_json:
        show_json(rows)
        return
    columns = ("what", "count", "rows")
    show(table("Would be forgotten" if dry_run else "Forgotten", columns, _cells(rows, columns)))


@group.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Count why studies stay and by which rule they go; list what stays by order and what was removed."""
    settings = settings_of(config)
    with store_of(settings) as store:
        reasons = retention_of(settings, store, SystemClock()).reasons()
        holds = store.retention.holds()
        removed = store.retention.removals(LATEST)
    record: dict[str, Any] = {
        "enabled": settings.retention.enabled,
        "rules": [rule.name for rule in settings.retention.rules],
        "studies": [{"count": count, "reason": reason} for reason, count in reasons.most_common()],
        "holds": [
            {
                "study_instance_uid": item.study_instance_uid,
                "by": item.by,
                "reason": item.reason,
                "at": item.at.isoformat(timespec="seconds"),
            }
            for item in holds
        ],
        "removals": [removal_record(item) for item in removed],
    }
    if as_json:
        show_json(record)
        return
    rules = ", ".join(record["rules"]) or "none"
    applied = "applied by themselves" if record["enabled"] else "not applied by themselves"
    show(f"Rules: {rules}; {applied}.")
    for title, name, columns in (
        ("Studies", "studies", ("count", "reason")),
        ("Kept by order", "holds", ("study_instance_uid", "by", "reason", "at")),
        (
            "Removed last",
            "removals",
            ("study_instance_uid", "extent", "rule", "by", "at", "instances", "mib"),
        ),
    ):
        if record[name]:
            show(table(title, columns, _cells(record[name], columns)))


@group.command()
def hold(study: StudyArgument, by: ByOption, reason: ReasonOption, config: ConfigOption = None) -> None:
    """Keep the study: no rule removes it. It is screened and sent as before."""
    with store_of(settings_of(config)) as store:
        store.retention.hold(store.studies.get(study).id, by, reason)
    show("Kept; `groundglass retention release` lets the rules remove it again.")


@group.command()
def release(study: StudyArgument, by: ByOption, reason: ReasonOption, config: ConfigOption = None) -> None:
    """Let the rules remove the study again."""
    with store_of(settings_of(config)) as store:
        store.retention.release(store.studies.get(study).id, by, reason)
    show("Released; the rules apply to it.")


def _author(by: str | None, *, dry_run: bool) -> str | None:
    """Return who does it; None for a dry run, which nobody does."""
    if dry_run:
        return None
    if not (by and by.strip()):
        raise typer.BadParameter("is missing or blank; the audit trail needs it", param_hint="--by")
    return by.strip()


def _refuse_without_rules(settings: Settings) -> None:
    if not settings.retention.rules:
        raise SettingsError(
            "retention.rules: there is none, so nothing goes; write a table [[retention.rules]]"
        )


def _planned_record(item: Planned) -> dict[str, Any]:
    return {
        "study_instance_uid": item.facts.study_instance_uid,
        "extent": item.extent.value,
        "rule": item.rule.name,
        "instances": item.weight.instances,
        "size": item.weight.size,
        "mib": mebibytes(item.weight.size),
        "reason": item.reason,
    }


def _cells(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[list[object]]:
    return [[row[name] for name in columns] for row in rows]
