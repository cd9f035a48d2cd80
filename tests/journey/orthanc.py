"""A real PACS for the tests: Orthanc, started on free ports and asked over its REST API."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.free_ports import free_port

START_SECONDS = 30


def wait_for(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Wait until ``condition`` answers something true and return it; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for: {what}")
        time.sleep(0.05)


class Orthanc:
    """One Orthanc process with its own folder; ``more`` replaces or adds settings of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "PACS",
        node_port: int,
        node_ae_title: str,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.ae_title = ae_title
        self.dicom_port = free_port()
        self.http_port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "Name": "PACS",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.http_port,
            "HttpServerEnabled": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": True,
            "DicomAet": ae_title,
            "DicomPort": self.dicom_port,
            "DicomModalities": {"node": [node_ae_title, "127.0.0.1", node_port]},
            "DicomAlwaysAllowStore": True,
            "OverwriteInstances": False,
            "Plugins": [],
            **(more or {}),
        }
        config = folder / "orthanc.json"
        config.write_text(json.dumps(settings))
        self.log = (folder / "orthanc.log").open("wb")
        self.process = subprocess.Popen(
            ["Orthanc", str(config)],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TCP_NODELAY": "1"},
        )
        wait_for(self.answers, seconds=START_SECONDS, what="Orthanc to answer")

    def answers(self) -> bool:
        """Whether the REST API answers."""
        assert self.process.poll() is None, "Orthanc ended at start; see orthanc.log"
        try:
            self.get("/system")
        except OSError:
            return False
        return True

    def get(self, path: str) -> Any:
        """Return the JSON answer of a GET request."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        """Return the JSON answer of a POST request."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}{path}",
            data=body if isinstance(body, bytes) else json.dumps(body).encode(),
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def delete(self, path: str) -> None:
        """Delete a resource."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()

    def file(self, instance: str) -> bytes:
        """Return the PS3.10 file of an instance."""
        url = f"http://127.0.0.1:{self.http_port}/instances/{instance}/file"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return bytes(answer.read())

    def find(self, **query: str) -> list[dict[str, Any]]:
        """Return the instances that match DICOM keywords, with their main tags."""
        body = {
            "Level": "Instance",
            "Query": query,
            "Expand": True,
            "RequestedTags": ["Modality", "SOPClassUID"],
        }
        return list(self.post("/tools/find", body))

    def instances(self, study_instance_uid: str, modality: str = "*") -> list[str]:
        """Return Orthanc's identifiers of a study's instances of one modality."""
        body = {
            "Level": "Instance",
            "Query": {"StudyInstanceUID": study_instance_uid, "Modality": modality},
        }
        return list(self.post("/tools/find", body))

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=10)
        self.log.close()
