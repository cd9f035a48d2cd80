"""The numbers that the two papers print, read from the package's CSV files.

``ctset_*`` are of Rahimzadeh et al. 2021, numbered as in its preprint of 2 July 2020 (``ctset_table4_readme``
is of the README of the authors' code); ``deep_ct_net_*`` are of Deep-CT-Net and Deep-CXR-Net (Scientific
Reports 2022, s41598-022-06802-7). An empty cell is one that is not printed.
"""

from __future__ import annotations

import csv
import math
from dataclasses import MISSING, dataclass, fields
from importlib.resources import files
from types import NoneType
from typing import Any, Final, TypeVar, get_args, get_type_hints

from trainer.errors import TableError

PLACE: Final = files("trainer.tables") / "papers"

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class FoldSizes:
    """Rahimzadeh et al. 2021, table 2: what a fold learns from and what it is judged by."""

    fold: int
    train_covid_patients: int
    train_covid_images: int
    train_normal_patients: int
    train_normal_images: int
    validation_covid_patients: int
    validation_covid_images: int
    validation_normal_patients: int
    validation_normal_images: int


@dataclass(frozen=True, kw_only=True)
class PatientRow:
    """Rahimzadeh et al. 2021, table 4: the answers for whole patients; numbers of patients.

    The paper heads ``normal_called_covid`` "COVID Wrong Identified" and ``covid_called_normal`` "Normal Wrong
    Identified": only so do its rows add up to its table 2.
    """

    net: str
    """Name in the catalogue of networks."""
    correct: float
    wrong: float
    covid_correct: float
    normal_called_covid: float
    normal_correct: float
    covid_called_normal: float
    fold: int | None = None
    """None: the mean over folds."""


@dataclass(frozen=True, kw_only=True)
class SecondsRow:
    """Rahimzadeh et al. 2021, table 5: one patient through the whole chain."""

    slices: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """Rahimzadeh et al. 2021, table 6: single images, by equations 1 to 5; None where a class is empty."""

    net: str
    """Name in the catalogue of networks."""
    correct: float
    wrong: float
    covid_tp: float
    covid_fn: float
    covid_fp: float
    normal_tp: float
    normal_fn: float
    normal_fp: float
    accuracy: float | None
    covid_accuracy: float | None
    normal_accuracy: float | None
    covid_sensitivity: float | None
    normal_sensitivity: float | None
    covid_specificity: float | None
    normal_specificity: float | None
    covid_precision: float | None
    normal_precision: float | None
    fold: int | None = None
    """None: the mean over folds."""


@dataclass(frozen=True, kw_only=True)
class PartRow:
    """Deep-CT-Net, table 2: images of one part of CT-COV19."""

    part: str
    covid: int
    other_pneumonia: int
    normal: int
    total: int


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """Deep-CT-Net, tables 3 to 6: one method on one test set; None where nothing is printed."""

    method: str
    precision: float | None
    recall: float | None
    f_measure: float | None
    auc: float | None
    accuracy: float | None


def paper_rows(kind: type[Row], name: str) -> tuple[Row, ...]:
    """Read one table.

    Parameters
    ----------
    kind : type
        One of the records of this module; the header must be its fields, ``fold`` may be missing.
    name : str
        Of the file, without suffix.

    Raises
    ------
    TableError
        The installed file is missing or was altered.
    """
    try:
        text = (PLACE / f"{name}.csv").read_text(encoding="utf-8")
        return rows_from(kind, text)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise TableError(f"the table {name} of the package is damaged ({error}); install it again") from error


def rows_from(kind: type[Row], text: str) -> tuple[Row, ...]:
    """Read a table's text.

    Raises
    ------
    ValueError
        A column is missing, unknown or twice there, or a cell is not of its kind.
    """
    lines = list(csv.reader(text.splitlines(), strict=True))
    header = lines[0] if lines else []
    types = get_type_hints(kind)
    known = fields(kind)  # type: ignore[arg-type]  # every kind is a dataclass
    needed = {field.name for field in known if field.default is MISSING}
    if not needed <= set(header) <= {field.name for field in known} or len(set(header)) != len(header):
        raise ValueError(f"its columns are {header}")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header):
            raise ValueError(f"line {number} has {len(line)} cells, not {len(header)}")
        cells = {name: _cell(cell, types[name]) for name, cell in zip(header, line, strict=True)}
        rows.append(kind(**cells))
    return tuple(rows)


def _cell(text: str, kind: Any) -> str | int | float | None:
    kinds = set(get_args(kind) or (kind,))
    if not text and NoneType in kinds:
        return None
    if str in kinds and text:
        return text
    if int in kinds and text.isascii() and text.isdigit():
        return int(text)
    if float in kinds and math.isfinite(value := float(text)) and value >= 0:
        return value
    raise ValueError(f"the cell {text!r} is out of place")
