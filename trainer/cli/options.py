"""What several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import torch
import typer

from trainer.cases.readers import READERS
from trainer.errors import DataError

Data = Annotated[str, typer.Argument(help=f"KIND:PATH; KIND is one of {', '.join(READERS)}.")]
On = Annotated[
    list[str], typer.Option("--on", help="KIND:PATH; may be given several times. dicom: source probe only.")
]
Threads = Annotated[
    int, typer.Option(min=0, help="Threads of the arithmetic; 0: as many as there are cores.")
]


def use_threads(threads: int) -> None:
    """Bound the threads of the arithmetic; 0 leaves them as they are."""
    cv2.setNumThreads(1)
    if threads:
        torch.set_num_threads(threads)


def text_of(file: Path) -> str:
    """Read a text file that the user named.

    Raises
    ------
    DataError
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as text: {error}") from error
