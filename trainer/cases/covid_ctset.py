"""``covid-ctset``: COVID-CTset, Rahimzadeh et al. 2021; 16-bit TIFF slices of 377 patients.

Two layouts: the raw tree ``GROUP/patientN/SR_k/IMnnnnn.tif``, whole series, and the flat training set
``GROUP_patientN_SR_k_IMnnnnn.tif`` of chosen slices with a folder ``CSV`` of five folds. The class stands in
the name of the group alone; a folder further up may be called anything.

SR_2, SR_3 and SR_4 are series 2, 3 and 4 of a study, reconstructed with different kernels and thicknesses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from trainer.cases.case import Case
from trainer.cases.listings import number_of, read_table, require_both
from trainer.errors import LayoutError

KIND: Final = "covid-ctset"
IMAGE: Final = re.compile(
    r"(?:.*/)?(?P<group>[A-Za-z0-9]+)(?P<between>[/_])(?P<patient>patient\d{1,6})[/_](?P<series>SR_[234])"
    r"[/_]IM\d{1,8}\.tiff?",
    re.IGNORECASE,
)
GROUP: Final = re.compile(r"(?:\d*(?P<covid>covid)\d*|(?:cd|cdun)?normal(?:cd)?\d*)", re.IGNORECASE)
"""As ``137covid``, ``covid1``, ``normal1``, ``normalcd3``, ``cdnormal4``, ``cdunnormal``."""
TIFF: Final = frozenset({".tif", ".tiff"})
HIGHEST_COVID_NUMBER: Final = 145
"""Patients up to this number have COVID-19, those behind have not: the number is the class."""


@dataclass(frozen=True, kw_only=True)
class Details:
    """What the set's tables tell of a patient's series."""

    kernel: Mapping[str, str]
    """Series folder -> ConvolutionKernel."""
    thickness: Mapping[str, float]
    """Series folder -> SliceThickness, mm."""
    vendor: Mapping[str, str]
    """Series folder -> Manufacturer."""
    sex: str | None = None
    age: float | None = None


NOTHING_KNOWN: Final = Details(kernel={}, thickness={}, vendor={})


def read(root: Path) -> list[Case]:
    """Read every slice below a folder, in the part ``all``; `trainer.cases.covid_ctset_folds` divides them.

    Kernel, thickness, age and sex come from ``Patients_metadata.csv`` and ``Patient_details.csv`` beside the
    images, in the folder ``CSV`` or in the folder above, where these are there.

    Raises
    ------
    LayoutError
        There is no image in either layout, both layouts are there, a group's name gives no class, or a
        patient is of both classes.
    EmptyClass
        One class has no image.
    """
    if not root.is_dir():
        raise LayoutError(f"{root} is not a folder; give the folder of the raw tree or of the flat images")
    details = patient_details(root)
    cases = []
    trees = set()
    for file in sorted(path for path in root.rglob("*") if path.suffix.lower() in TIFF):
        found = IMAGE.fullmatch(file.relative_to(root).as_posix())
        if found is None:
            continue
        trees.add(whole := found["between"] == "/" or file.parent.name.upper() == found["series"].upper())
        patient, series = found["patient"].lower(), found["series"].upper()
        known = details.get(patient, NOTHING_KNOWN)
        case = Case(
            image=file,
            positive=_is_covid(found["group"], file),
            source=KIND,
            split="all",
            group=f"patient{int(patient.removeprefix('patient')):06d}",
            series=f"{patient}/{series}",
            patient=patient,
            label=found["group"],
            kernel=known.kernel.get(series),
            thickness=known.thickness.get(series),
            vendor=known.vendor.get(series),
            sex=known.sex,
            age=known.age,
            whole_series=whole,
        )
        cases.append(case)
    if len(trees) > 1:
        raise LayoutError(
            f"{root} holds raw folders and the flat training set, so images would count twice; "
            "give the folder of one of them"
        )
    if not cases:
        raise LayoutError(
            f"{root} holds no image GROUP/patientN/SR_k/IMnnnnn.tif nor GROUP_patientN_SR_k_IMnnnnn.tif"
        )
    _require_one_class(cases)
    require_both({case.positive for case in cases}, root, ("covid", "normal"))
    return cases


def _is_covid(group: str, file: Path) -> bool:
    found = GROUP.fullmatch(group)
    if found is None:
        raise LayoutError(
            f"{file}: the group {group!r} gives no class; wanted is covid or normal with numbers, "
            "as in 137covid or cdnormal4"
        )
    return found["covid"] is not None


def _require_one_class(cases: Sequence[Case]) -> None:
    both = {case.group for case in cases if case.positive} & {
        case.group for case in cases if not case.positive
    }
    if both:
        raise LayoutError(
            f"{len(both)} patients stand in both classes, the first {min(both)}; check the folders"
        )


def places_of_tables(root: Path) -> tuple[Path, ...]:
    """Return the folders where tables may lie, the nearest first."""
    return (root, root / "CSV", root.parent, root.parent / "CSV")


def patient_details(root: Path) -> dict[str, Details]:
    """Read the set's two tables of patients, as far as they are there.

    Returns
    -------
    dict
        ``patientN`` -> what is known.

    Raises
    ------
    LayoutError
        A table is there and malformed.
    """
    known: dict[str, Details] = {}
    if (file := _table(root, "Patients_metadata.csv")) is not None:
        for row in read_table(file, {"patient id"}):
            known[row["patient id"].lower()] = Details(
                kernel=_by_series(row, "convolutionkernel"),
                thickness={
                    series: value
                    for series, text in _by_series(row, "slicethickness").items()
                    if (value := number_of(text)) is not None
                },
                vendor=_by_series(row, "manufacturer"),
            )
    if (file := _table(root, "Patient_details.csv")) is not None:
        for row in read_table(file, {"patient id", "sex", "age"}):
            patient = row["patient id"].lower()
            known[patient] = replace(
                known.get(patient, NOTHING_KNOWN), sex=row["sex"] or None, age=number_of(row["age"])
            )
    return known


def _table(root: Path, name: str) -> Path | None:
    return next((place / name for place in places_of_tables(root) if (place / name).is_file()), None)


def _by_series(row: Mapping[str, str], keyword: str) -> dict[str, str]:
    cells = {f"SR_{number}": row.get(f"sr_{number} {keyword}", "") for number in (2, 3, 4)}
    return {series: text for series, text in cells.items() if text not in ("", "N/A")}


def notes(root: Path, cases: Sequence[Case]) -> list[str]:
    """Return what is particular to this set: series of one class only, images that were left out."""
    remarks = []
    by_class = [{str(case.series)[-4:] for case in cases if case.positive is flag} for flag in (True, False)]
    if own := sorted(by_class[0] ^ by_class[1]):
        remarks.append(
            f"series {', '.join(own)} stand in one class only; series differ in kernel and thickness, "
            "so a network may learn the reconstruction instead of the disease"
        )
    if not any(case.kernel for case in cases):
        remarks.append("kernel and thickness are not known: put Patients_metadata.csv beside the images")
    left_out = sum(path.suffix.lower() in TIFF for path in root.rglob("*")) - len(cases)
    if left_out:
        remarks.append(f"{left_out} TIFF files with other names were left out")
    return remarks
