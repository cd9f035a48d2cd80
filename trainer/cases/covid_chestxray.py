"""``covid-chestxray``: the ieee8023 collection of chest radiographs from publications (Cohen et al. 2020).

``metadata.csv`` had two headers: 15 columns until March 2020, 30 after. A finding is a path such as
``Pneumonia/Viral/COVID-19``; in old versions it may also be a list such as ``COVID-19, ARDS``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from trainer.cases.case import Case
from trainer.cases.listings import number_of, plain_name, read_table, require_both, require_files
from trainer.errors import LayoutError

KIND: Final = "covid-chestxray"
TABLE: Final = "metadata.csv"
COLUMNS: Final = frozenset({"patientid", "finding", "view", "filename"})
"""Common to both headers, in lower case."""
FOLDERS: Final = frozenset({"images", "volumes"})
VIEWS: Final = frozenset({"PA", "AP", "AP SUPINE"})
"""Frontal ones."""
COVID: Final = "COVID-19"
UNDECIDED: Final = frozenset({"", "TODO", "UNKNOWN"})


def components(finding: str) -> list[str]:
    """Return the parts of a finding: ``Pneumonia/Viral/COVID-19`` has three, ``COVID-19, ARDS`` two."""
    return [part.strip() for part in re.split(r"[/,]", finding)]


def left_out_because(row: Mapping[str, str]) -> str | None:
    """Return why a row is no frontal radiograph with a finding, None where it is one."""
    if row["finding"].strip().upper() in UNDECIDED:
        return "no finding decided"
    if row.get("modality", "X-ray") != "X-ray" or row["view"].upper().startswith(("AXIAL", "CORONAL", "CT")):
        return "CT"
    return None if row["view"].upper() in VIEWS else "not a frontal view"


def read(root: Path) -> list[Case]:
    """Read the frontal radiographs that have a finding.

    Raises
    ------
    LayoutError
        The table is missing or malformed, names something outside ``images``, or an image is missing.
    EmptyClass
        One class has no image.
    """
    table = root / TABLE
    cases = []
    for row in read_table(table, COLUMNS):
        if left_out_because(row) is not None:
            continue
        folder = row.get("folder") or "images"
        if folder not in FOLDERS:
            raise LayoutError(f"{table} names the folder {folder[:80]!r}; known are images and volumes")
        cases.append(
            Case(
                image=root / folder / plain_name(row["filename"], table),
                positive=COVID in components(row["finding"]),
                source=KIND,
                split="all",
                group=row["patientid"],
                patient=row["patientid"],
                label=row["finding"],
                sex=row.get("sex") or None,
                age=number_of(row.get("age", "")),
            )
        )
    require_files([case.image for case in cases], table)
    require_both({case.positive for case in cases}, root, ("COVID-19", "other findings"))
    return cases


def notes(root: Path, cases: Sequence[Case]) -> list[str]:
    """Return what was left out, and that the collection has no negatives of its own."""
    reasons = Counter(
        reason for row in read_table(root / TABLE, COLUMNS) if (reason := left_out_because(row))
    )
    remarks = [f"{count} rows were left out: {reason}" for reason, count in sorted(reasons.items())]
    healthy = sum(case.label is not None and case.label.lower() == "no finding" for case in cases)
    source = (
        f"{healthy} of {len(cases)} images are without a finding: figures of sets that add healthy images "
        "from elsewhere measure the source"
    )
    return [*remarks, source]
