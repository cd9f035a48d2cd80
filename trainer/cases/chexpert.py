"""``chexpert``: CheXpert, Irvin et al. 2019; 14 findings of frontal radiographs, some of them uncertain.

A cell is 1 (present), 0 (absent), -1 (uncertain) or blank (not mentioned). What an uncertain cell counts as
is a policy; a finding that is not mentioned is unknown, except that ``No Finding`` says that nothing but
support devices is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from trainer.cases.case import Case, with_known_truth
from trainer.cases.listings import number_of, read_table, require_both, require_files
from trainer.errors import LayoutError

KIND: Final = "chexpert"
NO_FINDING, PNEUMONIA, DEVICES = "No Finding", "Pneumonia", "Support Devices"
FINDINGS: Final = (
    NO_FINDING,
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    PNEUMONIA,
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    DEVICES,
)
COMPETITION: Final = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
"""The five tasks of the CheXpert competition."""
TABLES: Final = (("train.csv", "train"), ("valid.csv", "val"))
IMAGE: Final = re.compile(
    r"(?:[^/\\]+/)?(?P<inside>(?:train|valid)/(?P<patient>patient\d{1,7})/(?P<study>study\d{1,4})"
    r"/view\d{1,3}_(?P<view>frontal|lateral)\.(?:jpg|png))"
)
"""A cell of the column Path; its first component is the name that the set once had."""
VALUES: Final = {"1": 1.0, "0": 0.0, "-1": -1.0, "": None}
UNCERTAIN: Final = -1.0


class Uncertain(StrEnum):
    """What an uncertain finding counts as."""

    IGNORE = "ignore"
    """Unknown: it is left out of the loss."""
    ZEROS = "zeros"
    """Absent."""
    ONES = "ones"
    """Present."""


def findings_of(row: Mapping[str, str], policy: Uncertain) -> tuple[tuple[str, float], ...]:
    """Return the findings of a row whose values are known under a policy.

    Raises
    ------
    LayoutError
        A cell is none of 1, 0, -1 and blank.
    """
    known: list[tuple[str, float]] = []
    nothing = _value(row[NO_FINDING.lower()]) == 1.0
    for finding in FINDINGS:
        value = _value(row[finding.lower()])
        if value is None and nothing and finding != DEVICES:
            value = 0.0
        if value == UNCERTAIN:
            value = {Uncertain.IGNORE: None, Uncertain.ZEROS: 0.0, Uncertain.ONES: 1.0}[policy]
        if value is not None:
            known.append((finding, value))
    return tuple(known)


def _value(cell: str) -> float | None:
    text = re.sub(r"\.0*$", "", cell)
    if text not in VALUES:
        raise LayoutError(f"CheXpert's table has {cell[:40]!r} for a finding; known are 1, 0, -1 and blank")
    return VALUES[text]


def read(root: Path, policy: Uncertain = Uncertain.IGNORE) -> list[Case]:
    """Read the frontal images of both tables.

    ``Case.findings`` holds the findings that are known under the policy. ``Case.positive`` tells whether
    pneumonia is present, ``Case.truth_known`` whether that is known.

    Raises
    ------
    LayoutError
        A table or an image is missing, or a row is malformed.
    EmptyClass
        No image is known to be with pneumonia, or none without.
    """
    cases = []
    columns = {"path", "sex", "age", *(finding.lower() for finding in FINDINGS)}
    tables = [(root / name, split) for name, split in TABLES if (root / name).is_file()]
    if not tables:
        raise LayoutError(f"{root} holds neither train.csv nor valid.csv of CheXpert")
    for table, split in tables:
        rows = [(_image(row, table), row) for row in read_table(table, columns)]
        chosen = [_case(root, split, found, row, policy) for found, row in rows if found["view"] == "frontal"]
        require_files([case.image for case in chosen], table)
        cases += chosen
    require_both({case.positive for case in with_known_truth(cases)}, root, ("pneumonia", "no pneumonia"))
    return cases


def _image(row: Mapping[str, str], table: Path) -> re.Match[str]:
    found = IMAGE.fullmatch(row["path"])
    if found is None:
        raise LayoutError(
            f"{table} names {row['path'][:120]!r}; wanted is train/patientN/studyN/viewN_frontal.jpg "
            "behind one folder"
        )
    return found


def _case(root: Path, split: str, found: re.Match[str], row: Mapping[str, str], policy: Uncertain) -> Case:
    findings = findings_of(row, policy)
    pneumonia = dict(findings).get(PNEUMONIA)
    return Case(
        image=root / found["inside"],
        positive=pneumonia == 1.0,
        truth_known=pneumonia is not None,
        source=KIND,
        split=split,
        group=found["patient"],
        patient=found["patient"],
        series=f"{found['patient']}/{found['study']}",
        findings=findings,
        sex=row["sex"] or None,
        age=number_of(row["age"]),
    )


def notes(root: Path, cases: Sequence[Case]) -> list[str]:
    """Return of how many images pneumonia is not known."""
    unknown = len(cases) - len(with_known_truth(cases))
    remark = (
        f"pneumonia is not mentioned or uncertain in {unknown} of {len(cases)} images of {root.name}: they "
        "are not counted here, and left out where two classes are fitted or judged"
    )
    return [remark] if unknown else []
