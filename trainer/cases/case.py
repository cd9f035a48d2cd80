"""One labelled image, whatever data set it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Case:
    """One labelled image."""

    image: Path
    """The file."""
    positive: bool
    """Whether its label is COVID-19."""
    source: str
    """Kind of data set it comes from."""
    split: str
    """Part of the published split: ``train``, ``val``, ``test``, or ``all`` where none is published."""
    group: str
    """The patient, or the nearest thing to one that the data set lets us know; sorts in the set's own
    order."""
    series: str | None = None
    """Series of a DICOM slice, else None."""


GROUPED_BY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sars-cov2-ct": "blocks of ten consecutive numbers of a class (no patient is named; about ten "
        "consecutive numbers show one)",
        "covid-ct": "paper a picture was cut from (COVID) or leading number of its file name (NonCOVID)",
        "folder": "single images (nothing is known of patients)",
        "dicom": "series",
    }
)
"""Kind -> what ``Case.group`` stands for, in words."""
