"""A node whose associations run in several processes, without the stations behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from node.dimse.listening import Listener
from node.dimse.receivers import Receivers
from node.domain.ports import Clock
from node.operate.counting import CountedIntake
from node.operate.metrics import Figures, Metrics
from node.receive.storage import StorageService
from node.receiving import PROCESS, listener_of, receivers_of
from node.settings.settings import Settings
from node.store.claim import StoreClaim
from node.store.store import Store, open_store
from node.system import RandomUids, SystemClock
from tests.station.receiving_node import migrated_index

OWN_DEVICE = "2.25.4711"
PLACES = 4
NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Ground:
    store: Store
    metrics: Metrics
    listener: Listener
    receivers: Receivers
    port: int

    def call(self) -> Association:
        """Open an association."""
        return call(self.port)

    def rows(self, query: str) -> list[tuple]:
        with self.store.database.read() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def ends(self) -> list[str | None]:
        return [row[0] for row in self.rows('SELECT "end" FROM associations ORDER BY id')]

    def shares(self) -> list[int]:
        """Return how many connections each process has."""
        with self.receivers._lock:
            return [len(running.connections) for running in self.receivers._runs()]


def call(port: int) -> Association:
    entity = AE("CT1")
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    return entity.associate("127.0.0.1", port, ae_title="GROUNDGLASS")


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def receiving_processes(parent: int) -> list[int]:
    """Return the receiving processes of a node."""
    tasks = Path(f"/proc/{parent}/task")
    found = {int(number) for file in tasks.glob("*/children") for number in file.read_text().split()}
    return sorted(item for item in found if PROCESS.encode() in Path(f"/proc/{item}/cmdline").read_bytes())


@contextmanager
def receiving_in_processes(
    root: Path,
    *,
    processes: int = 2,
    places: int = PLACES,
    clock: Clock | None = None,
    sections: Mapping[str, object] = NOTHING,
) -> Iterator[Ground]:
    """Open a store as a node that starts does, and receive; ``clock`` is that of the node's own process."""
    told = {
        "node": {"host": "127.0.0.1", "port": 0, "data_dir": root},
        "limits": {"receiving_processes": processes, "max_associations": places},
        "peers": [{"ae_title": "CT1", "addresses": ["127.0.0.1"]}],
    }
    settings = Settings(**{**told, **sections})
    clock, uids = clock or SystemClock(), RandomUids()
    metrics = Metrics(lambda: Figures(screenings={}, shadows={}, deliveries={}, destinations=()))
    with ExitStack() as opened:
        claim = opened.enter_context(StoreClaim(root))
        if not (root / "index.sqlite").exists():
            (root / "index.sqlite").write_bytes(migrated_index())
        store = open_store(root, clock=clock, uids=uids)
        opened.callback(store.close)
        store.files.sweep_spool()
        store.studies.defer_after_restart(settings.assemble.quiet_times().plain)
        receivers = receivers_of(settings, store, claim=claim, metrics=metrics, clock=clock)
        assert receivers is not None
        receivers.tell({OWN_DEVICE})
        storage = StorageService(files=store.files, records=CountedIntake(store, metrics), clock=clock)
        listener = listener_of(settings, store, storage, clock=clock, uids=uids, receivers=receivers)
        port = listener.start()
        opened.callback(listener.stop, grace_seconds=0.1)
        yield Ground(store=store, metrics=metrics, listener=listener, receivers=receivers, port=port)
