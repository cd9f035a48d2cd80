"""A node's WADO-RS service on a real store and loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import httpx
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from node.dicom.read import read_header
from node.dicom.transcode import Transcoder
from node.domain.identity import derived_uid
from node.domain.network import Right
from node.domain.study import Arrival
from node.store.store import Store, open_store
from node.web.access import Access
from node.web.bulkdata import BulkDataResource
from node.web.frames import FrameResource
from node.web.rendered import RenderedResource
from node.web.resources import ServiceUrl
from node.web.server import Bind, WebServer
from node.web.wado import WadoResource
from tests.station.receiving_node import CountedUids, WallClock, migrated_index


@dataclass(frozen=True)
class Reading:
    """A service from which objects are read."""

    store: Store
    client: httpx.Client
    base: str

    def add(self, path: Path) -> str:
        """Put an object into the store; return the path of its instance."""
        stored = self.store.files.store(path.read_bytes())
        header = read_header(path)
        self.store.intake.add(
            Arrival(
                header=header,
                object_key=stored.key,
                sha256=stored.sha256,
                size=stored.size,
                received_at=self.store.database.clock.now(),
                calling_ae_title="CT1",
                association_id=None,
            )
        )
        series = f"/studies/{header.study_instance_uid}/series/{header.series_instance_uid}"
        return f"{series}/instances/{header.sop_instance_uid}"

    def get(self, path: str, accept: str = "*/*", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(self.base + path, headers={"Accept": accept, **named})


@contextmanager
def reading(root: Path, *, idle_seconds: float = 30.0) -> Iterator[Reading]:
    """Run a service on an empty store."""
    root.mkdir(parents=True)
    (root / "index.sqlite").write_bytes(migrated_index())
    store = open_store(root, clock=WallClock(), uids=CountedUids())
    url = ServiceUrl(path="/dicom-web", public="", any_name=False)
    codecs, files = store.codecs, store.damage
    transcoder = Transcoder(codecs)
    frames = FrameResource(store.stored, files, transcoder, url=url)
    server = WebServer(
        Bind(host="127.0.0.1", port=0, path="/dicom-web", max_connections=64, idle_seconds=idle_seconds),
        [
            *WadoResource(store.stored, files, transcoder).resources(),
            *frames.resources(),
            *BulkDataResource(store.stored, files, frames).resources(),
            *RenderedResource(store.stored, files, codecs).resources(),
        ],
        access=Access(["127.0.0.1"], frozenset({Right.RETRIEVE}), None),
        url=url,
    )
    try:
        base = f"http://127.0.0.1:{server.start()}/dicom-web"
        with httpx.Client(verify=False) as client:  # certificates to compare with take long to load
            yield Reading(store=store, client=client, base=base)
    finally:
        server.stop()
        store.close()


def parts_of(response: httpx.Response) -> list[tuple[dict[str, str], bytes]]:
    """Return headers and content of every part, strictly as RFC 2046 has it."""
    kind = Message()
    kind["Content-Type"] = response.headers["content-type"]
    assert kind.get_content_type() == "multipart/related"
    mark = f"--{kind.get_param('boundary')}".encode()
    body = response.content
    assert body.startswith(mark + b"\r\n")
    assert body.endswith(b"\r\n" + mark + b"--\r\n")
    found = []
    for part in body[len(mark) + 2 : -len(mark) - 6].split(b"\r\n" + mark + b"\r\n"):
        head, _, content = part.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        assert int(fields.get("Content-Length", len(content))) == len(content)
        found.append(({name.lower(): value for name, value in fields.items()}, content))
    return found


def write_image(path: Path, pixels: np.ndarray, syntax: str, **attributes: object) -> Path:
    """Write an image of shape (frames, rows, columns[, samples]) that is not compressed."""
    uid = UID(syntax)
    image = Dataset()
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7.3"
    image.SOPInstanceUID = derived_uid("test", path.name)
    image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.1", "2.25.2"
    image.PatientID, image.PatientName, image.Modality = "P1", "Test^Person", "OT"
    image.NumberOfFrames, image.Rows, image.Columns = pixels.shape[:3]
    image.SamplesPerPixel = pixels.shape[3] if pixels.ndim == 4 else 1
    image.PhotometricInterpretation = "MONOCHROME2"
    bits = pixels.dtype.itemsize * 8
    image.BitsAllocated = image.BitsStored = bits
    image.HighBit, image.PixelRepresentation = bits - 1, int(pixels.dtype.kind == "i")
    image.add_new(0x7FE00010, "OB" if bits == 8 else "OW", pixels.tobytes())
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = uid
    dcmwrite(
        path,
        image,
        enforce_file_format=True,
        implicit_vr=uid.is_implicit_VR,
        little_endian=uid.is_little_endian,
    )
    return path
