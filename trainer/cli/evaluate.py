"""``evaluate``: judge a bundle on data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from trainer.cli.options import On
from trainer.fit.checkpoint import write_atomically
from trainer.judge.evaluate import evaluate as evaluate_bundle


def evaluate(
    bundle: Annotated[Path, typer.Option(help="Model folder.")],
    on: On,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
    precision: Annotated[str, typer.Option(help="f32 or bf16.")] = "f32",
    everything: Annotated[bool, typer.Option("--everything", help="Training parts too.")] = False,
) -> None:
    """Judge a bundle: AUC with interval, sensitivity, specificity, accuracy, F1, and the source probe."""
    report = evaluate_bundle(bundle, on, precision, everything)
    if json_out is not None:
        write_atomically(json_out, (json.dumps(report, indent=2) + "\n").encode())
    print_report(report)


def print_report(report: dict[str, Any]) -> None:
    """Print the figures of an evaluation."""
    table = Table(
        "data set", "images", "AUC", "95 % interval", "sensitivity", "specificity", "accuracy", "F1"
    )
    for one in report["sets"]:
        if one["kind"] == "dicom":
            for series in one["series"]:
                typer.echo(
                    f"DICOM series ...{series['series_instance_uid'][-12:]}: {series['positive']} of "
                    f"{series['selected']} selected slices positive, median {series['median_score']:.3f}"
                )
            continue
        shown = [one[key] for key in ("sensitivity", "specificity", "accuracy", "f1")]
        interval = one["auc_interval"]
        table.add_row(
            one["on"].rsplit("/", 1)[-1],
            str(one["images"]),
            "-" if one["auc"] is None else f"{one['auc']:.3f}",
            "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}",
            *("-" if value is None else f"{value:.3f}" for value in shown),
        )
    console = Console()
    if table.row_count:
        console.print(table)
    probe = report["source_probe"]
    if probe is None:
        typer.echo("Source probe: needs dicom:PATH and a set of pictures with negatives.")
    else:
        verdict = (
            "within 0.30 to 0.70"
            if probe["usable_on_dicom"]
            else "outside 0.30 to 0.70: not usable on DICOM CT"
        )
        typer.echo(
            f"Source probe against {', '.join(probe['against'])}: AUC {probe['auc']:.3f} "
            f"[{probe['interval'][0]:.3f}, {probe['interval'][1]:.3f}], {verdict}."
        )
        others = [
            f"{kind} {area:.3f}" for kind, area in probe["by_kind"].items() if kind not in probe["against"]
        ]
        if others:
            typer.echo(f"Against other kinds, which mix source with disease: {', '.join(others)}.")
