"""The trainer's commands."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import cv2
import torch
import typer
from rich.console import Console
from rich.table import Table

from trainer.cases.readers import READERS, notes_on, read_cases
from trainer.cases.summary import summarise
from trainer.errors import DataError
from trainer.export.bundle import as_json, export_bundle
from trainer.fit.checkpoint import write_atomically
from trainer.fit.recipe import read_recipe
from trainer.fit.run import fit_run
from trainer.imports.importing import import_keras
from trainer.judge.evaluate import evaluate as evaluate_bundle

app = typer.Typer(
    help="Groundglass trainer: from labelled images to a bundle that the node serves. Research use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Data = Annotated[str, typer.Argument(help=f"KIND:PATH; KIND is one of {', '.join(READERS)}.")]
On = Annotated[
    list[str], typer.Option("--on", help="KIND:PATH; may be given several times. dicom: source probe only.")
]
Threads = Annotated[
    int, typer.Option(min=0, help="Threads of the arithmetic; 0: as many as there are cores.")
]


def _use(threads: int) -> None:
    cv2.setNumThreads(1)
    if threads:
        torch.set_num_threads(threads)


@app.command()
def index(data: Data, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Count a data set and warn of what would spoil a figure: duplicates, leaks, telling file formats."""
    cases = read_cases(data)
    summary = summarise(cases, notes_on(data, cases))
    if as_json:
        typer.echo(json.dumps(asdict(summary), indent=2))
        return
    table = Table("split", "class", "images", "groups")
    for part in summary.parts:
        table.add_row(
            part.split,
            summary.about if part.positive else f"not {summary.about}",
            str(part.images),
            str(part.groups),
        )
    console = Console()
    console.print(table)
    console.print(f"Groups are {summary.grouped_by}.", highlight=False)
    for warning in summary.warnings:
        console.print(f"Warning: {warning}.", style="yellow", highlight=False)


@app.command()
def fit(
    *,
    data: Annotated[str, typer.Option(help="KIND:PATH; its training part is used.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; new, or with --resume one begun before.")],
    recipe: Annotated[Path, typer.Option(help="Recipe file.")] = Path(__file__).parent
    / "recipes"
    / "default.toml",
    init: Annotated[Path | None, typer.Option(help="File with published ImageNet weights.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last whole epoch.")] = False,
    threads: Threads = 0,
) -> None:
    """Fit every fold of a recipe and judge it out of fold. Killed at any moment, --resume goes on exactly."""
    _use(threads)
    result = fit_run(read_recipe(recipe), data, out, init=init, resume=resume, report=typer.echo)
    typer.echo(
        f"AUC a fold: {', '.join(f'{value:.3f}' for value in result['fold_auc'])}; out of fold "
        f"{result['out_of_fold']['auc']:.3f}; slice threshold {result['operating_point']['slice_threshold']}"
    )


@app.command()
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
    _print_report(report)


def _print_report(report: dict[str, Any]) -> None:
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


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as text: {error}") from error


@app.command()
def export(
    *,
    run: Annotated[Path, typer.Option(help="Folder of a finished run.")],
    out: Annotated[Path, typer.Option(help="Model folder; its name becomes the model's.")],
    on: Annotated[
        list[str] | None, typer.Option("--on", help="KIND:PATH whose held-out figures go into the card.")
    ] = None,
    version: Annotated[int, typer.Option(min=1, help="Of the weights.")] = 1,
    status: Annotated[str, typer.Option(help="untrained or demonstration.")] = "demonstration",
    notes: Annotated[Path | None, typer.Option(help="Markdown file for the end of the card.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write what was measured here.")] = None,
) -> None:
    """Write a bundle: ONNX with Grad-CAM, input specification, golden answer, card, licence."""
    text = _text(notes) if notes is not None else ""
    exported = export_bundle(run, out, version=version, status=status, on=on or [], notes=text)
    if json_out is not None:
        write_atomically(json_out, (json.dumps(as_json(exported), indent=2) + "\n").encode())
    typer.echo(
        f"{exported.folder}: {exported.size / 1e6:.1f} MB, decisions unchanged at "
        f"{', '.join(exported.precisions)}"
    )
    if exported.report is not None:
        _print_report(exported.report)


@app.command("import-keras")
def import_keras_file(
    file: Annotated[Path, typer.Argument(help="The authors' .h5 or .hdf5 file.")],
    *,
    net: Annotated[str, typer.Option(help="resnet50v2-fpn, resnet50v2 or xception.")],
    out: Annotated[Path, typer.Option(help="File to write, .pt.")],
    side: Annotated[
        int | None, typer.Option(min=96, help="Rows and columns of the images, where the head is pooled.")
    ] = None,
) -> None:
    """Import a published network: every array of the Keras file is used, or the file is refused."""
    imported = import_keras(file, net, out, side)
    typer.echo(
        f"{out}: {imported.net} for {imported.side} x {imported.side} pixels, {imported.tensors} arrays, "
        f"{imported.parameters:,} values"
    )
