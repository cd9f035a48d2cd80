"""A node's searches and metadata on a real store and loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.responses import Response

from node.dicom.read import read_header
from node.domain.network import Right
from node.domain.study import Arrival
from node.store.searching import Search
from node.store.store import Store, open_store
from node.web.access import Access
from node.web.capabilities import Capabilities
from node.web.metadata import MetadataService
from node.web.qido import SearchService
from node.web.resources import Resource, ServiceUrl
from node.web.server import Bind, WebServer
from tests.station.receiving_node import CountedUids, WallClock, migrated_index

TOKEN = "correct-horse-battery"
ORIGIN = "https://viewer.example"
IDLE_SECONDS = 0.4
SEARCH_SECONDS = 60.0
LARGE = "/large"
LARGE_BYTES = 32 << 20


class LeapingClock(WallClock):
    """A clock that leaps whenever somebody looks at it."""

    def __init__(self) -> None:
        self.leap = 0.0
        self._seconds = 0.0

    def monotonic(self) -> float:
        self._seconds += self.leap
        return self._seconds


@dataclass(frozen=True)
class Searching:
    """A service that is searched."""

    store: Store
    client: httpx.Client
    base: str
    port: int
    clock: LeapingClock
    """Of searches."""

    def add(self, path: Path) -> None:
        stored = self.store.files.store(path.read_bytes())
        self.store.intake.add(
            Arrival(
                header=read_header(path),
                object_key=stored.key,
                sha256=stored.sha256,
                size=stored.size,
                received_at=self.store.database.clock.now(),
                calling_ae_title="CT1",
                association_id=None,
            )
        )

    def get(self, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(self.base + path, headers=named)

    def found(self, path: str) -> list[dict[str, Any]]:
        """Return the answers to a search, which must succeed."""
        answer = self.get(path)
        if answer.status_code == 204:
            assert answer.content == b""
            return []
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/dicom+json"
        answers: list[dict[str, Any]] = answer.json()
        return answers

    def values(self, path: str, tag: str) -> list[Any]:
        """Return one value of every answer."""
        return [answer[tag]["Value"][0] for answer in self.found(path)]


@contextmanager
def searching(root: Path) -> Iterator[Searching]:
    """Run a service on an empty store; it serves whoever has the token, to search and to retrieve."""
    root.mkdir(parents=True)
    (root / "index.sqlite").write_bytes(migrated_index())
    store = open_store(root, clock=WallClock(), uids=CountedUids())
    url = ServiceUrl(path="/dicom-web", public="", any_name=False)
    clock = LeapingClock()
    search = SearchService(
        Search(store.matches, store.files), clock, seconds=SEARCH_SECONDS, url=url, ae_title="GROUND"
    )
    resources = [
        *search.resources(),
        *MetadataService(store.stored, store.metadata, url=url).resources(),
        Resource(path=LARGE, method="GET", right=None, answer=lambda _: Response(bytes(LARGE_BYTES))),
    ]
    server = WebServer(
        Bind(host="127.0.0.1", port=0, path="/dicom-web", max_connections=40, idle_seconds=IDLE_SECONDS),
        [*resources, *Capabilities(resources, url=url).resources()],
        access=Access(["127.0.0.1"], frozenset({Right.QUERY, Right.RETRIEVE}), TOKEN.encode),
        url=url,
        origins=[ORIGIN],
    )
    try:
        port = server.start()
        with httpx.Client(verify=False, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            base = f"http://127.0.0.1:{port}/dicom-web"
            yield Searching(store=store, client=client, base=base, port=port, clock=clock)
    finally:
        server.stop()
        store.close()
