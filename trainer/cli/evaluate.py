"""``evaluate``: judge a bundle on data sets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from trainer.cli.options import On
from trainer.fit.checkpoint import write_atomically
from trainer.judge.evaluate import evaluate as evaluate_bundle

RATES = ("sensitivity", "specificity", "accuracy", "f1")


def evaluate(
    *,
    bundle: Annotated[Path, typer.Option(help="Model folder.")],
    on: On,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
    plots: Annotated[
        Path | None,
        typer.Option(help="Folder for ROC and precision-recall curves, confusion matrices and reliability."),
    ] = None,
    patients: Annotated[
        bool,
        typer.Option("--patients", help="Judge series and patients by the node's rule too (whole series)."),
    ] = False,
    precision: Annotated[str, typer.Option(help="f32 or bf16.")] = "f32",
    everything: Annotated[bool, typer.Option("--everything", help="Training parts too.")] = False,
) -> None:
    """Judge a bundle on data sets: figures with 95 % intervals, strata, confounding, and the source probe.

    Sets of another kind than the bundle was trained on are judged alike: several --on give the cross-set
    figures in one table. Research use, not a diagnosis.
    """
    report = evaluate_bundle(bundle, on, precision, everything, patients=patients, plots=plots)
    if json_out is not None:
        write_atomically(json_out, (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
    print_report(report)


def print_report(report: dict[str, Any]) -> None:
    """Print the figures of an evaluation."""
    console = Console()
    point = report["operating_point"]
    table = _table(
        ("data set", "images", "AUC", "sens.", "spec.", "acc.", "F1"),
        caption=f"at a slice threshold of {point['slice_threshold']:g} (operating point {point['name']!r}, "
        f"{'validated' if point['validated'] else 'not validated'}); "
        "slash: groups; brackets: 95 % intervals",
    )
    labelled = [one for one in report["sets"] if one["kind"] != "dicom"]
    for one in labelled:
        table.add_row(
            one["on"].rsplit("/", 1)[-1] + (" (cross)" if one["cross_set"] else ""),
            f"{one['images']} / {one['groups']}",
            _number(one["auc"]) + _interval(one["auc_interval"]),
            *(_number(one[key]) for key in RATES),
        )
    if table.row_count:
        console.print(table)
    for one in labelled:
        console.print(_points_table(one))
    for one in report["sets"]:
        for line in _remarks(one):
            typer.echo(line)
        if one.get("patients"):
            _print_patients(console, one)
    for line in _probe_lines(report["source_probe"]):
        typer.echo(line)
    typer.echo("Research use, not a diagnosis.")
    if report.get("plots"):
        typer.echo(f"Drawn: {', '.join(report['plots'])}.")


def _table(columns: Sequence[str], title: str | None = None, caption: str | None = None) -> Table:
    table = Table(title=title, caption=caption, box=SIMPLE_HEAD, title_justify="left", caption_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place > 0, min_width=0 if place else 14)
    return table


def _points_table(one: Mapping[str, Any]) -> Table:
    table = _table(
        ("point", "threshold", "sensitivity", "specificity"),
        title=one["on"].rsplit("/", 1)[-1],
        caption="*: chosen on these very images, so too favourable",
    )
    for point in one["points"]:
        table.add_row(
            point["name"] + (" *" if point["chosen_here"] else ""),
            f"{point['threshold']:g}",
            _number(point["sensitivity"]) + _interval(point["sensitivity_interval"]),
            _number(point["specificity"]) + _interval(point["specificity_interval"]),
        )
    return table


def _remarks(one: Mapping[str, Any]) -> Iterator[str]:
    for series in one.get("series", ()):
        yield (
            f"DICOM series ...{series['series_instance_uid'][-12:]}: {series['positive']} of "
            f"{series['selected']} selected slices positive, median {series['median_score']:.3f}"
        )
    for uid in one.get("series_without_open_lungs", ()):
        yield f"DICOM series ...{uid[-12:]}: no slice with open lungs"
    name = one["on"].rsplit("/", 1)[-1]
    for sentence in (*one["warnings"], *one.get("confounding", ())):
        yield f"Warning, {name}: {sentence}"
    if "patients" in one and one["patients"] is None:
        yield f"{name}: there are no whole series, so no patient can be judged by the node's rule."


def _print_patients(console: Console, one: Mapping[str, Any]) -> None:
    table = _table(
        ("point", "positive", "negative", "open", "sensitivity", "specificity"),
        title=f"{one['on'].rsplit('/', 1)[-1]}: patients",
        caption="open: undetermined or not analysed, in neither share. A patient's answer rests on: "
        f"{one['patients']['rule']}.",
    )
    for name, point in one["patients"]["points"].items():
        outcomes, figures = point["outcomes"], point["figures"] or {}
        open_ones = outcomes.get("undetermined", 0) + outcomes.get("not-analysed", 0)
        table.add_row(
            name + (" (active)" if point["active"] else ""),
            str(outcomes.get("positive", 0)),
            str(outcomes.get("negative", 0)),
            str(open_ones),
            *(
                _number(figures.get(key)) + _interval(figures.get(f"{key}_interval"))
                for key in ("sensitivity", "specificity")
            ),
        )
    console.print(table)
    active = next(point for point in one["patients"]["points"].values() if point["active"])
    for patient in active["patients"]:
        if patient["outcome"] in {"undetermined", "not-analysed"}:
            typer.echo(f"{patient['patient']}: {patient['outcome']}. {patient['reason']}")


def _probe_lines(probe: Mapping[str, Any] | None) -> Iterator[str]:
    if probe is None:
        yield "Source probe: needs dicom:PATH and a set of pictures with negatives."
        return
    verdict = (
        "within 0.30 to 0.70" if probe["usable_on_dicom"] else "outside 0.30 to 0.70: not usable on DICOM CT"
    )
    yield (
        f"Source probe against {', '.join(probe['against'])}: AUC {probe['auc']:.3f} "
        f"[{probe['interval'][0]:.3f}, {probe['interval'][1]:.3f}], {verdict}."
    )
    others = [f"{kind} {area:.3f}" for kind, area in probe["by_kind"].items() if kind not in probe["against"]]
    if others:
        yield f"Against other kinds, which mix source with disease: {', '.join(others)}."


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"
