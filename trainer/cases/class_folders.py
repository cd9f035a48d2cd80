"""What the picture data sets have in common: one folder a class, perhaps under one folder a split."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from trainer.cases.case import Case
from trainer.errors import EmptyClass, LayoutError

CLASS_OF_FOLDER: Final = {"covid": True, "noncovid": False, "normal": False}
"""Folder name in lower case without punctuation -> positive."""
SPLITS: Final = ("train", "val", "test")
PICTURE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})

GroupOf = Callable[[Path, bool], str]


def class_of(folder: Path) -> bool | None:
    """Return whether a folder's name is the positive class, the negative one, or neither (None)."""
    return CLASS_OF_FOLDER.get(re.sub(r"[^a-z]", "", folder.name.lower()))


def read_class_folders(root: Path, source: str, group_of: GroupOf) -> list[Case]:
    """Read ``root/CLASS/*`` or ``root/{train,val,test}/CLASS/*``.

    Parameters
    ----------
    root : Path
    source : str
        Kind of the data set.
    group_of : callable (file, positive) -> str
        The nearest thing to a patient.

    Returns
    -------
    list of Case
        In order of split, class and file name.

    Raises
    ------
    LayoutError
        The folder is missing or holds no class folders.
    EmptyClass
        A class of a split holds no picture.
    """
    if not root.is_dir():
        raise LayoutError(f"{root} is not a folder; give the data set's top folder after the colon")
    parts = [(name, root / name) for name in SPLITS if (root / name).is_dir()] or [("all", root)]
    cases: list[Case] = []
    for split, part in parts:
        classes = {
            folder: positive
            for folder in sorted(part.iterdir())
            if folder.is_dir() and (positive := class_of(folder)) is not None
        }
        if set(classes.values()) != {True, False}:
            raise LayoutError(
                f"{part} needs a folder COVID and a folder NonCOVID (or non-COVID), each with pictures"
            )
        for folder, positive in classes.items():
            found = [
                Case(
                    image=file, positive=positive, source=source, split=split, group=group_of(file, positive)
                )
                for file in _pictures(folder)
            ]
            if not found:
                raise EmptyClass(f"{folder} holds no picture ({', '.join(sorted(PICTURE_SUFFIXES))})")
            cases += found
    return cases


def _pictures(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.iterdir()) if file.suffix.lower() in PICTURE_SUFFIXES)
