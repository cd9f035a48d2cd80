"""The whole way with real peers: DCMTK as the scanner, Orthanc as the PACS, the node as a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journey.hospital import Hospital

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    """A PACS and a node that is live to it."""
    place = Hospital(tmp_path)
    try:
        yield place
    finally:
        place.close()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public CT series; see CONTRIBUTING.md."""
    folder = Path(os.environ.get("GROUNDGLASS_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "dicom").is_dir():
        pytest.skip(f"real CT series are absent: {folder} (name their folder in GROUNDGLASS_DATA)")
    return folder
