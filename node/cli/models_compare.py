"""``models compare``: how far two models agree on the studies that both have scored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from node.cli.options import ConfigOption, JsonOption, settings_of, store_of
from node.cli.output import counted, show, show_json, table
from node.decide.agreement import Agreement, Pair, compare
from node.decide.routing import model_reference
from node.domain.errors import SettingsError

OUTCOMES = ("first", "second", "studies")
CHANGES = ("study", "study_instance_uid", "first", "second", "first_score", "second_score")
WEEKS = ("week", "studies", "first_mean", "second_mean", "difference")


def register(group: typer.Typer) -> None:
    """Add the command to the group ``models``."""
    group.command("compare")(compare_models)


def compare_models(
    first: Annotated[
        str, typer.Argument(metavar="A", help="NAME or NAME:VERSION; without one, any version's answers.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="The other one.")],
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only studies that arrived on this day (UTC) or later."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two models over every study that both have scored, as report or as shadow.

    Agreement of the answers with Cohen's kappa, the studies whose answer changed, the differences of the mean
    scores, and each one's mean score by week: a drift of one that the other does not show.
    """
    after = None if since is None else since.replace(tzinfo=UTC)
    with store_of(settings_of(config)) as store:
        found = compare(*(store.scores.of(*_reference(text), since=after) for text in (first, second)))
    if as_json:
        show_json(_record(first, second, found))
    else:
        _print(first, second, found)


def _reference(text: str) -> tuple[str, int]:
    try:
        return model_reference(text)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _record(first: str, second: str, found: Agreement) -> dict[str, Any]:
    return {
        "first": first,
        "second": second,
        "studies": found.studies,
        "agreement": found.agreement,
        "kappa": found.kappa,
        "outcomes": [
            {"first": one.value, "second": other.value, "studies": count}
            for (one, other), count in sorted(found.outcomes.items())
        ],
        "score_difference": {
            "mean": found.mean_difference,
            "standard_deviation": found.deviation,
            "largest": found.largest_difference,
        },
        "changed": [_change(pair) for pair in found.changes],
        "weeks": [
            {
                "week": item.week,
                "studies": item.studies,
                "first_mean": item.first,
                "second_mean": item.second,
                "difference": item.second - item.first,
            }
            for item in found.weeks
        ],
    }


def _change(pair: Pair) -> dict[str, Any]:
    return {
        "study": pair.first.study_id,
        "study_instance_uid": pair.first.study_instance_uid,
        "first": pair.first.outcome.value,
        "second": pair.second.outcome.value,
        "first_score": pair.first.mean_probability,
        "second_score": pair.second.mean_probability,
    }


def _print(first: str, second: str, found: Agreement) -> None:
    record = _record(first, second, found)
    studies = counted(found.studies, "study", "studies")
    show(f"{first} (first) and {second} (second): {studies} scored by both")
    if not found.pairs:
        return
    kappa = "not defined" if found.kappa is None else f"{found.kappa:.3f}"
    show(
        f"Agreement {found.studies - len(found.changes)} of {found.studies}, Cohen's kappa {kappa}",
        _differences(record["score_difference"]),
    )
    for title, columns, rows in (
        ("Answers", OUTCOMES, record["outcomes"]),
        ("Changed answers", CHANGES, record["changed"]),
        ("Mean scores by week", WEEKS, record["weeks"]),
    ):
        if rows:
            show(table(title, columns, [[_shown(row[name]) for name in columns] for row in rows]))


def _differences(record: dict[str, float | None]) -> str:
    if record["mean"] is None:
        return "No study has scores of both."
    parts = [f"{name.replace('_', ' ')} {_shown(value)}" for name, value in record.items()]
    return f"Differences of the mean scores, second minus first: {', '.join(parts)}"


def _shown(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else value
