"""``import-keras``: take over a published network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer.imports.importing import import_keras


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
