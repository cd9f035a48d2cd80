"""The readers by kind, and the command line's ``KIND:PATH``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from trainer.cases import covid_ct, dicom, folder, sars_cov2_ct
from trainer.cases.case import Case
from trainer.errors import DataError, LayoutError

READERS: Final[Mapping[str, Callable[[Path], list[Case]]]] = MappingProxyType(
    {
        "folder": folder.read,
        "sars-cov2-ct": sars_cov2_ct.read,
        "covid-ct": covid_ct.read,
        "dicom": dicom.read,
    }
)


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
    if not path.exists():
        raise LayoutError(f"{path} does not exist")
    return READERS[kind](path)


def held_out(cases: list[Case]) -> list[Case]:
    """Return the cases outside the training part; all of them where no split is published."""
    return [case for case in cases if case.split != "train"]


def training_part(cases: list[Case]) -> list[Case]:
    """Return the training part; all cases where no split is published.

    Raises
    ------
    DataError
        The set has a split without a training part, or is made of DICOM slices.
    """
    if any(case.source == "dicom" for case in cases):
        raise DataError(
            "DICOM slices are never trained on: nearly all public ones are negative, and a network would "
            "learn that DICOM means healthy"
        )
    chosen = [case for case in cases if case.split in ("train", "all")]
    if not chosen:
        raise DataError("the data set holds no training part; give its top folder, not one part of its split")
    return chosen
