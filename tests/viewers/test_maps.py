"""OHIF lays a map over the slices that it was made of and over no other: of thin slices, of one object."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from node.domain.result import ResultKind
from node.publishing import publish
from node.receive.storage import StorageService
from node.settings.loading import load
from node.store.store import open_store
from tests.free_ports import free_port
from tests.journey.orthanc import Orthanc
from tests.station.receiving_node import CountedUids, WallClock
from tests.validators.sets import ResultSet, make
from tests.viewers.browser import NAMES, Browser
from tests.viewers.conftest import DICOM_WEB_PLUGIN
from tests.viewers.looking import LOADED, SECONDS, failures, look, place, turn_to
from tests.viewers.ohif import ViewerServer

pytestmark = [pytest.mark.long, pytest.mark.heavy]

LARGE_MAP = 64 << 20
"""Bytes; maps beyond it were once left without padding."""
SETTINGS = """
[web]
enabled = true
port = {port}
anonymous = true
origins = ["{origin}"]
"""
BESIDE, FAR = 1, 27
"""Slices looked at around the mapped ones: each within the first distance, one in as many as the second."""


@dataclass(frozen=True, kw_only=True)
class Wall:
    """A viewer of two archives, which hold the same."""

    browser: Browser
    viewers: dict[str, ViewerServer]
    sets: dict[str, ResultSet]
    pictures: Path


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wall]:
    """Return the archives, filled, and a browser; the screenshots stay in the tests' folder."""
    folder = tmp_path_factory.mktemp("maps")
    program = next(filter(None, map(shutil.which, NAMES)))
    assert program is not None, "Chromium is missing; see tests/system-packages.sh"
    sets = {name: make(name, folder / name) for name in ("ct-thin", "ct-enhanced")}
    with ExitStack() as opened:
        pacs = Orthanc(
            folder / "pacs",
            node_port=free_port(),
            node_ae_title="GROUNDGLASS",
            more={"Plugins": [DICOM_WEB_PLUGIN]},
        )
        opened.callback(pacs.stop)
        for made in sets.values():
            for path in (*made.source, *(item.path for item in made.objects)):
                pacs.post("/instances", path.read_bytes())
        viewers = {"pacs": ViewerServer(pacs.http_port), "node": ViewerServer()}
        for viewer in viewers.values():
            opened.callback(viewer.close)
        viewers["node"].look_at(_published(folder / "ct-thin" / "node", viewers["node"].url, opened))
        browser = Browser(program, folder / "browser")
        opened.callback(browser.close)
        yield Wall(browser=browser, viewers=viewers, sets=sets, pictures=folder / "pictures")


def _published(root: Path, origin: str, opened: ExitStack) -> str:
    """Publish what a node made, as its DICOMweb does, and return where."""
    port = free_port()
    config = root / "groundglass.toml"
    config.write_text(SETTINGS.format(port=port, origin=origin))
    clock = WallClock()
    store = open_store(root, clock=clock, uids=CountedUids())
    opened.callback(store.close)
    storage = StorageService(files=store.files, records=store.intake, clock=clock)
    publish(load(config, {}), store, storage, clock=clock, opened=opened)
    return f"http://127.0.0.1:{port}/dicom-web"


def mapped_from_head(made: ResultSet) -> tuple[set[int], int]:
    """Return which slices from the head hold values, from 1, and how many there are in all."""
    (path,) = made.of(ResultKind.PARAMETRIC_MAP)
    header = pydicom.dcmread(path, stop_before_pixels=True)
    frames = sorted(
        header.PerFrameFunctionalGroupsSequence,
        key=lambda own: -float(own.PlanePositionSequence[0].ImagePositionPatient[2]),
    )
    mapped = {
        number
        for number, own in enumerate(frames, start=1)
        if "FrameComments" not in own.FrameContentSequence[0]
    }
    return mapped, len(frames)


def looked_at(mapped: set[int], count: int) -> list[int]:
    """Return slices from head to feet: those around the mapped ones, and some of all others."""
    near = {number + step for number in mapped for step in range(-BESIDE, BESIDE + 1)}
    return sorted((near & set(range(1, count + 1))) | set(range(1, count + 1, FAR)) | {count})


@pytest.mark.parametrize(
    ("name", "archive"), [("ct-thin", "pacs"), ("ct-thin", "node"), ("ct-enhanced", "pacs")]
)
def test_the_mapped_slices_alone_are_in_colour(name: str, archive: str, wall: Wall) -> None:
    (path,) = wall.sets[name].of(ResultKind.PARAMETRIC_MAP)
    header = pydicom.dcmread(path, stop_before_pixels=True)
    mapped, count = mapped_from_head(wall.sets[name])
    if name == "ct-thin":
        assert header.Rows * header.Columns * header.NumberOfFrames * 4 > LARGE_MAP > 50 * path.stat().st_size
    assert 0 < len(mapped) < count == header.NumberOfFrames
    browser = wall.browser
    browser.open(
        f"{wall.viewers[archive].url}/viewer?StudyInstanceUIDs={header.StudyInstanceUID}"
        f"&initialSeriesInstanceUID={header.SeriesInstanceUID}"
    )
    browser.wait_for(LOADED, seconds=SECONDS, what="OHIF to open the study")
    look(browser, wall.pictures / f"{name}-{archive}-opened.png")
    browser.wait_for(
        f"/\\(\\d+\\/{count}\\)/.test(document.body.innerText)", seconds=SECONDS, what="the slices"
    )
    turn_to(browser, min(mapped))
    for _ in range(SECONDS):
        if look(browser, wall.pictures / f"{name}-{archive}-waited.png") > 0.02:
            break
    shown = {}
    for number in looked_at(mapped, count):
        turn_to(browser, number)
        path = wall.pictures / f"{name}-{archive}-{number:02d}.png"
        shown[number] = look(browser, path) > 0.02
        assert place(browser) == (number, count)
    assert {number for number, colour in shown.items() if colour} == mapped
    assert failures(browser) == []
