"""Archives that answer for ever, or send nothing new: they hold no pull, and an operator ends one at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_GET, C_MOVE
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind as FindModel,
)
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet as GetModel,
)
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelMove as MoveModel,
)

from node.domain.archives import PullState
from node.domain.identity import derived_uid
from node.domain.study import AssociationEnd
from node.fetching import Fetching
from node.settings.loading import load
from tests.station.pull_ground import FetchingNode, fetching_node
from tests.station.receiving_node import WallClock, wait_until

STUDY, SERIES = derived_uid("test", "study", "1"), derived_uid("test", "series", "1")
SECONDS = 10
OPEN = "Sta6"  # PS3.8 section 9.2.1
SEARCHES = 2
"""Associations before that of the retrieval: for the series, and for the instances."""
SETTINGS = """
[[archives]]
name = "endless"
ae_title = "ENDLESS"
host = "127.0.0.1"
port = {port}
retrieve = "{retrieve}"
counts = false

[pull]
look_seconds = 0.02
cancel_seconds = {grace}
short_attempts = 1
"""


class Jumping(WallClock):
    """A clock that a test sets forward."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@dataclass
class Endless:
    """An archive that answers a retrieval with pending, again and again, until its association ends.

    It counts to three, and then tells the same number for ever.
    """

    heeds: bool
    """Whether it ends when it is told to (C-CANCEL)."""
    endless: str = "retrieval"
    begun: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    released: list[Any] = field(default_factory=list)
    """One event for each association that was not aborted."""
    opened: list[tuple[Any, Any]] = field(default_factory=list)
    """Its associations, with their sockets."""
    port: int = 0

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        level = event.identifier.QueryRetrieveLevel
        match = Dataset()
        match.QueryRetrieveLevel = level
        match.StudyInstanceUID = STUDY
        if level != "STUDY":
            match.SeriesInstanceUID, match.Modality = SERIES, "CT"
        if level == "IMAGE":
            match.SOPInstanceUID, match.SOPClassUID = f"{SERIES}.1", CTImageStorage
        yield 0xFF00, match
        if level == self.endless:
            while not self._is_over(event):
                yield 0xFF00, match
            yield 0xFE00, None

    def retrieve(self, event: Any) -> Iterator[Any]:
        made = C_MOVE if event.event.name == "EVT_C_MOVE" else C_GET
        completed = 0
        while not self._is_over(event):
            self._answer(event, made(), 0xFF00, completed)
            completed = min(completed + 1, 3)
        if event.assoc.dul.state_machine.current_state == OPEN:
            self._answer(event, made(), 0xFE00, completed)
        yield from ()

    def _is_over(self, event: Any) -> bool:
        """Take a moment, and look whether the association or the operation has ended."""
        self.begun.set()
        threading.Event().wait(0.005)
        if event.is_cancelled:
            self.cancelled.set()
        has_ended = event.assoc.dul.state_machine.current_state != OPEN
        return has_ended or (self.heeds and self.cancelled.is_set())

    def _answer(self, event: Any, answer: Any, status: int, completed: int) -> None:
        answer.MessageIDBeingRespondedTo = event.request.MessageID
        answer.AffectedSOPClassUID = event.request.AffectedSOPClassUID
        answer.Status = status
        answer.NumberOfRemainingSuboperations = None if status == 0xFE00 else 1
        answer.NumberOfCompletedSuboperations = completed
        answer.NumberOfFailedSuboperations = answer.NumberOfWarningSuboperations = 0
        event.assoc.dimse.send_msg(answer, event.context.context_id)


@contextmanager
def running(archive: Endless) -> Iterator[Endless]:
    entity = AE(ae_title="ENDLESS")
    for model in (FindModel, GetModel, MoveModel):
        entity.add_supported_context(model)
    entity.add_supported_context(CTImageStorage, scu_role=True, scp_role=True)
    handlers = [
        (evt.EVT_C_FIND, archive.find),
        (evt.EVT_C_MOVE, archive.retrieve),
        (evt.EVT_C_GET, archive.retrieve),
        (
            evt.EVT_CONN_OPEN,
            lambda event: archive.opened.append((event.assoc, event.assoc.dul.socket.socket)),
        ),
        (evt.EVT_RELEASED, archive.released.append),
    ]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    archive.port = server.server_address[1]
    try:
        yield archive
    finally:
        server.shutdown()
        for association, connection in archive.opened:
            association.join(SECONDS)
            connection.close()  # the library leaves it open when its peer went first


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FetchingNode]:
    with fetching_node(tmp_path / "node") as made:
        yield made


