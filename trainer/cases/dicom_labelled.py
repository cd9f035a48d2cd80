"""``dicom-labelled``: a hospital's own CT, an archive of the node or any folder of series, with a table.

The table is ``labels.csv`` in the folder, or any CSV file beside the series, named instead of the folder. It
names patients, studies or series by the column ``PatientID``, ``StudyInstanceUID`` or
``SeriesInstanceUID``, their ``label``, and perhaps the ``split`` that they belong to.

Patients appear in no output by their PatientID: they are numbered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from node.dicom.read import read_header
from node.domain.errors import DicomError
from node.domain.study import InstanceHeader
from trainer.cases.case import Case
from trainer.cases.class_folders import SPLITS
from trainer.cases.dicom import CT_IMAGE_STORAGE
from trainer.cases.listings import read_table, require_both
from trainer.errors import LayoutError

KIND: Final = "dicom-labelled"
TABLE: Final = "labels.csv"
KEYS: Final = ("seriesinstanceuid", "studyinstanceuid", "patientid")
LABELS: Final[Mapping[str, bool]] = MappingProxyType(
    {
        "covid": True,
        "covid19": True,
        "positive": True,
        "1": True,
        "noncovid": False,
        "normal": False,
        "other": False,
        "negative": False,
        "0": False,
    }
)
"""Label in lower case without punctuation -> positive."""
LOCALIZER: Final = "LOCALIZER"
"""Value 3 of Image Type of a scout view (PS3.3 C.8.2.1.1.1)."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    label: str
    positive: bool
    split: str


def read_labels(table: Path) -> tuple[str, dict[str, Row]]:
    """Read the table.

    Returns
    -------
    column : str
        One of `KEYS`.
    rows : dict
        Identifier -> row.

    Raises
    ------
    LayoutError
        A column is missing, a label or split is unknown, or one identifier has two labels.
    """
    lines = read_table(table, {"label"})
    column = next((key for key in KEYS if lines and key in lines[0]), None)
    if column is None:
        raise LayoutError(
            f"{table} has no line, or none of the columns SeriesInstanceUID, StudyInstanceUID, PatientID"
        )
    rows: dict[str, Row] = {}
    for number, line in enumerate(lines, start=2):
        label = line.get("label", "")
        positive = LABELS.get(re.sub(r"[^a-z0-9]", "", label.lower()))
        split = line.get("split", "") or "all"
        if positive is None or split not in (*SPLITS, "all") or not line[column]:
            raise LayoutError(
                f"{table}, line {number}: wanted are an identifier, a label ({', '.join(LABELS)}) and "
                f"perhaps a split ({', '.join(SPLITS)})"
            )
        row = Row(label=label, positive=positive, split=split)
        if rows.setdefault(line[column], row) != row:
            raise LayoutError(f"{table}, line {number}: this {column} had another label or split before")
    return column, rows


def read(path: Path) -> list[Case]:
    """Read the CT images of all series that the table names, single-frame and no scout views.

    Raises
    ------
    LayoutError
        The table is missing or malformed, or names what is not there.
    EmptyClass
        One class has no image.
    """
    table, root = (path, path.parent) if path.is_file() else (path / TABLE, path)
    column, rows = read_labels(table)
    headers = {file: header for file, header in ct_headers(root) if _identifier(header, column) in rows}
    seen = {_identifier(header, column) for header in headers.values()}
    if absent := len(rows.keys() - seen):
        raise LayoutError(
            f"{absent} of {len(rows)} lines of {table} name no CT image below {root}; copy the series there, "
            "or take out the lines"
        )
    patients = sorted({_patient(header) for header in headers.values()})
    named = {patient: f"patient {number:05d}" for number, patient in enumerate(patients, start=1)}
    cases = [
        _case(file, header, rows[_identifier(header, column)], named[_patient(header)])
        for file, header in headers.items()
    ]
    require_both({case.positive for case in cases}, root, ("COVID-19", "not COVID-19"))
    return cases


def ct_headers(root: Path) -> Iterator[tuple[Path, InstanceHeader]]:
    """Yield the single-frame CT images below a folder; what is no DICOM, and other objects, are left out."""
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        try:
            header = read_header(file)
        except DicomError:
            continue
        scout = LOCALIZER in header.image_type[2:3]
        if header.sop_class_uid == CT_IMAGE_STORAGE and len(header.frames) == 1 and not scout:
            yield file, header


def _identifier(header: InstanceHeader, column: str) -> str:
    return {
        "seriesinstanceuid": header.series_instance_uid,
        "studyinstanceuid": header.study_instance_uid,
        "patientid": header.patient.patient_id,
    }[column]


def _patient(header: InstanceHeader) -> tuple[str, str]:
    """Return the patient's identity; without a PatientID every study is a patient of its own."""
    if not header.patient.patient_id:
        return "", header.study_instance_uid
    return header.patient.patient_id, header.patient.issuer


def _case(file: Path, header: InstanceHeader, row: Row, patient: str) -> Case:
    return Case(
        image=file,
        positive=row.positive,
        source=KIND,
        split=row.split,
        group=patient,
        series=header.series_instance_uid,
        patient=patient,
        label=row.label,
        kernel=header.convolution_kernel or None,
        thickness=header.frames[0].slice_thickness,
        vendor=header.manufacturer or None,
        sex=header.patient_sex or None,
        age=header.patient_age_years,
        whole_series=True,
    )


def notes(path: Path, cases: Sequence[Case]) -> list[str]:
    """Return how many CT images the table does not name."""
    root = path.parent if path.is_file() else path
    left_out = sum(1 for _ in ct_headers(root)) - len(cases)
    return [f"{left_out} CT images of series without a label were left out"] if left_out else []
