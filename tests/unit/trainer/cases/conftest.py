"""Tiny data sets in the layouts that the originals have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.trainer.cases.layouts import write_slice

CTSET_PATIENTS = (
    *[("137covid", number) for number in range(1, 6)],
    ("covid1", 145),
    *[("normal1", number) for number in range(146, 150)],
    *[("cdnormal4", number) for number in range(150, 154)],
    ("cdunnormal", 162),
    ("normalcd3", 434),
)


@pytest.fixture
def ctset_flat(tmp_path: Path) -> Path:
    """The flat training set: six patients with COVID-19 in three series, ten without in SR_2 only."""
    root = tmp_path / "covid_ctset" / "Train&Validation"
    for group, number in CTSET_PATIENTS:
        for series in (2, 3, 4) if "covid" in group else (2,):
            for image in (7, 12):
                name = f"{group}_patient{number}_SR_{series}_IM{image:05d}.tif"
                write_slice(root / name, 1000 * number + 10 * series + image)
    return root


@pytest.fixture
def ctset_raw(tmp_path: Path) -> Path:
    """Raw folders of two patients, inside a folder whose own name says covid."""
    root = tmp_path / "covid_ctset" / "COVID-CTset"
    for group, number in (("covid1", 3), ("normal1", 146)):
        for series in (2, 3):
            for image in (1, 9):
                name = f"IM{image:05d}.tif"
                write_slice(
                    root / group / f"patient{number}" / f"SR_{series}" / name, number * series + image
                )
    return root
