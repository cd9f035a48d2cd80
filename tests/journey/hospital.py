"""A scanner, a node and a PACS on one machine, and the questions a test asks them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom

from node.domain.result import ResultKind
from node.report.identity import SERIES_NUMBERS
from tests.free_ports import free_port
from tests.journey.node_process import NodeProcess, dcmsend
from tests.journey.orthanc import Orthanc, wait_for

COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
HEATMAPS = SERIES_NUMBERS[ResultKind.HEATMAP]


class Hospital:
    """The machines of one test."""

    def __init__(
        self,
        folder: Path,
        *,
        quiet: float = 1.0,
        select: str = "",
        infer: str = "",
        authority: bool = False,
        node: Callable[..., NodeProcess] = NodeProcess,
    ) -> None:
        self.folder = folder
        node_port = free_port()
        self.pacs = Orthanc(folder / "pacs", node_port=node_port, node_ae_title="GROUNDGLASS")
        more = {"infer": infer} if infer else {}
        self.node = node(
            folder / "node",
            port=node_port,
            pacs_port=self.pacs.dicom_port,
            quiet=quiet,
            select=select,
            authority=authority,
            **more,
        )

    def open(self, *, live: bool = True) -> None:
        """Start the node and, unless told otherwise, let its results go to the PACS."""
        self.node.start()
        if live:
            self.node.run("go-live", "pacs", "--by", "tester", "--reason", "journey test")

    def close(self) -> None:
        """End everything."""
        if self.node.process is not None and self.node.process.poll() is None:
            self.node.stop()
        self.pacs.stop()

    def scan(self, files: list[Path] | Path) -> None:
        """Send files to the node as a scanner would."""
        dcmsend(files, port=self.node.port)

    def study(self, study_instance_uid: str) -> Any:
        """Return what ``studies show`` says."""
        return self.node.json("studies", "show", study_instance_uid)

    def reports(self, study_instance_uid: str) -> list[pydicom.Dataset]:
        """Return the reports of a study that lie in the PACS, oldest version first."""
        found = [self.dataset(name) for name in self.pacs.instances(study_instance_uid, "SR")]
        return sorted(found, key=lambda report: int(report.InstanceNumber))

    def heatmaps(self, study_instance_uid: str) -> list[pydicom.Dataset]:
        """Return the heatmaps of a study that lie in the PACS."""
        datasets = [self.dataset(name) for name in self.pacs.instances(study_instance_uid)]
        return [dataset for dataset in datasets if dataset.get("SeriesNumber") == HEATMAPS]

    def dataset(self, instance: str) -> pydicom.Dataset:
        """Return an instance of the PACS."""
        return pydicom.dcmread(io.BytesIO(self.pacs.file(instance)))

    def wait_for_reports(
        self, study_instance_uid: str, count: int, *, seconds: float = 90
    ) -> list[pydicom.Dataset]:
        """Wait until the PACS holds so many reports of a study, and everything due was delivered."""

        def there() -> list[pydicom.Dataset]:
            names = self.pacs.instances(study_instance_uid, "SR")
            return self.reports(study_instance_uid) if len(names) >= count else []

        try:
            found: list[pydicom.Dataset] = wait_for(
                there, seconds=seconds, what=f"{count} report(s) of {study_instance_uid} in the PACS"
            )
        except AssertionError as failure:
            log = (self.node.folder / "node.log").read_text()[-3000:]
            raise AssertionError(
                f"{failure}\n{json.dumps(self.study(study_instance_uid), indent=1)}\n{log}"
            ) from None
        return found
