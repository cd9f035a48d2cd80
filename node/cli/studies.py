"""``studies``: what was received, what was thought of it, and deciding by hand."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from node.cli import corrections
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
from node.cli.records import (
    delivery_record,
    finding_record,
    removal_record,
    screening_record,
    series_record,
    study_record,
)
from node.cli.withdrawn import override_record, withdrawal_record
from node.domain.job import Purpose, Screening
from node.domain.result import Finding
from node.domain.study import Study
from node.store.store import Store

group = typer.Typer(no_args_is_help=True, help="Received studies.", rich_markup_mode=None)
group.command("withdraw")(corrections.withdraw)
group.command("correct")(corrections.correct)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="studies")


@group.command("list")
def list_studies(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="Leave out so many of the newest.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """List the studies, newest first, without names of patients."""
    with store_of(settings_of(config)) as store:
        rows = [_summary(store, study) for study in store.studies.list(limit, offset)]
    if as_json:
        show_json(rows)
        return
    columns = (
        "study_instance_uid",
        "accession_number",
        "study_date",
        "state",
        "series",
        "instances",
        "outcome",
    )
    show(
        table(
            counted(len(rows), "study", "studies"), columns, [[row[name] for name in columns] for row in rows]
        )
    )


@group.command("show")
def show_study(study: StudyArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show one study: its series with their verdicts, its screenings, its results and deliveries."""
    with store_of(settings_of(config)) as store:
        record = _details(store, store.studies.get(study))
    if as_json:
        show_json(record)
        return
    show(f"Study {record['study_instance_uid']}: {record['state']} {record['hold_reason']}".rstrip())
    _show_rows(
        "Series", record["series"], ("series_number", "description", "modality", "instances", "verdict")
    )
    _show_rows("Reasons", record["series"], ("series_instance_uid", "verdict_reason"))
    _show_rows(
        "Screenings",
        record["screenings"],
        ("id", "model", "version", "purpose", "state", "cause", "outcome", "reason", "detail"),
    )
    for finding in record["findings"]:
        by = f" by {finding['model']['name']} ({finding['modality']})" if len(record["findings"]) > 1 else ""
        show(f"Outcome{by}: {finding['outcome']} ({finding['reason']})")
        _show_rows("Choice", finding["series"], ("series_number", "description", "chosen", "reason"))
    _show_rows("Deliveries", record["deliveries"], ("destination", "kind", "state", "attempts", "detail"))
    _show_rows(
        "Withdrawn", record["withdrawals"], ("model", "version", "title", "by", "reason", "at", "note")
    )
    _show_rows("Corrected by hand", record["overrides"], ("keyword", "by", "reason", "at"))
    _show_rows("Removed", record["removals"], ("extent", "rule", "by", "at", "instances"))
    _show_rows("Kept aside", record["asides"], ("id", "reason", "calling_ae_title", "received_at"))


@group.command()
def complete(study: StudyArgument, by: ByOption, reason: ReasonOption, config: ConfigOption = None) -> None:
    """Take every open series of the study as complete."""
    with store_of(settings_of(config)) as store:
        store.studies.complete(store.studies.get(study).id, by, reason)
    show("Complete by hand; a running node screens the study with its next sweep.")


@group.command()
def hold(study: StudyArgument, by: ByOption, reason: ReasonOption, config: ConfigOption = None) -> None:
    """Hold the study: nothing of it is screened or sent."""
    with store_of(settings_of(config)) as store:
        store.studies.hold(store.studies.get(study).id, by, reason)
    show("Held.")


@group.command()
def release(study: StudyArgument, by: ByOption, reason: ReasonOption, config: ConfigOption = None) -> None:
    """Release a held study as it is; what was kept aside stays aside."""
    with store_of(settings_of(config)) as store:
        store.studies.release(store.studies.get(study).id, by, reason)
    show("Released; it settles anew after its quiet time.")


@group.command("confirm")
def confirm_correction(
    study: StudyArgument, by: ByOption, reason: ReasonOption, config: ConfigOption = None
) -> None:
    """Confirm corrected patient or study attributes: earlier results are withdrawn, the study runs again."""
    with store_of(settings_of(config)) as store:
        store.asides.confirm_correction(store.studies.get(study).id, by, reason)
    show("The correction is in force; the study settles anew after its quiet time.")


def _summary(store: Store, study: Study) -> dict[str, Any]:
    answers = _answers(store, study)
    outcomes = [{"model": item.model_name, "outcome": _outcome(finding)} for item, finding in answers]
    only = outcomes[0]["outcome"] if len(outcomes) == 1 else None
    every = ", ".join(
        f"{item.model_name} {_outcome(finding) or item.state.value}" for item, finding in answers
    )
    return study_record(study) | {
        "series": len(study.series),
        "instances": sum(series.instance_count for series in study.series),
        "outcome": every if len(outcomes) > 1 else only,
        "outcomes": outcomes,
    }


def _answers(store: Store, study: Study) -> list[tuple[Screening, Finding | None]]:
    """Return the newest screening by each model that reports: one of CT does not hide one of radiographs."""
    newest: dict[str, tuple[Screening, Finding | None]] = {}
    for screening, finding in store.screenings.history(study.id):
        if screening.purpose is Purpose.REPORT:
            newest.setdefault(screening.model_name, (screening, finding))
    return sorted(newest.values(), key=lambda answer: answer[0].id)


def _outcome(finding: Finding | None) -> str | None:
    return None if finding is None else finding.outcome.value


def _details(store: Store, study: Study) -> dict[str, Any]:
    latest = store.screenings.latest(study.id)
    finding = latest[1] if latest is not None else None
    findings = [found for _, found in _answers(store, study) if found is not None]
    return study_record(study) | {
        "series": [series_record(series) for series in study.series],
        "screenings": [
            screening_record(screening)
            | {
                "version": found.model.version if found is not None else screening.model_version or None,
                "outcome": _outcome(found),
                "detail": store.screenings.detail(screening.id),
            }
            for screening, found in store.screenings.history(study.id)
        ],
        "finding": finding_record(finding) if finding is not None else None,
        "findings": [finding_record(item) for item in findings],
        "deliveries": [delivery_record(delivery) for delivery in store.outbox.for_study(study.id)],
        "asides": [
            {
                "id": aside.id,
                "reason": aside.reason.value,
                "sop_instance_uid": aside.header.sop_instance_uid,
                "calling_ae_title": aside.calling_ae_title,
                "received_at": aside.received_at,
            }
            for aside in store.asides.list(study.id)
        ],
        "withdrawals": [withdrawal_record(item) for item in store.withdrawals.for_study(study.id)],
        "overrides": [override_record(item) for item in store.overrides.list(study.id)],
        "removals": [
            removal_record(item)
            for item in store.retention.removals(study_instance_uid=study.study_instance_uid)
        ],
    }


def _show_rows(title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    if rows:
        show(table(title, columns, [[row[name] for name in columns] for row in rows]))
