"""``dicom``: a folder of CT series, taken as negatives to see what a score makes of DICOM as such.

Never trained, validated, calibrated or thresholded on: nearly all public series are negative, and a
network would learn that DICOM means healthy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from node.dicom.read import read_header
from node.domain.errors import DicomError
from trainer.cases.case import Case
from trainer.errors import EmptyClass, LayoutError

CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
"""PS3.4 B.5."""


def read(root: Path) -> list[Case]:
    """Read all CT Image Storage objects below a folder as negative cases, grouped by series.

    Files that are no DICOM, and other objects, are left out.

    Raises
    ------
    LayoutError
        ``root`` is no folder.
    EmptyClass
        There is no CT image below it.
    """
    if not root.is_dir():
        raise LayoutError(f"{root} is not a folder; give a folder of DICOM files after the colon")
    cases = []
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        try:
            header = read_header(file)
        except DicomError:
            continue
        if header.sop_class_uid == CT_IMAGE_STORAGE and header.frames:
            series = header.series_instance_uid
            cases.append(
                Case(image=file, positive=False, source="dicom", split="all", group=series, series=series)
            )
    if not cases:
        raise EmptyClass(f"{root} holds no CT image (CT Image Storage)")
    return cases
