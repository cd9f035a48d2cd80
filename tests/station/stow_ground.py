"""A node's STOW-RS service on a real store and loopback, and what is sent to it."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from node.domain.network import Right
from node.receive.storage import StorageService
from node.store.store import Store, open_store
from node.web.access import Access
from node.web.resources import ServiceUrl
from node.web.server import Bind, WebServer
from node.web.stow import StowLimits, StowResource
from node.web.visits import Visits
from tests.station.receiving_node import CountedUids, WallClock, migrated_index

TOKEN = "sixteen-bytes-or-more"
BOUNDARY = "ground.glass-boundary"
TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
LIMITS = StowLimits(request_bytes=8 << 20, object_bytes=1 << 20, requests=40, parts=30)
PATIENCE = 20.0


@dataclass(frozen=True)
class Serving:
    """A service that takes objects."""

    store: Store
    port: int
    root: Path

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def stored(self) -> set[str]:
        """Return the SOP Instance UIDs in the index."""
        with self.store.database.read() as connection:
            return set(connection.exec_driver_sql("SELECT sop_instance_uid FROM instances").scalars())

    def open_associations(self) -> int:
        with self.store.database.read() as connection:
            query = 'SELECT count(*) FROM associations WHERE "end" IS NULL'
            return int(connection.exec_driver_sql(query).scalar_one())

    def spooled(self) -> list[Path]:
        return list((self.root / "spool").iterdir())

    def raw(self, request: Iterable[bytes], *, shut: bool = False) -> bytes:
        """Send bytes as they are; return all that is answered until the server closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            try:
                for piece in request:
                    connection.sendall(piece)
                if shut:
                    connection.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: connection.recv(65536), b""))
            except ConnectionError:
                return b""


@contextmanager
def serving(root: Path, *, limits: StowLimits = LIMITS) -> Iterator[Serving]:
    """Run a service, on an empty store unless one is there."""
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "index.sqlite").exists():
        (root / "index.sqlite").write_bytes(migrated_index())
    store = open_store(root, clock=WallClock(), uids=CountedUids())
    store.files.sweep_spool()
    url = ServiceUrl(path="/dicom-web", public="", any_name=False)
    storage = StorageService(files=store.files, records=store.intake, clock=WallClock())
    visits = Visits(storage, WallClock(), linger_seconds=0.05)
    stow = StowResource(
        storage,
        visits,
        url=url,
        calling_ae_title="DICOMWEB",
        called_ae_title="GROUNDGLASS",
        limits=limits,
    )
    server = WebServer(
        Bind(host="127.0.0.1", port=0, path="/dicom-web", max_connections=64, idle_seconds=30.0),
        stow.resources(),
        access=Access(["127.0.0.1"], frozenset({Right.STORE}), TOKEN.encode),
        url=url,
    )
    try:
        yield Serving(store=store, port=server.start(), root=root)
    finally:
        server.stop()
        visits.close()
        store.close()


def body_of(parts: Iterable[bytes], *, head: bytes = b"Content-Type: application/dicom") -> bytes:
    """Return the body of a request."""
    mark = f"--{BOUNDARY}".encode()
    return b"".join(mark + b"\r\n" + head + b"\r\n\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


def head_of(length: int | None, *, path: str = "/dicom-web/studies", content_type: str = TYPE) -> bytes:
    """Return the head of a request; without a length, its body comes in chunks."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n"
        f"Content-Type: {content_type}\r\n{framing}\r\n\r\n"
    ).encode()
