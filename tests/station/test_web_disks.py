"""What a slow disk, and one from which objects are being removed, do to answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian
from starlette.responses import Response

from node.dicom.transcode import Transcoder
from node.domain.network import Right
from node.store.object_files import LocalObjectFiles
from node.store.searching import Search
from node.web.access import Access
from node.web.bulkdata import BulkDataResource
from node.web.frames import FrameResource
from node.web.qido import SearchService
from node.web.rendered import RenderedResource
from node.web.resources import Resource, ServiceUrl
from node.web.server import THREADS, Bind, WebServer
from node.web.wado import WadoResource
from tests.station.receiving_node import WallClock
from tests.station.wado_ground import Reading, reading, write_image

SECONDS = 20.0
URL = ServiceUrl(path="/d", public="", any_name=True)


class SlowDisk:
    """Object files that come only once the disk has awoken."""

    def __init__(self, files: LocalObjectFiles) -> None:
        self._files = files
        self.awake = threading.Event()

    def path(self, key: str, size: int | None = None) -> Path:
        assert self.awake.wait(SECONDS)
        return self._files.path(key, size)


class EmptiedDisk:
    """Object files that retention removes just when their place was found."""

    def __init__(self, files: LocalObjectFiles) -> None:
        self._files = files

    def path(self, key: str, size: int | None = None) -> Path:
        path = self._files.path(key, size)
        return path.with_name("removed")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Reading]:
    with reading(tmp_path / "data") as running:
        yield running


@contextmanager
def serving(*resources: Resource) -> Iterator[str]:
    quick = Resource(path="/quick", method="GET", right=None, answer=lambda _: Response(b"here"))
    server = WebServer(
        Bind(host="127.0.0.1", port=0, path="/d", max_connections=2 * THREADS, idle_seconds=SECONDS),
        [*resources, quick],
        access=Access(["127.0.0.1"], frozenset(Right), None),
        url=URL,
    )
    try:
        yield f"http://127.0.0.1:{server.start()}/d"
    finally:
        server.stop()


@pytest.mark.parametrize("asked", ["pictures", "searches"])
def test_what_takes_long_holds_up_nothing_else(web: Reading, tmp_path: Path, asked: str) -> None:
    pixels = np.zeros((1, 8, 8), "<u2")
    path = web.add(write_image(tmp_path / "1.dcm", pixels, ExplicitVRLittleEndian, PatientID="P1"))
    disk = SlowDisk(web.store.files)
    pictures = RenderedResource(web.store.stored, disk, web.store.codecs)
    search = Search(web.store.matches, disk)
    searches = SearchService(search, WallClock(), seconds=SECONDS, url=URL, ae_title="GROUND")
    url = {"pictures": f"{path}/thumbnail", "searches": "/instances?includefield=ContentLabel"}[asked]
    with (
        serving(*pictures.resources(), *searches.resources()) as base,
        ThreadPoolExecutor(THREADS + 4) as clients,
    ):
        slow = [
            clients.submit(httpx.get, base + url, timeout=SECONDS, verify=False) for _ in range(THREADS + 4)
        ]
        for _ in range(5):
            assert httpx.get(base + "/quick", timeout=SECONDS / 4, verify=False).content == b"here"
        disk.awake.set()
        assert {item.result().status_code for item in slow} == {200}


@pytest.mark.parametrize("end", ["", "/frames/1", "/rendered", "/bulkdata/00100010", "/bulkdata/7FE00010"])
def test_an_object_that_is_removed_meanwhile_is_not_there(web: Reading, tmp_path: Path, end: str) -> None:
    pixels = np.zeros((1, 8, 8), "<u2")
    path = web.add(write_image(tmp_path / "1.dcm", pixels, ExplicitVRLittleEndian, PatientID="P1"))
    disk, stored, codecs = EmptiedDisk(web.store.files), web.store.stored, web.store.codecs
    frames = FrameResource(stored, disk, Transcoder(codecs), url=URL)
    served = (
        *WadoResource(stored, disk, Transcoder(codecs)).resources(),
        *frames.resources(),
        *BulkDataResource(stored, disk, frames).resources(),
        *RenderedResource(stored, disk, codecs).resources(),
    )
    with serving(*served) as base:
        assert httpx.get(base + path + end, verify=False).status_code == 404


def test_a_search_goes_on_behind_an_object_that_is_removed_meanwhile(web: Reading, tmp_path: Path) -> None:
    pixels = np.zeros((1, 8, 8), "<u2")
    web.add(write_image(tmp_path / "1.dcm", pixels, ExplicitVRLittleEndian, PatientID="P1"))
    search = Search(web.store.matches, EmptiedDisk(web.store.files))
    searches = SearchService(search, WallClock(), seconds=SECONDS, url=URL, ae_title="GROUND")
    with serving(*searches.resources()) as base:
        answer = httpx.get(base + "/instances?includefield=ContentLabel", verify=False)
    assert (answer.status_code, len(answer.json())) == (200, 1)
