"""What an operator decides, or a disk refuses, while a courier is on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from pynetdicom import AE, AllStoragePresentationContexts, evt

from node.domain.errors import OutOfSpace
from node.store.outbox import OutboxRecords
from tests.station.outbox_ground import PACS, Outbox, make_outbox, sender_to


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = make_outbox(tmp_path / "node", (PACS,))
    yield made
    made.store.close()


@pytest.fixture
def archive() -> Iterator[Callable[[Callable[[], object]], int]]:
    """Return a function that starts a storage SCP, which acts once it has the first object; its port."""
    servers = []

    def start(act: Callable[[], object]) -> int:
        acts = iter([act])

        def answer(_event: evt.Event) -> int:
            next(acts, lambda: None)()
            return 0x0000

        entity = AE(ae_title="PACS")
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax)
        handlers = [(evt.EVT_C_STORE, answer)]
        servers.append(entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers))
        return int(servers[-1].server_address[1])

    yield start
    for server in servers:
        server.shutdown()


@pytest.mark.parametrize("act", ["stop", "hold"])
def test_a_stop_or_a_hold_ends_the_sending_after_the_object_under_way(outbox, archive, act):
    acts = {
        "stop": lambda: outbox.store.operations.stop("tester", "wrong results"),
        "hold": lambda: outbox.store.studies.hold(outbox.study_id, "tester", "wrong patient"),
    }
    courier = outbox.courier(sender_to(PACS, archive(acts[act])))

    assert courier.run_once(PACS) == 1
    assert outbox.states(PACS) == ["sent", "pending", "pending"]
    outbox.clock.at = outbox.deliveries(PACS)[1].due_at
    assert courier.run_once(PACS) == 0

    if act == "stop":
        outbox.store.operations.go_live(PACS, "tester", "looked")
    else:
        outbox.store.studies.release(outbox.study_id, "tester", "looked")
    assert courier.run_once(PACS) == 2


class FullDisk(OutboxRecords):
    """The outbox of a node whose disk is full for a while."""

    full = True

    def accepted(self, delivery_id: int, detail: str) -> None:
        self._need_room()
        super().accepted(delivery_id, detail)

    def retry(self, delivery_id: int, due_at: datetime, detail: str) -> None:
        self._need_room()
        super().retry(delivery_id, due_at, detail)

    def _need_room(self) -> None:
        if self.full:
            raise OutOfSpace("no room is left for the index")


def test_a_delivery_that_could_not_be_noted_is_not_forgotten(outbox, archive):
    records = FullDisk(outbox.store.database)
    courier = outbox.courier(sender_to(PACS, archive(lambda: None)), outbox=records)
    with pytest.raises(OutOfSpace):
        courier.run_once(PACS)
    assert outbox.states(PACS) == ["sending"] * 3

    records.full = False
    assert courier.run_once(PACS) == 3
    assert outbox.states(PACS) == ["sent"] * 3
