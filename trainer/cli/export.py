"""``export``: write a bundle that the node serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trainer.cli.evaluate import print_report
from trainer.cli.options import text_of
from trainer.export.bundle import Exported, Order, as_json, export_bundle
from trainer.fit.checkpoint import write_atomically


def export(
    *,
    run: Annotated[Path, typer.Option(help="Folder of a finished run, or a file written by import-keras.")],
    out: Annotated[Path, typer.Option(help="Model folder; its name becomes the model's.")],
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on",
            help="KIND:PATH whose held-out figures go into the card, and on which decisions are compared "
            "between precisions. Without any only f32 may be used.",
        ),
    ] = None,
    version: Annotated[int, typer.Option(min=1, help="Of the weights.")] = 1,
    status: Annotated[str, typer.Option(help="untrained or demonstration.")] = "demonstration",
    selection: Annotated[
        str | None,
        typer.Option(help="How slices are selected for an imported network: in-body (default) or paper."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="float16 or float32; without it float16 where no decision changes by it."),
    ] = None,
    calibrate_on: Annotated[
        str | None,
        typer.Option(
            help="KIND:PATH from whose training part --int8 takes the ranges of values.", show_default=False
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantise to 8 bits and say what that does to decisions.")
    ] = False,
    keep_int8: Annotated[
        bool, typer.Option("--keep-int8", help="Store the 8-bit network in the bundle too.")
    ] = False,
    notes: Annotated[Path | None, typer.Option(help="Markdown file for the end of the card.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write what was measured here.")] = None,
) -> None:
    """Write a bundle: ONNX with Grad-CAM, input specification, golden answer, card, licence."""
    if (int8 or keep_int8) != (calibrate_on is not None):
        raise typer.BadParameter("--int8 and --calibrate-on KIND:PATH belong together")
    order = Order(
        on=on or [],
        weights=weights,
        calibrate_on=calibrate_on,
        keep_int8=keep_int8,
        notes=text_of(notes) if notes is not None else "",
    )
    exported = export_bundle(run, out, version=version, status=status, selection=selection, order=order)
    if json_out is not None:
        write_atomically(json_out, (json.dumps(as_json(exported), indent=2) + "\n").encode())
    _say(exported)


def _say(exported: Exported) -> None:
    typer.echo(
        f"{exported.folder}: {exported.size / 1e6:.1f} MB, decisions unchanged at "
        f"{', '.join(exported.precisions)}"
    )
    for one in exported.judgements:
        typer.echo(one.sentence)
    if exported.report is not None:
        print_report(exported.report)
