"""Ground of the tests of queries: a node with a store, and peers that may ask it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from node.dimse.admission import Admission
from node.dimse.listening import Listener
from node.domain.network import ListenLimits, MoveDestination, Peer, Right
from node.domain.study import Arrival, InstanceHeader
from node.query.find import FindService
from node.query.retrieve import RetrieveService
from node.receive.storage import StorageService
from node.store.store import Store, open_store
from tests.station.receiving_node import AE_TITLE, LIMITS, CountedUids, WallClock, migrated_index

VIEWER = "VIEWER"
HERE = ("127.0.0.1",)
PEERS = (
    Peer(ae_title=VIEWER, addresses=HERE, rights=frozenset({Right.QUERY, Right.RETRIEVE, Right.ECHO})),
    Peer(ae_title="LIST", addresses=HERE, rights=frozenset({Right.QUERY})),
    Peer(ae_title="CT1", addresses=HERE, rights=frozenset({Right.STORE, Right.ECHO})),
)
STUDY = StudyRootQueryRetrieveInformationModelFind
PATIENT = PatientRootQueryRetrieveInformationModelFind


@dataclass(frozen=True)
class Archive:
    """A node that answers queries."""

    store: Store
    port: int
    listener: Listener

    def add(self, header: InstanceHeader, data: bytes = b"") -> None:
        stored = self.store.files.store(data or header.sop_instance_uid.encode())
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

    def find(self, level: str, model: str = STUDY, **keys: object) -> list[Dataset]:
        """Return what is found; the query must succeed."""
        with calling(self.port) as association:
            return matches(association, level, model, **keys)


@contextmanager
def answering(root: Path, *destinations: MoveDestination, limits: ListenLimits = LIMITS) -> Iterator[Archive]:
    """Run a node that answers queries and sends what it has."""
    clock = WallClock()
    root.mkdir()
    (root / "index.sqlite").write_bytes(migrated_index())
    store = open_store(root, clock=clock, uids=CountedUids())
    listener = Listener(
        ae_title=AE_TITLE,
        host="127.0.0.1",
        port=0,
        limits=limits,
        gate=Admission(AE_TITLE, PEERS),
        services=StorageService(files=store.files, records=store.intake, clock=clock),
        clock=clock,
        query=FindService(store.matches, store.files, ae_title=AE_TITLE),
        retrieve=RetrieveService(
            store.matches, store.files, store.codecs, damage=store.damage, destinations=destinations
        ),
    )
    port = listener.start()
    try:
        yield Archive(store=store, port=port, listener=listener)
    finally:
        assert listener.stop()
        store.close()


@contextmanager
def calling(
    port: int, *, ae_title: str = VIEWER, model: str = "", extended: bytes = b""
) -> Iterator[Association]:
    """Open an association that proposes both information models, or one."""
    entity = AE(ae_title=ae_title)
    entity.dimse_timeout = entity.network_timeout = entity.acse_timeout = 20
    for uid in [model] if model else [STUDY, PATIENT]:
        entity.add_requested_context(uid)
    negotiation = []
    if extended:
        for uid in (STUDY, PATIENT):
            item = SOPClassExtendedNegotiation()
            item.sop_class_uid = uid
            item.service_class_application_information = extended
            negotiation.append(item)
    association = entity.associate("127.0.0.1", port, ae_title=AE_TITLE, ext_neg=negotiation)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def answers(association: Association, identifier: Dataset, model: str = STUDY) -> list[tuple[int, Dataset]]:
    """Return every response with its status."""
    return [(status.get("Status", -1), found) for status, found in association.send_c_find(identifier, model)]


def identifier_of(level: str, keys: dict[str, object]) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    with disable_value_validation():  # a key may be what no value is
        for keyword, value in keys.items():
            numeric = isinstance(value, str) and dictionary_VR(keyword) == "US"
            setattr(identifier, keyword, (int(value) if value else None) if numeric else value)
    return identifier


def matches(association: Association, level: str, model: str = STUDY, **keys: object) -> list[Dataset]:
    """Return what is found; the query must succeed."""
    found = answers(association, identifier_of(level, keys), model)
    *pending, (last, _) = found
    assert last == 0x0000, f"{last:04X}"
    assert {status for status, _ in pending} <= {0xFF00}
    return [match for _, match in pending]


def values(found: Sequence[Dataset], keyword: str) -> list[str]:
    return sorted(str(match.get(keyword)) for match in found)
