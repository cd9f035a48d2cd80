"""``covid-ct``: COVID-CT, Zhao et al. 2020, with its official split; pictures cut from papers."""

from __future__ import annotations

import re
from pathlib import Path

from trainer.cases.case import Case
from trainer.cases.class_folders import read_class_folders


def origin_of(file: Path, positive: bool) -> str:
    """Return the paper (COVID: the name up to ``-p<page>``) or the leading number (NonCOVID) of a picture."""
    name = re.split(r"-p\d+", file.stem)[0] if positive else re.split(r"[%_]", file.stem)[0]
    return f"{'COVID' if positive else 'NonCOVID'}/{name}"


def read(root: Path) -> list[Case]:
    """Read ``root/{train,val,test}/{COVID,NonCOVID}/*.png`` (the official split) or bare class folders.

    Raises
    ------
    LayoutError, EmptyClass
    """
    return read_class_folders(root, "covid-ct", origin_of)
