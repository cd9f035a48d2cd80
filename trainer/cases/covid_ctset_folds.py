"""The five folds of COVID-CTset: the published ones, or folds of the same make grouped by patient.

Rahimzadeh et al. 2021, table 2: the patients with COVID-19 are divided among five validation parts; of the
others so many are learnt from that their images are about as many, and all the rest validate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from trainer.cases.case import Case
from trainer.cases.covid_ctset import places_of_tables
from trainer.cases.listings import plain_name, read_table
from trainer.errors import EmptyClass, LayoutError

FOLDS: Final = 5
VALIDATION_PATIENTS: Final = (18, 23, 18, 14, 22)
"""Patients with COVID-19 in the validation part of each fold; 95 in all."""
NORMAL_IMAGES: Final = (1916 / 1820, 1898 / 1817, 1893 / 1836, 1920 / 1823, 1921 / 1832)
"""Normal images for each COVID-19 image in the training part of each fold."""
PARTS: Final = (("train", "train"), ("validation", "val"), ("test", "test"))
"""Name of a fold's list and of the part that it makes. An image in several belongs to the last one: nothing
that is judged by was learnt from."""


def read_fold(
    cases: Sequence[Case], root: Path, number: int, seed: int = 0, *, as_listed: bool = False
) -> list[Case]:
    """Return the cases of one fold with their parts: by the published lists, else by `made_folds`.

    Parameters
    ----------
    cases : sequence of Case
        Of `trainer.cases.covid_ctset.read`.
    root : Path
        The lists lie here, in ``CSV`` below or beside, or in the folder above.
    number : int
        From 1 to 5.
    seed : int
        Of the folds that are made.
    as_listed : bool
        Take published lists even where they put a patient on both sides.

    Raises
    ------
    LayoutError
        A list is malformed, or names an image that is not there, or another class than the image's group; or
        a patient is learnt from and judged by.
    EmptyClass
        There are too few patients to make folds of.
    """
    place = next((one for one in places_of_tables(root) if (one / f"train{number}.csv").is_file()), None)
    if place is None:
        return made_folds(cases, seed)[number - 1]
    fold = _published(cases, place, number)
    if not as_listed:
        _require_apart(fold, place / f"train{number}.csv", number)
    return fold


def has_lists(root: Path) -> bool:
    """Return whether the published folds are there."""
    return any((place / "train1.csv").is_file() for place in places_of_tables(root))


def _published(cases: Sequence[Case], place: Path, number: int) -> list[Case]:
    by_name = {case.image.name: case for case in cases}
    part_of: dict[str, str] = {}
    for name, part in PARTS:
        file = place / f"{name}{number}.csv"
        if name == "validation" and not file.is_file():
            continue
        missing = []
        for row in read_table(file, {"filename", "class"}):
            image = plain_name(row["filename"], file)
            case = by_name.get(image)
            if case is None:
                missing.append(image)
            elif (row["class"].lower() == "covid") is not case.positive:
                raise LayoutError(
                    f"{file} gives {image} the class {row['class']!r}; its name says another one"
                )
            else:
                part_of[image] = part
        if missing:
            raise LayoutError(
                f"{len(missing)} images that {file} lists are missing, the first {missing[0]}; "
                "fetch the whole flat training set"
            )
    return [replace(case, split=part_of[name]) for name, case in by_name.items() if name in part_of]


def _require_apart(fold: Sequence[Case], file: Path, number: int) -> None:
    learnt = {case.group for case in fold if case.split == "train"}
    judged = {case.group for case in fold if case.split != "train"}
    if both := sorted(learnt & judged):
        raise LayoutError(
            f"{file} puts {len(both)} patients, the first {both[0]}, into the training part, and other "
            "images of theirs are judged by: the network would know them. Mend the lists, take them away to "
            f"have folds made by patients, or take them as they are: covid-ctset-fold{number}-as-listed, or "
            "crossval --as-listed"
        )


def made_folds(cases: Sequence[Case], seed: int) -> list[list[Case]]:
    """Divide patients as in table 2, by chance: every patient stands on one side of each fold.

    Parameters
    ----------
    cases : sequence of Case
    seed : int

    Returns
    -------
    list of list of Case
        One list a fold, all cases in parts ``train`` and ``test``. Patients with COVID-19 are tested once.

    Raises
    ------
    EmptyClass
        Fewer than five patients with COVID-19, or fewer than two others.
    """
    rng = np.random.default_rng([seed, FOLDS])
    positive, negative = (
        sorted({case.group for case in cases if case.positive is flag}) for flag in (True, False)
    )
    if len(positive) < FOLDS or len(negative) < 2:
        raise EmptyClass(
            f"{len(positive)} patients with COVID-19 and {len(negative)} without do not make {FOLDS} folds"
        )
    bounds = np.cumsum(VALIDATION_PATIENTS) / sum(VALIDATION_PATIENTS) * len(positive)
    cuts = np.maximum(np.rint(bounds).astype(int), np.arange(1, FOLDS + 1))
    cuts = np.minimum(cuts, len(positive) - np.arange(FOLDS - 1, -1, -1))
    tested = np.split(rng.permutation(positive), cuts[:-1])
    images = dict.fromkeys((*positive, *negative), 0)
    for case in cases:
        images[case.group] += 1
    folds = []
    for held, share in zip(tested, NORMAL_IMAGES, strict=True):
        learnt = set(positive) - set(held.tolist())
        wanted = share * sum(images[group] for group in learnt)
        learnt |= _enough(rng.permutation(negative).tolist(), images, wanted)
        folds.append([replace(case, split="train" if case.group in learnt else "test") for case in cases])
    return folds


def _enough(groups: list[str], images: dict[str, int], wanted: float) -> set[str]:
    """Return the first groups that hold the wanted number of images; one group is always left."""
    chosen: set[str] = set()
    held = 0
    for group in groups[:-1]:
        if held >= wanted:
            break
        chosen.add(group)
        held += images[group]
    return chosen
