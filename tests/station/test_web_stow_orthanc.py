"""Orthanc's DICOMweb plugin stores to this node by STOW-RS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journey.orthanc import Orthanc
from tests.station.receiving_node import write_instance
from tests.station.stow_ground import TOKEN, Serving, serving

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
pytestmark = pytest.mark.long


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path / "data") as running:
        yield running


@pytest.fixture
def orthanc(web: Serving, tmp_path: Path) -> Iterator[Orthanc]:
    node = {"Url": f"{web.base}/", "HttpHeaders": {"Authorization": f"Bearer {TOKEN}"}}
    settings = {"Plugins": [PLUGIN], "DicomWeb": {"Enable": True, "Servers": {"node": node}}}
    running = Orthanc(tmp_path / "orthanc", node_port=1, node_ae_title="NODE", more=settings)
    yield running
    running.stop()


def test_orthanc_stores_a_study(web: Serving, orthanc: Orthanc, tmp_path: Path) -> None:
    made = [write_instance(tmp_path / f"{number}.dcm", number) for number in range(1, 13)]
    held = [orthanc.post("/instances", path.read_bytes())["ID"] for path, _ in made]
    job = orthanc.post("/dicom-web/servers/node/stow", {"Resources": held, "Synchronous": True})
    assert int(job["InstancesCount"]) == len(held)
    assert web.stored() == {uid for _, uid in made}
