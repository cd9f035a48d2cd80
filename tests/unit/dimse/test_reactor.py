"""The reactors and the inside of the library that they stand in for; real associations on the loopback."""

from __future__ import annotations

import gc
import hashlib
import inspect
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynetdicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import acse, association, dimse, dul, fsm, timer, transport

from node.dimse import reactor
from node.dimse.entity import Timeouts, application_entity
from node.receive.storage import Reception
from tests.station.receiving_node import (
    AE_TITLE,
    SCANNER,
    Receiving,
    send_files,
    start_receiving,
    wait_until,
    write_instance,
)

VERIFICATION = "1.2.840.10008.1.1"
INSIDE: tuple[tuple[Any, str], ...] = (
    (acse.ACSE._negotiate_as_acceptor, "fffd360957c42a8e"),
    (acse.ACSE._negotiate_as_requestor, "507959152c5896c6"),
    (acse.ACSE.is_aborted, "ad2eb3f545a9ed05"),
    (acse.ACSE.is_release_requested, "894b33d21a8dec8e"),
    (acse.ACSE.negotiate_release, "e66977c7292334c5"),
    (association.Association.__init__, "eb07516b8009ad8f"),
    (association.Association._abort_blocking, "10b43ef8c63c6764"),
    (association.Association._handle_no_response, "6f3d62518395c3a8"),
    (association.Association._run_reactor, "f28838c5559e462a"),
    (association.Association._serve_request, "2f24c1759cdf6c8c"),
    (association.Association.kill, "8f9713666a7f4cff"),
    (association.Association.release, "c7d713502b77d702"),
    (association.Association.request, "928cd0e3013c9ab9"),
    (association.Association.run_reactor, "ed8bbbe3b3d6ddae"),
    (association.Association.send_c_echo, "664d0e9b0ab20c53"),
    (association.Association.send_c_store, "fa5a8127f349f8e7"),
    (association.Association.set_socket, "235681dc751728fb"),
    (dimse.DIMSEServiceProvider, "3bb7d2ea221570d7"),
    (dul.DULServiceProvider, "c0a5c6a4618efd94"),
    (fsm, "2fc1cecfa043749e"),
    (timer.Timer, "77ddae7423f544b1"),
    (transport.AssociationSocket, "4f95b1dce6067f32"),
    (transport.RequestHandler, "e2184a069d1f8e5a"),
    (transport.AssociationServer, "43a9a62b2c40dea4"),
    (transport.ThreadedAssociationServer, "dbf94911169aa5f2"),
)


def digest_of(part: Any) -> str:
    return hashlib.sha256(inspect.getsource(part).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("part", "digest"), INSIDE, ids=[part.__name__ for part, _ in INSIDE])
def test_the_inside_of_the_library_is_the_one_that_was_read(part, digest):
    assert digest_of(part) == digest, (
        f"{part.__name__} of pynetdicom {pynetdicom.__version__} ({inspect.getfile(part)}) is not "
        "the one that node.dimse.reactor was written for: read what has changed, then its digest here and "
        "KNOWN_VERSIONS there"
    )


def test_the_version_that_is_installed_is_known():
    assert reactor.is_known()
    assert frozenset({pynetdicom.__version__}) == reactor.KNOWN_VERSIONS


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Receiving]]:
    started: list[Receiving] = []

    def begin(**limits: object) -> Receiving:
        started.append(start_receiving(tmp_path / f"node{len(started)}", **limits))
        return started[-1]

    yield begin
    for node in started:
        assert node.listener.stop(grace_seconds=5.0)
        node.database.close()


