"""``covid-ct``: COVID-CT, Zhao et al. 2020, with its official split; pictures cut from papers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from trainer.cases.case import Case
from trainer.cases.class_folders import SPLITS, read_class_folders
from trainer.cases.listings import plain_name, read_list, require_files
from trainer.errors import EmptyClass, LayoutError

KIND: Final = "covid-ct"
LISTS: Final = ("Data-split", "old_split", "Data-split/old_split")
"""Where the official lists lie, in order of preference."""
IMAGES: Final = "Images-processed"
CLASSES: Final = (("COVID", True), ("NonCOVID", False))


def origin_of(file: Path, positive: bool) -> str:
    """Return the paper (COVID: the name up to ``-p<page>``) or the leading number (NonCOVID) of a picture."""
    name = re.split(r"-p\d+", file.stem)[0] if positive else re.split(r"[%_]", file.stem)[0]
    return f"{'COVID' if positive else 'NonCOVID'}/{name}"


def read(root: Path) -> list[Case]:
    """Read the data set as it is published, or class folders.

    As published: ``Images-processed/CT_{COVID,NonCOVID}/*`` with the lists
    ``Data-split/{COVID,NonCOVID}/{train,val,test}CT_{COVID,NonCOVID}.txt``. Else
    ``{train,val,test}/{COVID,NonCOVID}/*.png`` (the official split), or bare class folders.

    Raises
    ------
    LayoutError
        Neither layout; or a list or a listed picture is missing, or a list names something else than a file.
    EmptyClass
    """
    lists = _lists(root)
    if lists is None:
        return read_class_folders(root, KIND, origin_of)
    cases: list[Case] = []
    for split in SPLITS:
        for label, positive in CLASSES:
            file = lists / label / f"{split}CT_{label}.txt"
            folder = root / IMAGES / f"CT_{label}"
            images = [folder / plain_name(name, file) for name in dict.fromkeys(read_list(file))]
            require_files(images, file)
            if not images:
                raise EmptyClass(f"{file} lists no picture")
            cases += [
                Case(
                    image=image,
                    positive=positive,
                    source=KIND,
                    split=split,
                    group=origin_of(image, positive),
                    label=label,
                )
                for image in images
            ]
    return cases


def _lists(root: Path) -> Path | None:
    found = next((root / name for name in LISTS if (root / name / "COVID").is_dir()), None)
    if found is not None and not (root / IMAGES).is_dir():
        raise LayoutError(f"{root} holds lists but no folder {IMAGES}; unpack the pictures there")
    return found


def notes(root: Path, cases: Sequence[Case]) -> list[str]:
    """Return which lists name a picture twice; each counts once."""
    lists = _lists(root)
    return [] if lists is None or not cases else list(_repeated(lists))


def _repeated(lists: Path) -> Iterator[str]:
    for split in SPLITS:
        for label, _ in CLASSES:
            file = lists / label / f"{split}CT_{label}.txt"
            names = read_list(file)
            if twice := sorted(name for name, count in Counter(names).items() if count > 1):
                yield (
                    f"{file.name} has {len(names)} lines and {len(set(names))} pictures; {twice[0]} "
                    "stands there more than once and counts once"
                )
