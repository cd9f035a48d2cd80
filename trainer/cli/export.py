"""``export``: write a bundle that the node serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trainer.cli.evaluate import print_report
from trainer.cli.options import text_of
from trainer.export.bundle import as_json, export_bundle
from trainer.fit.checkpoint import write_atomically


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
    text = text_of(notes) if notes is not None else ""
    exported = export_bundle(run, out, version=version, status=status, on=on or [], notes=text)
    if json_out is not None:
        write_atomically(json_out, (json.dumps(as_json(exported), indent=2) + "\n").encode())
    typer.echo(
        f"{exported.folder}: {exported.size / 1e6:.1f} MB, decisions unchanged at "
        f"{', '.join(exported.precisions)}"
    )
    if exported.report is not None:
        print_report(exported.report)
