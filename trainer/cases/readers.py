"""The readers by kind, and the command line's ``KIND:PATH``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from trainer.cases import (
    chexpert,
    covid_chestxray,
    covid_ct,
    covid_ctset,
    covid_ctset_folds,
    ct_cov19,
    dicom,
    dicom_labelled,
    folder,
    kaggle_pneumonia,
    sars_cov2_ct,
)
from trainer.cases.case import Case
from trainer.cases.splits import grouped_split
from trainer.errors import DataError, LayoutError

Reader = Callable[[Path], list[Case]]


def _ctset_fold(number: int, root: Path, as_listed: bool = False) -> list[Case]:
    return covid_ctset_folds.read_fold(covid_ctset.read(root), root, number, as_listed=as_listed)


def _ctset_notes(root: Path, cases: Sequence[Case]) -> list[str]:
    remarks = covid_ctset.notes(root, cases)
    if {case.split for case in cases} == {"all"} or covid_ctset_folds.has_lists(root):
        return remarks
    made = (
        "the published lists train1.csv and so on are not there: this fold was made by patients, of the size "
    )
    return [*remarks, made + "that the paper's table 2 gives"]


def _chestxray_split(root: Path) -> list[Case]:
    return grouped_split(covid_chestxray.read(root), CHESTXRAY_TEST_SHARE, "test", seed=0)


CHESTXRAY_TEST_SHARE: Final = 0.3
"""Deep-CT-Net and Deep-CXR-Net (Scientific Reports 2022, s41598-022-06802-7), section 3.2."""
FOLDS: Final = range(1, covid_ctset_folds.FOLDS + 1)

READERS: Final[Mapping[str, Reader]] = MappingProxyType(
    {
        "folder": folder.read,
        "sars-cov2-ct": sars_cov2_ct.read,
        "covid-ct": covid_ct.read,
        "covid-ctset": covid_ctset.read,
        **{f"covid-ctset-fold{number}": partial(_ctset_fold, number) for number in FOLDS},
        **{
            f"covid-ctset-fold{number}-as-listed": partial(_ctset_fold, number, as_listed=True)
            for number in FOLDS
        },
        "ct-cov19": ct_cov19.read,
        "covid-chestxray": covid_chestxray.read,
        "covid-chestxray-70-30": _chestxray_split,
        "chexpert": chexpert.read,
        "chexpert-zeros": partial(chexpert.read, policy=chexpert.Uncertain.ZEROS),
        "chexpert-ones": partial(chexpert.read, policy=chexpert.Uncertain.ONES),
        "kaggle-pneumonia": kaggle_pneumonia.read,
        "dicom-labelled": dicom_labelled.read,
        "dicom": dicom.read,
    }
)
"""Kind -> its reader. Several kinds may read one source (`Case.source`) in different ways."""

NOTES: Final[Mapping[str, Callable[[Path, Sequence[Case]], list[str]]]] = MappingProxyType(
    {
        "covid-ct": covid_ct.notes,
        "covid-ctset": _ctset_notes,
        "ct-cov19": ct_cov19.notes,
        "covid-chestxray": covid_chestxray.notes,
        "chexpert": chexpert.notes,
        "kaggle-pneumonia": kaggle_pneumonia.notes,
        "dicom-labelled": dicom_labelled.notes,
    }
)
"""Source -> what is particular to it and spoils figures."""


def split_argument(argument: str) -> tuple[str, Path]:
    """Split ``KIND:PATH``.

    Raises
    ------
    DataError
        No colon, or an unknown kind.
    """
    kind, colon, path = argument.partition(":")
    if not colon or not path or kind not in READERS:
        raise DataError(f"{argument!r} is not KIND:PATH; KIND is one of {', '.join(sorted(READERS))}")
    return kind, Path(path)


def read_cases(argument: str) -> list[Case]:
    """Read the data set that ``KIND:PATH`` names.

    Raises
    ------
    DataError
        And its subclasses, with what to do.
    """
    kind, path = split_argument(argument)
    try:
        if not path.exists():
            raise LayoutError(f"{path} does not exist")
        return READERS[kind](path)
    except OSError as error:  # no right to read a folder, a disk that fails or is taken away meanwhile
        raise LayoutError(
            f"{path} cannot be read ({error}); see that the whole folder is there and may be read"
        ) from error


def notes_on(argument: str, cases: Sequence[Case]) -> list[str]:
    """Return what is particular to a data set that was read, as sentences without full stop.

    Raises
    ------
    DataError
    """
    _, path = split_argument(argument)
    notes = NOTES.get(cases[0].source)
    return [] if notes is None else notes(path, cases)


def held_out(cases: list[Case]) -> list[Case]:
    """Return the cases outside the training part; all of them where no split is published."""
    return [case for case in cases if case.split != "train"]


def training_part(cases: list[Case]) -> list[Case]:
    """Return the training part; all cases where no split is published.

    Raises
    ------
    DataError
        The set has a split without a training part, or is made of DICOM slices without labels.
    """
    if any(case.source == "dicom" for case in cases):
        raise DataError(
            "DICOM slices are never trained on: nearly all public ones are negative, and a network would "
            "learn that DICOM means healthy. With labels of your own: dicom-labelled"
        )
    chosen = [case for case in cases if case.split in ("train", "all")]
    if not chosen:
        raise DataError("the data set holds no training part; give its top folder, not one part of its split")
    return chosen
