"""A node that is asked for storage commitment and told of procedure steps, and the scanner that does so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel

from node.dicom.read import read_header
from node.dimse.admission import Admission
from node.dimse.commitment_session import CommitmentServices
from node.dimse.entity import Timeouts
from node.dimse.listening import Listener
from node.dimse.scu import Remote
from node.domain.commitment import CommitmentWaits, OpenRequest, RequestState
from node.domain.network import DicomDestination, Peer, Right
from node.domain.study import Arrival
from node.receive.commitment import CommitmentReports
from node.receive.committing import Archive, Calling, Committing, Requester
from node.receive.procedure_steps import AnnouncementService
from node.receive.storage import StorageService
from node.store.commitments_asked import protected
from node.store.object_files import LocalObjectFiles
from node.store.store import Store, open_store
from tests.station.outbox_ground import SetClock
from tests.station.proof_ground import WELL_KNOWN, references
from tests.station.receiving_node import (
    AE_TITLE,
    LIMITS,
    TIMEOUTS,
    CountedUids,
    WallClock,
    migrated_index,
    wait_until,
    write_instance,
)

WAITS = CommitmentWaits(arrival=timedelta(minutes=5), relay=timedelta(hours=2), report=timedelta(days=7))
HERE = ("127.0.0.1",)
ALL = frozenset({Right.COMMITMENT, Right.PROCEDURE_STEPS, Right.AVAILABILITY})
PEERS = (
    *(Peer(ae_title=name, addresses=HERE, rights=ALL) for name in ("CT1", "CT2", "PACS", "BUSY")),
    Peer(ae_title="SENDER", addresses=HERE, rights=frozenset({Right.STORE, Right.ECHO})),
)


@dataclass
class Node:
    """A node with what it is asked for, in a store with a clock that moves when told."""

    store: Store
    clock: SetClock
    listener: Listener
    provider: _Provider
    uids: CountedUids
    root: Path
    port: int = 0

    def receive(self, folder: Path, count: int, *, study: str, first: int = 1) -> list[str]:
        """Let instances of a series come in; return their SOP Instance UIDs."""
        uids = []
        for number in range(first, first + count):
            path, uid = write_instance(folder / f"{study}.{number}.dcm", number, study=study)
            stored = self.store.files.store(path.read_bytes())
            self.store.intake.add(
                Arrival(
                    header=read_header(path),
                    object_key=stored.key,
                    sha256=stored.sha256,
                    size=stored.size,
                    received_at=self.clock.now(),
                    calling_ae_title="CT1",
                    association_id=None,
                )
            )
            uids.append(uid)
        return uids

    def file(self, sop_instance_uid: str) -> Path:
        query = f"SELECT object_key FROM instances WHERE sop_instance_uid = '{sop_instance_uid}'"
        with self.store.database.read() as connection:
            return self.store.files.path(connection.exec_driver_sql(query).scalar_one())

    def kept_for_good(self) -> set[str]:
        with self.store.database.read() as connection:
            return set(connection.execute(protected()).scalars())

    def state(self, transaction: str, ae_title: str = "CT2") -> RequestState:
        return self.store.commitments.state(self.store.commitments.number(transaction, ae_title))

    def request(self, transaction: str, ae_title: str = "CT2") -> OpenRequest:
        return self.store.commitments.get(self.store.commitments.number(transaction, ae_title))

    def committing(
        self,
        *,
        archive_port: int | None = None,
        scanner_port: int = 1,
        files: LocalObjectFiles | None = None,
        timeouts: Timeouts = TIMEOUTS,
    ) -> Committing:
        """Return a provider as a node that was just started makes it."""
        scanner = Remote(ae_title="CT2", host="127.0.0.1", port=scanner_port)
        archive = Archive(
            name="pacs",
            remote=Remote(ae_title="PACS", host="127.0.0.1", port=archive_port or 1),
            report_seconds=0.3,
        )
        return Committing(
            records=self.store.commitments,
            files=files or self.store.files,
            clock=self.clock,
            uids=self.uids,
            calling=Calling(ae_title=AE_TITLE, timeouts=timeouts),
            archive=archive if archive_port is not None else None,
            requesters=[Requester(ae_title="CT2", remote=scanner, same_association=False)],
            waits=WAITS,
        )

    def pass_time(self, elapsed: timedelta, committing: Committing) -> None:
        self.clock.at += elapsed
        committing.run_once()


class WatchedFiles(LocalObjectFiles):
    """Object files of a node of which it is known when they are verified."""

    def __init__(self, node: Node, before: Callable[[int], object]) -> None:
        super().__init__(node.root, node.uids)
        self.verified: list[str] = []
        self._before = before

    def verify(self, key: str) -> bool:
        self.verified.append(key)
        self._before(len(self.verified))
        return super().verify(key)


class _Provider:
    """Stands for the provider of the settings, which differs from test to test."""

    def __init__(self) -> None:
        self.current: Committing | None = None

    def requested(self, request, *, caller):
        self.current.requested(request, caller=caller)

    def report_now(self, request, *, caller, waits):
        return self.current.report_now(request, caller=caller, waits=waits)

    def reported(self, report, *, caller):
        self.current.reported(report, caller=caller)


@contextmanager
def running_node(root: Path) -> Iterator[Node]:
    """Run a node; its provider keeps by itself until a test says otherwise."""
    root.mkdir()
    (root / "index.sqlite").write_bytes(migrated_index())
    clock, uids, provider = SetClock(), CountedUids(), _Provider()
    store = open_store(root, clock=clock, uids=uids)
    pacs = DicomDestination(name="pacs", ae_title="PACS", host="127.0.0.1", port=1, accept_demonstration=True)
    reports = CommitmentReports(store.proofs, [pacs], store.commitments)
    listener = Listener(
        ae_title=AE_TITLE,
        host="127.0.0.1",
        port=0,
        limits=replace(LIMITS, max_associations=20),
        gate=Admission(AE_TITLE, PEERS),
        services=StorageService(files=store.files, records=store.intake, clock=clock),
        clock=WallClock(),
        commitment=CommitmentServices(user=reports, provider=provider),
        announcements=AnnouncementService(store.announcements, uids),
    )
    node = Node(store=store, clock=clock, listener=listener, provider=provider, uids=uids, root=root)
    node.port = listener.start()
    provider.current = node.committing()
    try:
        yield node
    finally:
        assert listener.stop()
        store.close()


@dataclass
class Scanner:
    """Asks for commitment, and takes reports, by pynetdicom."""

    ae_title: str = "CT2"
    answer: int = 0x0000
    """Status of its N-EVENT-REPORT responses."""
    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    port: int = 1
    """Where it takes reports; where it does not listen, nobody does."""

    def take(self, event: evt.Event) -> tuple[int, None]:
        self.reports.append((event.event_type, event.event_information))
        return self.answer, None

    def ask(
        self,
        node: Node,
        uids: Sequence[str],
        transaction: str,
        *,
        sop_class: str = CTImageStorage,
        stays: bool = False,
    ) -> int:
        """Ask; return the status of the response, -1 where the service is not offered.

        ``stays`` waits for the report before the association is released.
        """
        entity = AE(ae_title=self.ae_title)
        entity.add_requested_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_N_EVENT_REPORT, self.take)]
        association = entity.associate("127.0.0.1", node.port, ae_title=AE_TITLE, evt_handlers=handlers)
        if not association.accepted_contexts:
            return -1
        request = Dataset()
        request.TransactionUID = transaction
        request.ReferencedSOPSequence = references([(sop_class, uid) for uid in uids])
        answer, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, WELL_KNOWN)
        if stays:
            wait_until(lambda: bool(self.reports), "a report on the association of the request")
        association.release()
        return answer.get("Status", -2)

    @property
    def outcome(self) -> dict[str, int]:
        """What the last report says of each instance: 0, or the failure reason."""
        event_type, report = self.reports[-1]
        failed = {
            item.ReferencedSOPInstanceUID: item.FailureReason for item in report.get("FailedSOPSequence", [])
        }
        assert event_type == (2 if failed else 1)
        kept = [item.ReferencedSOPInstanceUID for item in report.get("ReferencedSOPSequence", [])]
        return dict.fromkeys(kept, 0) | failed

    @contextmanager
    def listening(self) -> Iterator[int]:
        entity = AE(ae_title=self.ae_title)
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        server = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.take)]
        )
        try:
            self.port = server.server_address[1]
            yield self.port
        finally:
            server.shutdown()
