"""The whole DICOMweb service as its settings put it together, with some images in it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from node.domain.identity import derived_uid
from node.publishing import web_server
from node.receive.storage import StorageService
from node.settings.settings import Settings
from node.store.store import open_store
from node.web.visits import Visits
from tests.station.receiving_node import CountedUids, WallClock, migrated_index, write_instance
from tests.station.stow_ground import TOKEN, TYPE, body_of
from tests.station.wado_ground import write_image

IDLE_SECONDS = 0.6
PATIENCE = 20.0
LARGE = "2.25.90"
"""Study of an image that is larger than the buffers of a connection."""
STUDY, SERIES = derived_uid("test", "study", "1"), derived_uid("test", "series", "1")
SECRETS = ("Traceback", "sqlalchemy", "sqlite", "SELECT", "objects/", "site-packages", "node.web", "node/")


@dataclass(frozen=True)
class Target:
    """The service under attack, and what it holds."""

    port: int
    instance: str
    """Path of an image of one frame."""
    frames: str
    """Path of one of three."""
    ending: bytes
    """Of the image of one frame."""

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return self.call("GET", path, **headers)

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request(
                method,
                "/dicom-web" + path,
                body=body,
                headers={"Authorization": f"Bearer {TOKEN}"}
                | {name.replace("_", "-"): value for name, value in headers.items()},
            )
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()

    def raw(self, *pieces: bytes, wait: float = PATIENCE) -> bytes:
        """Send bytes as they are; return all that comes until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                return b"".join(iter(lambda: connection.recv(65536), b""))
            except ConnectionError:
                return b""

    def serves(self) -> None:
        """Check that nothing was lost, and that it answers as before."""
        status, _, body = self.get("/studies?StudyInstanceUID=" + STUDY)
        assert (status, STUDY.encode() in body) == (200, True)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    root = tmp_path_factory.mktemp("web") / "data"
    root.mkdir()
    (root / "index.sqlite").write_bytes(migrated_index())
    token = root / "token"
    token.write_text(TOKEN)
    chosen = Settings(
        web={
            "enabled": True,
            "port": 0,
            "token": f"file:{token}",
            "rights": ["query", "retrieve", "store"],
            "idle_seconds": IDLE_SECONDS,
            "max_connections": 40,
            "max_request_bytes": 16 << 20,
        }
    )
    store = open_store(root, clock=WallClock(), uids=CountedUids())
    storage = StorageService(files=store.files, records=store.intake, clock=WallClock())
    visits = Visits(storage, WallClock(), linger_seconds=0.05)
    server = web_server(chosen, store, storage, visits=visits)
    folder = tmp_path_factory.mktemp("made")
    image, uid = write_instance(folder / "1.dcm")
    stack = np.arange(3 * 8 * 8, dtype="<u2").reshape(3, 8, 8)
    several = write_image(
        folder / "3.dcm", stack, ExplicitVRLittleEndian, SOPInstanceUID="2.25.33",
        StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, PatientID="P1", PatientName="Test^Person",
    )  # fmt: skip
    large = write_image(
        folder / "large.dcm", np.zeros((1, 2048, 2048), "<u2"), ExplicitVRLittleEndian,
        StudyInstanceUID=LARGE, PatientID="P1", PatientName="Test^Person",
    )  # fmt: skip
    try:
        port = server.start()
        path = f"/studies/{STUDY}/series/{SERIES}/instances/"
        ending = image.read_bytes()[-500:]
        found = Target(port=port, instance=path + uid, frames=path + "2.25.33", ending=ending)
        files = body_of(file.read_bytes() for file in (image, several, large))
        status, _, body = found.call("POST", "/studies", files, Content_Type=TYPE)
        assert status == 200, body
        yield found
    finally:
        server.stop()
        visits.close()
        store.close()


def harmless(answer: tuple[int, dict[str, str], bytes], sent: str = "") -> int:
    """Check that an answer tells nothing that it should not; return its status."""
    status, headers, body = answer
    assert status < 500, (sent, answer)
    assert "set-cookie" not in headers
    if status >= 400:
        text = body.decode()
        assert len(text) < 300
        assert not any(secret in text for secret in SECRETS), (sent, text)
        assert len(sent) < 4 or sent not in text, (sent, text)
    return status