@contextmanager
def pulling(
    node: FetchingNode, archive: Endless, tmp_path: Path, *, retrieve: str, grace: float = 0.05
) -> Iterator[tuple[int, Jumping]]:
    """Let a node fetch until the archive has begun; what the test does then must end it."""
    config = tmp_path / "groundglass.toml"
    config.write_text(SETTINGS.format(port=archive.port, retrieve=retrieve, grace=grace))
    clock = Jumping()
    fetching = Fetching(load(config, {}), node.store, node.storage, clock=clock, jitter=lambda: 0.0)
    (tick,) = (tick for tick in fetching.ticks() if tick.name == "fetch endless")
    number = node.ask("endless", study_instance_uids=(STUDY,))
    thread = threading.Thread(target=tick.action, daemon=True)
    thread.start()
    try:
        assert archive.begun.wait(SECONDS)
        yield number, clock
        thread.join(SECONDS)
        assert not thread.is_alive()
    finally:
        fetching.stop()
        thread.join(SECONDS)


@pytest.mark.parametrize("retrieve", ["move", "get"])
def test_an_archive_that_sends_nothing_new_is_left(node: FetchingNode, tmp_path: Path, retrieve: str) -> None:
    archive = Endless(heeds=False)
    with running(archive), pulling(node, archive, tmp_path, retrieve=retrieve) as (number, clock):
        clock.ahead += 3600
    progress = node.store.pulls.progress(number)
    assert progress.pull.state is PullState.SHORT
    assert "nothing new for 900 s" in progress.problem
    assert archive.cancelled.is_set()
    assert len(archive.released) == SEARCHES
    assert node.ends() == ([AssociationEnd.ABORTED] if retrieve == "get" else [])
    (contact,) = node.store.archives.contacts()
    assert "nothing new" in contact.detail
    node.store.pulls.resume(number)
    assert node.store.pulls.due_fetch("endless") is not None


@pytest.mark.parametrize("retrieve", ["move", "get"])
@pytest.mark.parametrize("heeds", [True, False])
def test_a_pull_that_is_cancelled_ends_at_once(
    node: FetchingNode, tmp_path: Path, retrieve: str, heeds: bool
) -> None:
    archive = Endless(heeds=heeds)
    grace = SECONDS if heeds else 0.05
    with running(archive):
        with pulling(node, archive, tmp_path, retrieve=retrieve, grace=grace) as (number, _):
            node.store.pulls.cancel(number)
        wait_until(lambda: len(archive.released) == SEARCHES + heeds, "the end of the association")
    assert node.store.pulls.progress(number).pull.state is PullState.CANCELLED
    assert archive.cancelled.is_set()
    assert len(archive.released) == SEARCHES + heeds
    (contact,) = node.store.archives.contacts()
    assert (contact.failures, contact.detail) == (0, ""), "it is not the archive's fault"


def test_a_search_that_is_cancelled_ends_at_once(node: FetchingNode, tmp_path: Path) -> None:
    archive = Endless(heeds=True, endless="SERIES")
    with running(archive), pulling(node, archive, tmp_path, retrieve="move", grace=SECONDS) as (number, _):
        node.store.pulls.cancel(number)
    assert node.store.pulls.progress(number).pull.state is PullState.CANCELLED
    assert archive.cancelled.is_set()


def test_a_search_without_end_is_given_up(node: FetchingNode, tmp_path: Path) -> None:
    archive = Endless(heeds=False, endless="STUDY")
    with running(archive), pulling(node, archive, tmp_path, retrieve="move") as (number, clock):
        clock.ahead += 3600
    progress = node.store.pulls.progress(number)
    assert (progress.pull.state, progress.pull.attempts) == (PullState.SEARCHING, 1)
    assert "did not end its answer to C-FIND within 900 s" in progress.pull.detail
