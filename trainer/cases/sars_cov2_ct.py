"""``sars-cov2-ct``: SARS-CoV-2 CT-scan data set, Soares et al. 2020.

Pictures are numbered within their class and patients are not named; a patient's slices follow one another, in
runs of about ten. A split at random therefore puts the same patient on both sides.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from trainer.cases.case import Case
from trainer.cases.class_folders import read_class_folders
from trainer.errors import LayoutError

BLOCK: Final = 10
"""Consecutive numbers taken as one patient."""


def block_of(file: Path, positive: bool) -> str:
    """Return the block of ten numbers that a picture belongs to, for example ``COVID/0012``.

    Raises
    ------
    LayoutError
        The file name holds no number.
    """
    number = re.findall(r"\d+", file.stem)
    if not number:
        raise LayoutError(f"{file} has no number in its name; sars-cov2-ct names its pictures by number")
    return f"{'COVID' if positive else 'non-COVID'}/{int(number[-1]) // BLOCK:04d}"


def read(root: Path) -> list[Case]:
    """Read ``root/CLASS/NUMBER.png`` or ``root/{train,val,test}/CLASS/NUMBER.png``.

    Raises
    ------
    LayoutError, EmptyClass
    """
    return read_class_folders(root, "sars-cov2-ct", block_of)
