"""SIGKILL at bad moments: nothing that was acknowledged is lost, and exactly one result set arrives."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
from pathlib import Path

import pydicom
import pytest

from node.dicom.write import PhantomLabels, write_phantom
from node.dimse.entity import Timeouts
from node.dimse.scu import Remote, associate, read_instance
from node.domain.errors import DestinationUnavailable
from node.imaging.phantom import ThoraxPhantom
from tests.journey.hospital import Hospital
from tests.journey.orthanc import wait_for

PHANTOM = ThoraxPhantom(seed=8, slices=48, rows=256, patches=4)
LABELS = PhantomLabels(identity="killed")
STUDY = LABELS.study_instance_uid


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_phantom(tmp_path_factory.mktemp("series"), PHANTOM, LABELS)


class Scanner(threading.Thread):
    """Sends files one by one and remembers which were answered with success."""

    def __init__(self, files: list[Path], port: int) -> None:
        super().__init__(daemon=True)
        self.files = files
        self.port = port
        self.acknowledged: dict[str, Path] = {}
        self.enough = threading.Condition()

    def run(self) -> None:
        instances = [read_instance(file) for file in self.files]
        remote = Remote(ae_title="GROUNDGLASS", host="127.0.0.1", port=self.port)
        needed = [instance.syntaxes for instance in instances]
        with (
            contextlib.suppress(DestinationUnavailable),  # the node is killed while this goes on
            associate(remote, calling_ae_title="SCANNER", needed=needed, timeouts=Timeouts()) as association,
        ):
            for instance in instances:
                meaning = association.send(instance)
                with self.enough:
                    if meaning.delivered:
                        self.acknowledged[instance.sop_instance_uid] = instance.path
                    self.enough.notify_all()

    def wait_for(self, count: int) -> None:
        with self.enough:
            assert self.enough.wait_for(lambda: len(self.acknowledged) >= count, timeout=30)


def index(hospital: Hospital) -> sqlite3.Connection:
    """Open the node's index for reading."""
    return sqlite3.connect(f"file:{hospital.node.folder / 'data' / 'index.sqlite'}?mode=ro", uri=True)


def test_killed_while_receiving(hospital: Hospital, series: list[Path]):
    hospital.open()
    for count in (5, 20):
        scanner = Scanner(series, hospital.node.port)
        scanner.start()
        scanner.wait_for(count)
        hospital.node.kill()
        scanner.join(timeout=30)
        hospital.node.start()
        with index(hospital) as database:
            rows = dict(database.execute("SELECT sop_instance_uid, object_key FROM instances"))
        for uid, file in scanner.acknowledged.items():
            (path,) = (hospital.node.folder / "data" / "objects").rglob(f"{rows[uid]}*")
            assert hashlib.sha256(path.read_bytes()).hexdigest() == rows[uid]
            assert pydicom.dcmread(path).PixelData == pydicom.dcmread(file).PixelData

    hospital.scan(series)
    hospital.wait_for_reports(STUDY, 1)
    wait_for(
        lambda: {delivery["state"] for delivery in hospital.study(STUDY)["deliveries"]} == {"delivered"},
        seconds=30,
        what="every delivery",
    )
    assert len(hospital.pacs.instances(STUDY, "SR")) == 1


def test_killed_while_screening(hospital: Hospital, series: list[Path]):
    hospital.open()
    hospital.scan(series)

    def running() -> bool:
        with index(hospital) as database:
            return bool(database.execute("SELECT 1 FROM screenings WHERE state = 'running'").fetchall())

    try:
        wait_for(running, seconds=60, what="a running screening")
    except AssertionError as failure:
        log = (hospital.node.folder / "node.log").read_text()[-3000:]
        raise AssertionError(f"{failure}\n{log}") from None
    hospital.node.kill()
    hospital.node.start()
    hospital.wait_for_reports(STUDY, 1)
    wait_for(
        lambda: {delivery["state"] for delivery in hospital.study(STUDY)["deliveries"]} == {"delivered"},
        seconds=30,
        what="every delivery",
    )
    assert len(hospital.pacs.instances(STUDY, "SR")) == 1
    assert len(hospital.heatmaps(STUDY)) == min(hospital.study(STUDY)["finding"]["slices_positive"], 10)
