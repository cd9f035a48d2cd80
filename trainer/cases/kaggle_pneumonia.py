"""``kaggle-pneumonia``: children's chest radiographs, Kermany et al. 2018, as Mooney put them on Kaggle.

``chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg``. Archives may hold the folder twice, one in the
other, and a folder ``__MACOSX``; only the outermost with all parts is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trainer.cases.case import Case
from trainer.cases.class_folders import PICTURE_SUFFIXES, SPLITS
from trainer.errors import EmptyClass, LayoutError

KIND: Final = "kaggle-pneumonia"
TOP: Final = "chest_xray"
CLASSES: Final = (("NORMAL", False), ("PNEUMONIA", True))
PERSON: Final = re.compile(r"(?P<person>person\d+)_(?P<germ>bacteria|virus)_\d+")
NUMBERED: Final = re.compile(r"(?P<patient>(?:(?:NORMAL2-)?IM|BACTERIA|VIRUS|NORMAL)-\d+)-\d+(?:-\d+)?")


def patient_of(file: Path) -> tuple[str, str | None]:
    """Return the patient that a file name tells, and the germ of a pneumonia where it is told.

    ``person1_bacteria_2`` and ``person1_virus_6`` are two patients.
    """
    if found := PERSON.match(file.stem):
        return f"{found['germ']}/{found['person']}", found["germ"]
    if found := NUMBERED.fullmatch(file.stem):
        return found["patient"], None
    return file.stem, None


def read(root: Path) -> list[Case]:
    """Read all parts.

    Raises
    ------
    LayoutError
        There is no part with both classes.
    EmptyClass
        A class of a part holds no picture.
    """
    top = next((place for place in (root, root / TOP, root / TOP / TOP) if _is_top(place)), None)
    if top is None:
        raise LayoutError(f"{root} holds no {TOP}/train with the folders NORMAL and PNEUMONIA")
    cases: list[Case] = []
    for split in SPLITS:
        for label, positive in CLASSES:
            folder = top / split / label
            if not (top / split).is_dir():
                continue
            files = sorted(folder.iterdir()) if folder.is_dir() else []
            found = [_case(file, split, label, positive) for file in files if _is_picture(file)]
            if not found:
                raise EmptyClass(f"{folder} holds no picture; the download may be incomplete")
            cases += found
    return cases


def _is_top(place: Path) -> bool:
    return all((place / "train" / label).is_dir() for label, _ in CLASSES)


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith("._")


def _case(file: Path, split: str, label: str, positive: bool) -> Case:
    patient, germ = patient_of(file)
    return Case(
        image=file,
        positive=positive,
        source=KIND,
        split=split,
        group=f"{split}/{label}/{patient}",
        patient=patient,
        label=label if germ is None else f"{label}/{germ}",
    )


def notes(root: Path, cases: Sequence[Case]) -> list[str]:
    """Return what the published parts do not say."""
    small = sum(case.split == "val" for case in cases)
    return [
        f"the part val of {root.name} has {small} images: too few to choose a model by",
        "numbers of patients begin anew in each part, so whether a patient stands in two parts is not known",
    ]
