"""The node itself as the archive of a viewer: OHIF lists its studies, shows a stack and opens a report."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.domain.result import ResultKind
from node.publishing import publish
from node.receive.storage import StorageService
from node.report.identity import SERIES_NUMBERS
from node.run.progress import ScreeningEnd
from node.settings.loading import load
from tests.free_ports import free_port
from tests.screening_ground import Ends, Ground
from tests.station.receiving_node import WallClock
from tests.validators.sets import CASES
from tests.viewers.browser import NAMES, Browser
from tests.viewers.ohif import ViewerServer

pytestmark = pytest.mark.long

SECONDS = 60
SETTINGS = """
[web]
enabled = true
port = {port}
anonymous = true
origins = ["{origin}"]
"""
BUTTONS = (
    "[...document.querySelectorAll('button')].filter(e => e.innerText.includes('Skip all')"
    " || e.innerText.trim() === 'No').forEach(e => e.click())"
)
PLACE = r"I:(\d+) \((\d+)/(\d+)\)"
"""OHIF's words for the slice that is shown: its number, its place, and how many there are."""
GREY_FROM, GREY_TO = 30, 225
"""Of pixels that are neither background nor letters."""
VIEWPORT = (slice(120, 900), slice(400, 1450))
"""Of a screenshot: within the image."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """A reading room whose archive is a node."""

    viewer: ViewerServer
    browser: Browser
    slices: list[Dataset]
    results: dict[ResultKind, str]
    """SeriesInstanceUID by kind."""
    pictures: Path

    def look(self, name: str) -> np.ndarray:
        """Return a screenshot as grey levels."""
        self.browser.evaluate(BUTTONS)
        data = self.browser.screenshot(self.pictures / f"{name}.png")
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert pixels is not None
        return pixels[VIEWPORT]

    def failures(self) -> list[str]:
        return [line for line in self.browser.console if line.startswith("exception") or "Error" in line]

    def open(self, series: str) -> None:
        """Open a series of the study and wait until its picture is there."""
        study = self.slices[0].StudyInstanceUID
        self.browser.open(
            f"{self.viewer.url}/viewer?StudyInstanceUIDs={study}&initialSeriesInstanceUID={series}"
        )
        self.browser.wait_for(
            "document.querySelector('canvas') && document.body.innerText.includes('S:8800')",
            seconds=SECONDS,
            what="OHIF to open the study",
        )


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """Return a reading room with one study that was screened; the screenshots stay in the tests' folder."""
    folder = tmp_path_factory.mktemp("node")
    program = next(filter(None, map(shutil.which, NAMES)))
    assert program is not None, "Chromium is missing; see tests/system-packages.sh"
    case = CASES["ct-positive"]
    with ExitStack() as opened:
        ground, ends = Ground(folder / "node"), Ends()
        opened.callback(ground.close)
        bundle = case.bundle(folder / "models")
        (study,) = case.arrivals()
        pipeline = ground.pipeline(bundle, ends)
        ground.receive(study)
        ground.settle(bundle.name)
        screening = ground.claim()
        pipeline.run(screening)
        assert ends.ends[-1][0] is ScreeningEnd.STORED
        made = ground.store.screenings.results(screening.id)
        viewer = ViewerServer()
        opened.callback(viewer.close)
        config = folder / "groundglass.toml"
        port = free_port()
        config.write_text(SETTINGS.format(port=port, origin=viewer.url))
        clock = WallClock()
        storage = StorageService(files=ground.store.files, records=ground.store.intake, clock=clock)
        publish(load(config, {}), ground.store, storage, clock=clock, opened=opened)
        viewer.look_at(f"http://127.0.0.1:{port}/dicom-web")
        browser = Browser(program, folder / "browser")
        opened.callback(browser.close)
        yield Room(
            viewer=viewer,
            browser=browser,
            slices=list(study),
            results={item.kind: item.series_instance_uid for item in made},
            pictures=folder / "pictures",
        )


def test_the_list_names_the_study(room: Room) -> None:
    room.browser.open(room.viewer.url)
    patient = str(room.slices[0].PatientID)
    room.browser.wait_for(
        f"document.body.innerText.includes({patient!r})", seconds=SECONDS, what="OHIF's list of studies"
    )
    room.look("list")
    shown = room.browser.text()
    assert "Yamada" in shown
    assert "CT" in shown
    assert room.failures() == []


def test_the_stack_is_shown_and_scrolled(room: Room) -> None:
    room.open(str(room.slices[0].SeriesInstanceUID))
    count = len(room.slices)
    room.browser.wait_for(
        f"/\\({count // 2}\\/{count}\\)|\\(1\\/{count}\\)/.test(document.body.innerText)",
        seconds=SECONDS,
        what="the first slice",
    )
    before = room.look("stack-first")
    assert ((before > GREY_FROM) & (before < GREY_TO)).mean() > 0.1
    first = re.search(PLACE, room.browser.text())
    assert first is not None
    x, y = 900, 500
    for _ in range(5):
        room.browser.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=100)
        room.browser.evaluate("new Promise(done => setTimeout(done, 300))")
    after = room.look("stack-scrolled")
    later = re.search(PLACE, room.browser.text())
    assert later is not None
    assert int(later[2]) == int(first[2]) + 5
    assert later[3] == str(count)
    assert np.abs(before.astype(int) - after).mean() > 1
    assert room.failures() == []


def test_the_report_is_opened(room: Room) -> None:
    room.open(room.results[ResultKind.REPORT])
    room.browser.wait_for(
        "document.body.innerText.includes('Slices received')", seconds=SECONDS, what="the report"
    )
    room.look("report")
    assert f"Slices received: {len(room.slices):.2f}" in room.browser.text()
    assert room.failures() == []


def test_every_series_of_results_is_listed(room: Room) -> None:
    room.open(room.results[ResultKind.SUMMARY])
    shown = room.browser.text()
    for kind in room.results:
        if kind is not ResultKind.REJECTION:
            assert f"S:{SERIES_NUMBERS[kind]}" in shown
    room.look("results")
    assert room.failures() == []