@pytest.fixture
def storing(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """Return the threads on which objects are made durable."""
    threads: list[threading.Thread] = []
    whole = Reception.finish

    def finish(self: Reception) -> object:
        threads.append(threading.current_thread())
        return whole(self)

    monkeypatch.setattr(Reception, "finish", finish)
    return threads


def opened(node: Receiving, timeouts: Timeouts | None = None, called: str = AE_TITLE) -> Any:
    entity = application_entity(SCANNER, timeouts=timeouts or Timeouts())
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    entity.add_requested_context(VERIFICATION)
    return entity.associate("127.0.0.1", node.port, ae_title=called)


def test_by_the_setting_a_listener_runs_on_the_librarys_reactors(start, storing, tmp_path):
    node = start(prompt=False)

    [meaning] = send_files(node.remote, write_instance(tmp_path / "a.dcm")[0])

    assert meaning.delivered

    assert [type(thread) for thread in storing] == [dul.DULServiceProvider]
    assert node.instance_count() == 1
    wait_until(lambda: node.ends() == ["released"], "the end is recorded")


def test_under_an_unknown_version_both_sides_run_on_its_reactors(
    start, storing, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(reactor, "KNOWN_VERSIONS", frozenset({"2.0.0"}))
    node = start()
    client = opened(node)

    assert type(client.dul) is dul.DULServiceProvider
    assert client.send_c_echo().Status == 0x0000
    assert client.send_c_store(write_instance(tmp_path / "a.dcm")[0]).Status == 0x0000
    client.release()

    assert [type(thread) for thread in storing] == [dul.DULServiceProvider]
    assert "is not one of 2.0.0" in caplog.text
    wait_until(lambda: node.ends() == ["released"], "the end is recorded")


def test_objects_are_answered_by_the_thread_that_reads_them_also_after_another_request(
    start, storing, tmp_path
):
    node = start()
    client = opened(node)
    wait_until(lambda: len(acceptors()) == 1, "the association is established")
    [acceptor] = acceptors()
    for number in range(3):
        assert client.send_c_store(write_instance(tmp_path / f"{number}.dcm", number)[0]).Status == 0x0000
        assert client.send_c_echo().Status == 0x0000
        wait_until(lambda: not acceptor.dimse.waiting, "the request has been served")
    client.release()

    assert storing == [acceptor.dul] * 3


def acceptors() -> list[Any]:
    return [
        thread
        for thread in threading.enumerate()
        if isinstance(thread, association.Association) and thread.is_acceptor and thread.is_established
    ]


def test_a_slow_disk_is_no_silence_of_the_peer(start, tmp_path, monkeypatch):
    never, whole = threading.Event(), Reception.finish

    def finish(self: Reception) -> object:
        never.wait(0.6)
        return whole(self)

    monkeypatch.setattr(Reception, "finish", finish)
    node = start(idle_seconds=0.3)
    client = opened(node, Timeouts(network=0.3))
    for number in (1, 2):
        path = write_instance(tmp_path / f"{number}.dcm", number)[0]
        assert client.send_c_store(path).Status == 0x0000
    client.release()

    assert node.instance_count() == 2
    wait_until(lambda: node.ends() == ["released"], "neither side took it for silence")


def test_what_fails_within_ends_the_association_alone_and_nobody_waits(start, monkeypatch):
    node = start()
    client, other = opened(node), opened(node)

    def fail(_event: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(client.dul.state_machine, "do_action", fail)
    answer = client.send_c_echo()  # its response would be waited for a minute

    assert "Status" not in answer
    assert client.is_aborted
    assert not client.is_established
    client.join(10)
    assert not client.is_alive()
    assert other.send_c_echo().Status == 0x0000
    other.release()
    wait_until(lambda: node.listener.connections == 0, "both are gone")


@pytest.mark.parametrize("block", [True, False])
def test_an_abort_by_another_thread_ends_every_wait(start, monkeypatch, block):
    node = start()
    client = opened(node)
    monkeypatch.setattr(client.dimse, "send_msg", lambda *_message: None)  # a peer that does not answer
    answers: list[object] = []
    waiting = threading.Thread(target=lambda: answers.append(client.send_c_echo()))
    waiting.start()
    wait_until(lambda: not client._reactor_checkpoint.is_set(), "a response is waited for")

    client.abort(block=block)

    waiting.join(10)
    assert [("Status" in answer) for answer in answers] == [False], "not a minute later"
    client.join(10)
    assert not client.is_alive()
    assert not client.dul.is_alive()


def test_a_peer_that_has_ended_its_side_gets_its_answer(start, tmp_path):
    node = start()
    client = opened(node)
    whole = client.dul.socket.send

    def send_and_end(pdu: bytes) -> None:
        whole(pdu)
        if pdu[0] == 0x04 and pdu[11] & 0x03 == 0x02:  # the last fragment of a data set
            client.dul.socket.socket.shutdown(socket.SHUT_WR)

    client.dul.socket.send = send_and_end
    assert client.send_c_store(write_instance(tmp_path / "a.dcm")[0]).Status == 0x0000
    client.abort()
    assert node.instance_count() == 1
    wait_until(lambda: node.listener.connections == 0, "the association has ended")


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_association_leaves_a_descriptor(start):
    node = start(max_associations=1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        opened(node).release()
        wait_until(lambda: node.listener.connections == 0, "the first one is gone")
        gc.collect()
        gc.disable()
        try:
            before = open_descriptors()
            for _ in range(3):
                entity = application_entity(SCANNER, timeouts=Timeouts(connect=5.0))
                entity.add_requested_context(VERIFICATION)
                assert not entity.associate("127.0.0.1", taken.getsockname()[1]).is_established
                assert opened(node, called="ANOTHER").is_rejected
                aborted = opened(node)
                aborted.abort()
                wait_until(lambda: node.listener.connections == 0, "its place is free")
                opened(node).release()
                wait_until(lambda: node.listener.connections == 0, "its place is free")
            wait_until(lambda: open_descriptors() <= before, "every descriptor is closed")
        finally:
            gc.enable()
