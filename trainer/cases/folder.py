"""``folder``: any pictures in one folder a class."""

from __future__ import annotations

from pathlib import Path

from trainer.cases.case import Case
from trainer.cases.class_folders import read_class_folders


def read(root: Path) -> list[Case]:
    """Read class folders of which nothing else is known; every picture is its own group.

    Raises
    ------
    LayoutError, EmptyClass
    """
    return read_class_folders(root, "folder", lambda file, positive: f"{int(positive)}/{file.name}")
