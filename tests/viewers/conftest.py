"""A PACS that holds screened studies with their results, a viewer beside it, and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from node.domain.result import ResultKind
from node.report.identity import SERIES_NUMBERS
from tests.free_ports import free_port
from tests.journey.orthanc import Orthanc
from tests.validators.conftest import result_set
from tests.validators.sets import ResultSet
from tests.viewers.browser import NAMES, Browser
from tests.viewers.ohif import ViewerServer

__all__ = ["result_set"]

DICOM_WEB_PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
STUDIES = ("ct-positive", "ct-negative", "ct-every-slice", "ct-not-analysed", "cr-positive")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A reading room: what is in the PACS, and the means to look at it."""

    pacs: Orthanc
    viewer: ViewerServer
    browser: Browser
    sets: dict[str, ResultSet]
    pictures: Path
    """Folder of the screenshots."""

    def study(self, name: str) -> str:
        """Return the StudyInstanceUID of a case."""
        return str(pydicom.dcmread(self.sets[name].source[0], stop_before_pixels=True).StudyInstanceUID)

    def series(self, name: str, kind: ResultKind) -> str:
        """Return the SeriesInstanceUID of a kind of results of a case."""
        number = SERIES_NUMBERS[kind]
        headers = [item.header for item in self.sets[name].objects]
        return str(next(item.SeriesInstanceUID for item in headers if item.SeriesNumber == number))


@pytest.fixture(scope="module")
def reading(
    tmp_path_factory: pytest.TempPathFactory, result_set: Callable[[str], ResultSet]
) -> Iterator[Reading]:
    """Return the reading room; the screenshots stay in the tests' folder."""
    folder = tmp_path_factory.mktemp("reading")
    program = next(filter(None, map(shutil.which, NAMES)))
    assert program is not None, "Chromium is missing; see tests/system-packages.sh"
    pacs = Orthanc(
        folder / "pacs",
        node_port=free_port(),
        node_ae_title="GROUNDGLASS",
        more={"Plugins": [DICOM_WEB_PLUGIN]},
    )
    viewer = ViewerServer(pacs.http_port)
    browser = Browser(program, folder / "browser")
    try:
        sets = {name: result_set(name) for name in STUDIES}
        for made in sets.values():
            for path in (*made.source, *(item.path for item in made.objects)):
                pacs.post("/instances", path.read_bytes())
        yield Reading(pacs=pacs, viewer=viewer, browser=browser, sets=sets, pictures=folder / "pictures")
    finally:
        browser.close()
        viewer.close()
        pacs.stop()
