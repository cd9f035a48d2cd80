"""``ct-cov19``: the images of the Deep-CT-Net paper, ``{Train,Val,Test}/CLASS/SUBJECT/FILE``.

Classes are COV, Normal and one more of other pneumonias whatever its name. A subject's number comes back in
other parts, and folders such as ``malek_4`` or ``2020_4_23`` hold many subjects: no split of this set is
known to be one by patients.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trainer.cases.case import Case
from trainer.cases.class_folders import PICTURE_SUFFIXES
from trainer.cases.listings import require_both
from trainer.errors import EmptyClass, LayoutError

KIND: Final = "ct-cov19"
SPLITS: Final = {"train": "train", "val": "val", "test": "test"}
COVID, NORMAL, OTHER = "COV", "Normal", "other"
MOST_OF_ONE_SUBJECT: Final = 600
"""Images; a series of thin slices has not many more."""


def read(root: Path) -> list[Case]:
    """Read all pictures of all parts.

    Raises
    ------
    LayoutError
        Not this layout: no part, a part without COV or Normal, more than one further class, or a picture that
        lies in no subject's folder.
    EmptyClass
        A class of a part holds no picture.
    """
    parts = _folders(root) if root.is_dir() else {}
    if not set(parts) & set(SPLITS):
        raise LayoutError(f"{root} holds none of the folders Train, Val and Test of CT-COV19")
    cases: list[Case] = []
    for name, split in SPLITS.items():
        if name in parts:
            for label, folder in _classes(parts[name]).items():
                cases += _read_class(folder, label, split)
    require_both({case.positive for case in cases}, root, (COVID, NORMAL))
    return cases


def _folders(folder: Path) -> dict[str, Path]:
    return {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}


def _classes(part: Path) -> dict[str, Path]:
    folders = _folders(part)
    labels = {COVID: folders.pop("cov", None), NORMAL: folders.pop("normal", None)}
    if missing := [label for label, folder in labels.items() if folder is None]:
        raise LayoutError(f"{part} lacks the folder {' and '.join(missing)}")
    if len(folders) > 1:
        raise LayoutError(
            f"{part} holds the folders {', '.join(sorted(folders))} beside COV and Normal; "
            "one, for other pneumonias, is known of"
        )
    return {label: folder for label, folder in labels.items() if folder} | dict.fromkeys(
        [OTHER] * len(folders), next(iter(folders.values()), part)
    )


def _read_class(folder: Path, label: str, split: str) -> list[Case]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    if not files:
        raise EmptyClass(f"{folder} holds no picture ({', '.join(sorted(PICTURE_SUFFIXES))})")
    cases = []
    for file in files:
        inside = file.relative_to(folder).parts
        if len(inside) != 2:
            raise LayoutError(f"{file} does not lie in a subject's folder: wanted is CLASS/SUBJECT/FILE")
        group = f"{label}/{inside[0]}"
        cases.append(
            Case(image=file, positive=label == COVID, source=KIND, split=split, group=group, label=label)
        )
    return cases


def notes(root: Path, cases: Sequence[Case]) -> list[str]:
    """Return which subject folders hold more than one subject."""
    images = Counter(case.group for case in cases)
    many = sorted(
        group
        for group, count in images.items()
        if count > MOST_OF_ONE_SUBJECT or not re.fullmatch(r"\d+", group.partition("/")[2])
    )
    if not many:
        return []
    remark = (
        f"{len(many)} subject folders hold many subjects, the first {many[0]}: patients cannot be told apart "
        f"there, so no split of {root.name} is one by patients"
    )
    return [remark]
