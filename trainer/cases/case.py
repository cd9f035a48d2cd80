"""One labelled image, whatever data set it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """Whether it shows what its data set is about: COVID-19, or pneumonia in the sets of radiographs from
    before 2020 (`ABOUT`)."""
    source: str
    """Kind of data set it comes from."""
    split: str
    """Part of the published split: ``train``, ``val``, ``test``, or ``all`` where none is published."""
    group: str
    """The patient, or the nearest thing to one that the data set lets us know; sorts in the set's own
    order."""
    series: str | None = None
    """Series of a slice, None where the set does not know of series."""
    patient: str | None = None
    """The patient as the set names them, or a number in place of an identity; None where it is unknown."""
    label: str | None = None
    """Class in the set's own words."""
    findings: tuple[tuple[str, float], ...] = ()
    """Finding and its value, 0 or 1, where a set labels several; findings whose value is not known are
    absent."""
    kernel: str | None = None
    """ConvolutionKernel (0018,1210)."""
    thickness: float | None = None
    """SliceThickness (0018,0050), mm."""
    vendor: str | None = None
    """Manufacturer (0008,0070)."""
    sex: str | None = None
    """PatientSex (0010,0040)."""
    age: float | None = None
    """Years."""
    truth_known: bool = True
    """Whether ``positive`` is known. Where not it is False, and what fits or judges two classes leaves the
    image out."""
    whole_series: bool = False
    """The image's series is there from end to end: slices with open lungs are not selected yet."""


GROUPED_BY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sars-cov2-ct": "blocks of ten consecutive numbers of a class (no patient is named; about ten "
        "consecutive numbers show one)",
        "covid-ct": "paper a picture was cut from (COVID) or leading number of its file name (NonCOVID)",
        "folder": "single images (nothing is known of patients)",
        "dicom": "series",
        "dicom-labelled": "patients (PatientID with its issuer)",
        "covid-ctset": "patients",
        "ct-cov19": "subject folders (some hold many subjects: see the warnings)",
        "covid-chestxray": "patients",
        "chexpert": "patients",
        "kaggle-pneumonia": "patients as far as file names tell (numbers begin anew in each part and kind)",
    }
)
"""Source -> what ``Case.group`` stands for, in words."""

ABOUT: Final[Mapping[str, str]] = MappingProxyType({"chexpert": "pneumonia", "kaggle-pneumonia": "pneumonia"})
"""Source -> what a positive case shows, where that is not COVID-19."""


def with_known_truth(cases: Iterable[Case]) -> list[Case]:
    """Return the cases of which it is known whether they are positive."""
    return [case for case in cases if case.truth_known]
