"""Studies are fetched from the archives of others: Orthanc by DIMSE and DICOMweb, DCMTK's dcmqrscp."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

from node.app import Node, build
from node.domain.archives import PullState
from node.domain.study import Verdict
from node.infer.bundle import Bundle
from tests.free_ports import free_port
from tests.journey.orthanc import Orthanc
from tests.journey.test_dicomweb import PLUGIN
from tests.station.app_ground import SLICES, Place, install, phantom_folder, wait_for
from tests.station.proof_ground import dcmqrscp
from tests.station.receiving_node import Remote, send_files, write_instance

pytestmark = pytest.mark.long

ARCHIVES = """
[[peers]]
ae_title = "PACS"
addresses = ["127.0.0.1"]

[[archives]]
name = "by-move"
ae_title = "PACS"
host = "127.0.0.1"
port = {port}

[[archives]]
name = "by-get"
ae_title = "PACS"
host = "127.0.0.1"
port = {port}
retrieve = "get"

[[archives]]
kind = "dicomweb"
name = "by-web"
url = "http://127.0.0.1:{web_port}/dicom-web"

[pull]
look_seconds = 0.2
count_seconds = 0.3
answer_seconds = 20
first_retry_seconds = 0.3
"""


@pytest.fixture
def place(tmp_path: Path, tiny_bundle: Bundle) -> Place:
    return install(tmp_path, tiny_bundle)


@pytest.fixture
def orthanc(tmp_path: Path, place: Place) -> Iterator[Orthanc]:
    more = {
        "Plugins": [PLUGIN],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
    }
    started = Orthanc(tmp_path / "pacs", node_port=place.port, node_ae_title="GROUNDGLASS", more=more)
    know(place, started.dicom_port, started.http_port)
    yield started
    started.stop()


def know(place: Place, port: int, web_port: int) -> None:
    """Write the archives into the settings; silence alone shall complete no series for a while."""
    text = place.config.read_text().replace("quiet_seconds = 0.3", "quiet_seconds = 60")
    text = text.replace("ceiling_seconds = 0.3", "ceiling_seconds = 60")
    place.config.write_text(text + ARCHIVES.format(port=port, web_port=web_port))


@contextmanager
def running(place: Place) -> Iterator[Node]:
    node = build(place.settings)
    node.start()
    try:
        yield node
    finally:
        node.stop()


@pytest.fixture
def series(tmp_path: Path) -> list[Path]:
    return phantom_folder(tmp_path / "series")


def study_of(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID)


@pytest.mark.parametrize("archive", ["by-move", "by-get", "by-web"])
def test_orthanc_is_pulled_from_and_its_count_completes_the_series(
    orthanc: Orthanc, place: Place, series: list[Path], archive: str
) -> None:
    for path in series:
        orthanc.post("/instances", path.read_bytes())
    study = study_of(series[0])
    checks = {item["subject"]: item["passed"] for item in json.loads(place.command("check", "--json").stdout)}
    assert checks[f"archive {archive}"]
    found = place.json("pull", "--from", archive, "--study", study, "--dry-run")
    assert [len(item["series"]) for item in found] == [1]
    with running(place) as node:
        answer = place.json("pull", "--from", archive, "--study", study, "--timeout", "60")
        assert (answer["state"], answer["here"], answer["expected"]) == ("done", SLICES, SLICES)
        wait_for(lambda: node.store.studies.get(study).series[0].verdict, "the verdict")
        concluded = node.store.studies.get(study).series[0]
        assert concluded.verdict is Verdict.ARCHIVE, concluded.verdict_reason
        assert place.json("status")["archives"][0]["failures"] == 0
        listed = place.json("pulls")
    assert [item["state"] for item in listed] == ["done"]
    nothing = place.command("pull", "--from", archive, "--patient", "nobody", "--dry-run", "--json")
    assert json.loads(nothing.stdout) == []


@pytest.mark.parametrize("archive", ["by-move", "by-get"])
def test_dcmqrscp_is_pulled_from(place: Place, tmp_path: Path, series: list[Path], archive: str) -> None:
    port = free_port()
    know(place, port, free_port())
    hosts = f"node = (GROUNDGLASS, 127.0.0.1, {place.port})\n"
    with dcmqrscp(tmp_path / "dcmtk", port, hosts=hosts), running(place):
        send_files(Remote(ae_title="PACS", host="127.0.0.1", port=port), *series)
        answer = place.json("pull", "--from", archive, "--study", study_of(series[0]), "--timeout", "60")
        assert (answer["state"], answer["here"]) == ("done", SLICES), answer


def test_a_pull_goes_on_after_the_node_was_stopped(orthanc: Orthanc, place: Place, tmp_path: Path) -> None:
    count = 120
    for number in range(count):
        path, _ = write_instance(tmp_path / "one.dcm", number)
        orthanc.post("/instances", path.read_bytes())
    study = study_of(tmp_path / "one.dcm")
    with running(place) as node:
        assert place.command("pull", "--from", "by-web", "--study", study, "--no-wait").exit_code == 0
        wait_for(lambda: node.store.pulls.list()[0].here > 0, "the first images")
    with running(place) as node:
        before = node.store.pulls.list()[0]
        assert (before.pull.state, before.here < count) == (PullState.FETCHING, True)
        wait_for(lambda: node.store.pulls.list()[0].pull.state is not PullState.FETCHING, "the end")
        after = node.store.pulls.list()[0]
        assert (after.pull.state, after.here) == (PullState.DONE, count)


def test_what_the_scanner_did_not_bring_is_fetched(
    orthanc: Orthanc, place: Place, series: list[Path]
) -> None:
    place.config.write_text(place.config.read_text() + "missing_seconds = 0.5\n")
    for path in series:
        orthanc.post("/instances", path.read_bytes())
    study = study_of(series[0])
    with running(place) as node:
        remote = Remote(ae_title="GROUNDGLASS", host="127.0.0.1", port=place.port)
        send_files(remote, *series[::2])
        wait_for(lambda: node.store.studies.get(study).series[0].verdict, "the verdict")
        concluded = node.store.studies.get(study).series[0]
        assert (concluded.verdict, concluded.instance_count) == (Verdict.ARCHIVE, SLICES)
