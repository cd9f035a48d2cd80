"""Ground of the tests of pulling: an archive of this node's own kind, and a node that fetches from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.dimse.admission import Admission
from node.dimse.listening import Listener
from node.dimse.scu import Remote
from node.domain.archives import PullCause, PullProgress, PullRequest, Sought
from node.domain.network import MoveDestination, Peer, Right
from node.fetching import Fetching
from node.publishing import publish
from node.receive.storage import StorageService
from node.settings.loading import load
from node.settings.settings import Settings
from node.store.store import Store, open_store
from tests.free_ports import free_port
from tests.station.finding_ground import VIEWER, Archive, answering
from tests.station.receiving_node import (
    AE_TITLE,
    LIMITS,
    CountedUids,
    WallClock,
    migrated_index,
    send_files,
    write_instance,
)

MOVE, GET, WEB = "by-move", "by-get", "by-web"
STUDIES = ("1", "2", "3", "4")
PEERS = (Peer(ae_title=AE_TITLE, addresses=("127.0.0.1",), rights=frozenset({Right.STORE})),)


@dataclass(frozen=True)
class FetchingNode:
    """A node that fetches, whose ticks are run by the test."""

    store: Store
    root: Path
    port: int
    storage: StorageService

    def fetching(self, settings: Settings) -> Mapping[str, Callable[[], object]]:
        """Return what is done again and again under some settings, by name."""
        made = Fetching(settings, self.store, self.storage, clock=WallClock(), jitter=lambda: 0.0)
        return {tick.name: tick.action for tick in made.ticks()}

    def ask(self, archive: str, **sought: Any) -> int:
        """Ask for studies; return the number of the pull."""
        return self.store.pulls.ask(
            PullRequest(archive=archive, cause=PullCause.ASKED, sought=Sought(**sought))
        )

    def pull(self, settings: Settings, archive: str, **sought: Any) -> PullProgress:
        """Ask for studies and carry out what is due; return what became of it."""
        number = self.ask(archive, **sought)
        self.fetching(settings)[f"fetch {archive}"]()
        return self.store.pulls.progress(number)

    def stored(self) -> dict[str, bytes]:
        """Return the files of the instances here."""
        with self.store.database.read() as connection:
            rows = connection.exec_driver_sql("SELECT sop_instance_uid, object_key FROM instances").all()
        return {uid: self.store.files.path(key).read_bytes() for uid, key in rows}

    def ends(self) -> list[str | None]:
        with self.store.database.read() as connection:
            return list(connection.exec_driver_sql('SELECT "end" FROM associations').scalars())


@contextmanager
def fetching_node(root: Path, *, peers: Sequence[Peer] = PEERS) -> Iterator[FetchingNode]:
    """Run a node that takes what the archive sends."""
    clock = WallClock()
    root.mkdir()
    (root / "index.sqlite").write_bytes(migrated_index())
    store = open_store(root, clock=clock, uids=CountedUids())
    storage = StorageService(files=store.files, records=store.intake, clock=clock)
    listener = Listener(
        ae_title=VIEWER,
        host="127.0.0.1",
        port=0,
        limits=LIMITS,
        gate=Admission(VIEWER, peers),
        services=storage,
        clock=clock,
    )
    try:
        yield FetchingNode(store=store, root=root, port=listener.start(), storage=storage)
    finally:
        assert listener.stop()
        store.close()


@dataclass(frozen=True)
class Hospital:
    """An archive with some studies, and the settings by which it is asked."""

    archive: Archive
    files: dict[str, Path]
    """By SOP Instance UID."""
    node: FetchingNode
    settings: Settings

    def of_study(self, study: str) -> list[str]:
        """Return the SOP Instance UIDs of a study, in the order of its slices."""
        return [uid for uid, path in self.files.items() if path.name.startswith(f"{study}-")]

    def send(self, *uids: str) -> None:
        """Send instances to the node, as a scanner would."""
        remote = Remote(ae_title=VIEWER, host="127.0.0.1", port=self.node.port)
        send_files(remote, *(self.files[uid] for uid in uids), calling_ae_title=AE_TITLE)


@contextmanager
def hospital(folder: Path, *, slices: int = 5, peers: Sequence[Peer] = PEERS) -> Iterator[Hospital]:
    """Run an archive that speaks DIMSE and DICOMweb, and a node that knows it in three ways."""
    web_port = free_port()
    with ExitStack() as opened:
        node = opened.enter_context(fetching_node(folder / "node", peers=peers))
        destination = MoveDestination(ae_title=VIEWER, host="127.0.0.1", port=node.port)
        archive = opened.enter_context(answering(folder / "archive", destination))
        storage = StorageService(files=archive.store.files, records=archive.store.intake, clock=WallClock())
        web = {"enabled": True, "port": web_port, "anonymous": True}
        publish(
            Settings(web=web),
            archive.store,
            storage,
            clock=WallClock(),
            opened=opened,
        )
        files = {}
        for study in STUDIES:
            for number in range(1, slices + 1):
                path = folder / f"{study}-{number}.dcm"
                uid = write_instance(path, number, study=study, patient_id=f"P{study}")[1]
                files[uid] = path
        send_files(Remote(ae_title=AE_TITLE, host="127.0.0.1", port=archive.port), *files.values())
        config = folder / "groundglass.toml"
        config.write_text(SETTINGS.format(port=archive.port, web_port=web_port))
        yield Hospital(archive=archive, files=files, node=node, settings=load(config, {}))


SETTINGS = """
[node]
ae_title = "VIEWER"

[[archives]]
name = "by-move"
ae_title = "GROUNDGLASS"
host = "127.0.0.1"
port = {port}

[[archives]]
name = "by-get"
ae_title = "GROUNDGLASS"
host = "127.0.0.1"
port = {port}
retrieve = "get"
counts = false

[[archives]]
kind = "dicomweb"
name = "by-web"
url = "http://127.0.0.1:{web_port}/dicom-web"
counts = false

[[archives]]
name = "away"
ae_title = "NOBODY"
host = "127.0.0.1"
port = 1
counts = false

[[polls]]
name = "chest"
archive = "by-get"
days_back = 3660

[pull]
connect_seconds = 2
answer_seconds = 10
missing_seconds = 0.000001
"""
