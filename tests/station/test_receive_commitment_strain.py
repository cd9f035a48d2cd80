"""Storage commitment under strain: asked for again, stopped in between, large, and raced."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel

from node.dimse.admission import Caller
from node.dimse.commitment import CommitmentReport, CommitmentRequest, ReferencedInstance
from node.domain.commitment import RequestState
from node.receive.committing import TURN
from node.receive.verifying import SHARE, forget_cached
from node.store.object_files import LocalObjectFiles
from tests.station.asking_ground import WAITS, Node, Scanner, WatchedFiles, running_node
from tests.station.proof_ground import WELL_KNOWN, references
from tests.station.receiving_node import AE_TITLE, TIMEOUTS, wait_until

NUMBERS = itertools.count(1)
KEPT = 0x0000
IMPATIENT = replace(TIMEOUTS, dimse=0.5)


@contextmanager
def asking(
    node: Node, uids: Sequence[str], transaction: str, *syntaxes: str
) -> Iterator[tuple[Association, int]]:
    """Ask for the commitment of CT images on an association that stays open; give the status, too."""
    scanner = AE(ae_title="CT1")
    scanner.add_requested_context(StorageCommitmentPushModel, list(syntaxes) or None)
    association = scanner.associate("127.0.0.1", node.port, ae_title=AE_TITLE)
    request = Dataset()
    request.TransactionUID = transaction
    request.ReferencedSOPSequence = references([(CTImageStorage, uid) for uid in uids])
    answer, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, WELL_KNOWN)
    try:
        yield association, answer.Status
    finally:
        if association.is_established:
            association.release()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("strain") / "node") as made:
        yield made


@pytest.fixture
def scanner() -> Iterator[Scanner]:
    scanner = Scanner()
    with scanner.listening():
        yield scanner


@pytest.fixture
def transaction() -> str:
    return f"2.25.8{next(NUMBERS)}"


@pytest.fixture
def study() -> str:
    return f"strain{next(NUMBERS)}"


def test_what_is_asked_for_again_is_read_again(node, scanner, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 2, study=study)
    node.provider.current = committing = node.committing(scanner_port=scanner.port)
    scanner.ask(node, uids, transaction)
    committing.run_once()
    assert scanner.outcome == dict.fromkeys(uids, 0)
    node.file(uids[1]).write_bytes(b"rot")
    scanner.ask(node, uids, transaction)
    number = node.store.commitments.number(transaction, "CT2")
    assert node.store.commitments.outcomes(number) == {}  # a report tells of all or does not go out
    committing.run_once()
    assert scanner.outcome == {uids[0]: 0, uids[1]: 0x0110}
    assert node.kept_for_good() >= set(uids)  # the scanner may have deleted its own by the first report


def test_a_stop_waits_for_one_file_and_loses_nothing(node, scanner, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 4, study=study)
    files = WatchedFiles(node, lambda count: count == 2 and committing.stop())
    committing = node.committing(scanner_port=scanner.port, files=files)
    scanner.ask(node, uids, transaction)
    committing.run_once()
    assert len(files.verified) == 2
    assert (scanner.reports, node.state(transaction)) == ([], RequestState.OPEN)
    after = WatchedFiles(node, lambda _count: None)
    node.committing(scanner_port=scanner.port, files=after).run_once()
    assert len(files.verified + after.verified) == len(set(files.verified + after.verified)) == 4
    assert scanner.outcome == dict.fromkeys(uids, 0)


def test_a_long_list_lets_a_short_one_pass(node, scanner, tmp_path, study, transaction):
    long, short = node.receive(tmp_path, 5, study=study), node.receive(tmp_path, 1, study=f"{study}-short")

    def slow(_count: int) -> None:
        node.clock.at += timedelta(seconds=SHARE / 2 + 1)

    committing = node.committing(scanner_port=scanner.port, files=WatchedFiles(node, slow))
    scanner.ask(node, long, f"{transaction}.1")
    scanner.ask(node, short, f"{transaction}.2")
    for _ in range(4):
        committing.run_once()
    assert [report.TransactionUID for _, report in scanner.reports] == [
        f"{transaction}.2",
        f"{transaction}.1",
    ]


def test_the_tick_leaves_a_request_to_its_association(node, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 3, study=study)
    at_tick = WatchedFiles(node, lambda _count: None)
    tick = node.committing(files=at_tick)
    node.provider.current = node.committing(files=WatchedFiles(node, lambda _count: tick.run_once()))
    scanner = Scanner("CT1")
    scanner.ask(node, uids, transaction, stays=True)
    assert scanner.outcome == dict.fromkeys(uids, 0)
    assert at_tick.verified == []


def test_what_the_tick_decides_meanwhile_is_told_on_the_association(node, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 2, study=study)
    tick = node.committing()

    def slow(count: int) -> None:
        if count == 1:
            node.clock.at += timedelta(minutes=2)  # one huge file
            tick.run_once()

    node.provider.current = node.committing(files=WatchedFiles(node, slow))
    scanner = Scanner("CT1")
    scanner.ask(node, uids, transaction, stays=True)
    assert scanner.outcome == dict.fromkeys(uids, 0)


def test_who_asks_for_the_release_does_not_wait_for_a_list(node, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 3, study=study)

    def released(_count: int) -> None:
        association = threading.current_thread()
        wait_until(lambda: association.dul.peek_next_pdu() is not None, "the release is asked for")

    files = WatchedFiles(node, released)
    node.provider.current = node.committing(files=files)
    scanner = Scanner("CT1")
    assert scanner.ask(node, uids, transaction) == 0
    assert len(files.verified) <= 1
    assert scanner.reports == []
    assert node.state(transaction, "CT1") is RequestState.OPEN
    node.committing().run_once()  # it is due
    assert node.state(transaction, "CT1") is RequestState.DECIDED


def test_a_list_that_takes_longer_than_its_share_is_told_all_the_same(node, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 3, study=study)

    def slow(_count: int) -> None:
        node.clock.at += timedelta(seconds=SHARE + 1)

    node.provider.current = node.committing(files=WatchedFiles(node, slow))
    scanner = Scanner("CT1")
    scanner.ask(node, uids, transaction, stays=True)
    assert scanner.outcome == dict.fromkeys(uids, 0)


def test_bytes_are_read_from_the_disk(tmp_path, monkeypatch):
    (tmp_path / "object").write_bytes(b"bytes")
    advised = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *arguments: advised.append(arguments[1:]))
    forget_cached(tmp_path / "object")
    assert advised == [(0, 0, os.POSIX_FADV_DONTNEED)]


def test_two_scanners_may_use_one_transaction(node, scanner, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 2, study=study)
    node.provider.current = committing = node.committing(scanner_port=scanner.port)
    other = Scanner("CT1")
    scanner.ask(node, uids[:1], transaction)
    other.ask(node, uids[1:], transaction, stays=True)
    committing.run_once()
    assert (scanner.outcome, other.outcome) == ({uids[0]: 0}, {uids[1]: 0})


def test_what_is_named_twice_is_told_once(node, scanner, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 1, study=study)
    node.provider.current = committing = node.committing(scanner_port=scanner.port)
    assert scanner.ask(node, [*uids, "1.9.9", *uids, "1.9.9"], transaction, sop_class="1.2.3.4") == 0
    committing.run_once()
    node.pass_time(WAITS.arrival, committing)
    assert scanner.outcome == {uids[0]: 0x0119, "1.9.9": 0x0112}
    _, report = scanner.reports[-1]
    assert len(report.FailedSOPSequence) == 2


def test_a_scanner_that_refuses_or_never_answers_is_called_again(node, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 1, study=study)
    scanner, answers = Scanner(), threading.Event()
    entity = AE(ae_title=scanner.ae_title)
    entity.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    entity.require_calling_aet = ["ELSE"]

    def take(event: evt.Event) -> tuple[int, None]:
        assert answers.wait(60)
        return scanner.take(event)

    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, take)])
    try:
        committing = node.committing(scanner_port=server.server_address[1], timeouts=IMPATIENT)
        node.provider.current = committing
        scanner.ask(node, uids, transaction)
        committing.run_once()
        assert node.request(transaction).attempts == 1
        entity.require_calling_aet = []
        node.pass_time(timedelta(minutes=1), committing)
        assert (node.request(transaction).attempts, node.state(transaction)) == (2, RequestState.DECIDED)
        answers.set()
        node.pass_time(timedelta(minutes=1), committing)
        assert node.state(transaction) is RequestState.REPORTED
    finally:
        answers.set()
        server.shutdown()


def test_what_was_replaced_before_the_report_is_not_reported_as_kept(
    node, scanner, tmp_path, study, transaction
):
    uids = node.receive(tmp_path, 2, study=study)
    node.provider.current = committing = node.committing()
    scanner.ask(node, uids, transaction)
    committing.run_once()  # nobody listens there
    assert node.state(transaction) is RequestState.DECIDED
    with node.store.database.write() as connection:
        connection.exec_driver_sql(
            f"UPDATE instances SET object_key = '{'0' * 64}' WHERE sop_instance_uid = '{uids[1]}'"
        )
    node.pass_time(timedelta(minutes=1), node.committing(scanner_port=scanner.port))
    assert scanner.outcome == {uids[0]: 0, uids[1]: 0x0110}


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_request_is_read_in_both_encodings(node, tmp_path, study, transaction, syntax):
    uids = node.receive(tmp_path, 2, study=study)
    node.provider.current = node.committing()
    with asking(node, uids, transaction, syntax) as (association, status):
        assert association.accepted_contexts[0].transfer_syntax == [syntax]
        assert status == 0
    asked = node.store.commitments.number(transaction, "CT1")
    with node.store.database.read() as connection:
        query = f"SELECT sop_instance_uid, sop_class_uid FROM asked_instances WHERE request_id = {asked}"
        assert {tuple(row) for row in connection.exec_driver_sql(query)} == {
            (uid, CTImageStorage) for uid in uids
        }


def test_a_stop_does_not_wait_for_the_list_of_an_association(tmp_path, study, transaction):
    with running_node(tmp_path / "node") as node:
        uids = node.receive(tmp_path, 3, study=study)
        reading = threading.Event()

        def stopped(_count: int) -> None:
            association = threading.current_thread()
            reading.set()
            wait_until(lambda: association.acse.is_aborted() or not association.is_established, "the abort")

        files = WatchedFiles(node, stopped)
        node.provider.current = node.committing(files=files)
        with asking(node, uids, transaction):
            assert reading.wait(20)
            assert node.listener.stop(grace_seconds=0.0)
        assert len(files.verified) == 1
        assert node.state(transaction, "CT1") is RequestState.OPEN


def test_requests_that_fail_keep_no_other_waiting(scanner, tmp_path, study, monkeypatch):
    monkeypatch.setattr("node.receive.committing.BATCH", 2)
    with running_node(tmp_path / "node") as node:
        uids = node.receive(tmp_path, 3, study=study)
        failing = {node.file(uid).name for uid in uids[:2]}

        class Failing(LocalObjectFiles):
            def verify(self, key: str) -> bool:
                if self.path(key).name in failing:
                    raise RuntimeError("the test")
                return super().verify(key)

        files = Failing(node.root, node.uids)
        node.provider.current = committing = node.committing(scanner_port=scanner.port, files=files)
        for uid in uids:
            assert scanner.ask(node, [uid], f"{uid}.1") == KEPT
        committing.run_once()
        node.pass_time(timedelta(seconds=1), committing)
        assert scanner.outcome == {uids[2]: KEPT}
        failing.clear()
        for _ in uids:
            node.pass_time(timedelta(minutes=1), committing)
        assert len(scanner.reports) == len(uids)


def test_a_late_acknowledgement_ends_no_request_that_was_decided_otherwise_since(
    node, tmp_path, study, transaction
):
    uid = node.receive(tmp_path, 1, study=study)[0]
    committing = node.committing()
    reference = ReferencedInstance(sop_class_uid=CTImageStorage, sop_instance_uid=uid)
    request = CommitmentRequest(transaction_uid=transaction, references=(reference,))
    caller = Caller(calling_ae_title="CT1", called_ae_title=AE_TITLE, address="127.0.0.1")

    def asked() -> CommitmentReport:
        committing.requested(request, caller=caller)
        report = committing.report_now(request, caller=caller, waits=lambda: True)
        assert report is not None
        return report

    kept = asked()
    node.file(uid).write_bytes(b"rot")
    node.clock.at += timedelta(seconds=1)
    lost = asked()
    assert (len(kept.committed), len(lost.failed)) == (1, 1)
    committing.reported(kept, caller=caller)
    assert node.state(transaction, "CT1") is RequestState.DECIDED
    committing.reported(lost, caller=caller)
    assert node.state(transaction, "CT1") is RequestState.REPORTED


def test_a_run_that_lasted_long_begins_no_report_and_the_next_one_begins_with_it(
    node, tmp_path, study, transaction
):
    uids = node.receive(tmp_path, 1, study=study)
    scanner, later = Scanner(), f"{transaction}.1"
    node.provider.current = committing = node.committing(scanner_port=1)
    scanner.ask(node, uids, transaction)
    committing.run_once()
    assert (node.request(transaction).attempts, node.state(transaction)) == (1, RequestState.DECIDED)
    scanner.ask(node, uids, later)
    looked: list[RequestState] = []

    def takes_long(_count: int) -> None:
        looked.append(node.state(transaction))
        node.clock.at += timedelta(seconds=TURN + 1)

    slow = node.committing(scanner_port=1, files=WatchedFiles(node, takes_long))
    node.pass_time(timedelta(minutes=1), slow)
    assert (node.request(transaction).attempts, node.state(later)) == (1, RequestState.DECIDED)
    node.pass_time(timedelta(minutes=1), slow)
    assert (node.request(transaction).attempts, len(looked)) == (2, 1)
