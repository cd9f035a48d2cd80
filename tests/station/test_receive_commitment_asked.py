"""Storage commitment that scanners ask of the node: a success lets them delete, so it must be true."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta

import pytest
from pydicom.uid import MRImageStorage

from node.domain.commitment import AskedInstance, RequestState
from node.domain.study import AsideReason
from node.store.commitments_asked import MOST_OPEN
from tests.station.asking_ground import WAITS, Node, Scanner, running_node
from tests.station.proof_ground import Archive

NUMBERS = itertools.count(1)
KEPT = 0x0000


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("asked") / "node") as made:
        yield made


@pytest.fixture(scope="module")
def listening() -> Iterator[Scanner]:
    scanner = Scanner()
    with scanner.listening():
        yield scanner


@pytest.fixture
def scanner(listening: Scanner) -> Scanner:
    listening.reports.clear()
    listening.answer = KEPT
    return listening


@pytest.fixture
def transaction() -> str:
    return f"2.25.7{next(NUMBERS)}"


@pytest.fixture
def study() -> str:
    return f"asked{next(NUMBERS)}"


def put_aside(node: Node, uid: str, reason: AsideReason) -> None:
    """Let another object of an instance's UID lie aside."""
    with node.store.database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO asides (reason, study_id, existing_id, sop_instance_uid, object_key, sha256, "
            "size, received_at, calling_ae_title, header) SELECT "
            f"'{reason.value}', series.study_id, instances.id, sop_instance_uid, '{uid}', sha256, size, "
            "received_at, instances.calling_ae_title, header FROM instances JOIN series ON series.id = "
            f"series_id WHERE sop_instance_uid = '{uid}'"
        )


def test_who_waits_is_told_on_its_association(node, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 3, study=study)
    node.file(uids[2]).write_bytes(b"rot")
    scanner = Scanner("CT1")

    assert scanner.ask(node, uids, transaction, stays=True) == KEPT

    assert scanner.outcome == {uids[0]: 0, uids[1]: 0, uids[2]: 0x0110}
    assert node.state(transaction, "CT1") is RequestState.REPORTED
    assert node.kept_for_good() & set(uids) == set(uids[:2])


def test_a_report_comes_later_once_everything_is_decided(node, scanner, tmp_path, study, transaction):
    here = node.receive(tmp_path, 2, study=study)
    late = node.receive(tmp_path, 1, study=f"{study}-late")[0]
    node.provider.current = committing = node.committing(scanner_port=scanner.port)
    absent = "1.2.3.4.5"
    assert scanner.ask(node, [*here, late, absent], transaction) == KEPT
    committing.run_once()
    assert node.state(transaction) is RequestState.OPEN
    assert node.kept_for_good() >= {*here, late, absent}  # undecided: nothing may be removed
    node.pass_time(WAITS.arrival, committing)
    committing.run_once()
    assert scanner.outcome == {here[0]: 0, here[1]: 0, late: 0, absent: 0x0112}
    assert len(scanner.reports) == 1
    assert absent not in node.kept_for_good()


@pytest.mark.long
def test_what_comes_in_meanwhile_is_committed(node, scanner, tmp_path, study, transaction):
    first = node.receive(tmp_path, 1, study=study)
    node.provider.current = committing = node.committing(scanner_port=scanner.port)
    (tmp_path / "later").mkdir()
    path_of_next = tmp_path / "later"
    next_uid = node.receive(path_of_next, 1, study=f"{study}b")[0]
    with node.store.database.write() as connection:  # as if it had not come yet
        connection.exec_driver_sql(
            f"UPDATE instances SET sop_instance_uid = '1.9.{next(NUMBERS)}' "
            f"WHERE sop_instance_uid = '{next_uid}'"
        )
    scanner.ask(node, [*first, next_uid], transaction)
    committing.run_once()
    assert scanner.reports == []
    with node.store.database.write() as connection:
        connection.exec_driver_sql(
            f"UPDATE instances SET sop_instance_uid = '{next_uid}' WHERE sop_instance_uid LIKE '1.9.%'"
        )
    node.pass_time(timedelta(seconds=30), committing)
    assert scanner.outcome == {first[0]: 0, next_uid: 0}


def test_doubt_is_no_success(node, scanner, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 3, study=study)
    for uid, reason in ((uids[0], AsideReason.OTHER_PIXELS), (uids[1], AsideReason.TO_COMPARE)):
        put_aside(node, uid, reason)
    node.provider.current = committing = node.committing(scanner_port=scanner.port)
    scanner.ask(node, uids, transaction)
    committing.run_once()
    node.pass_time(WAITS.arrival, committing)
    other = f"{transaction}.1"
    scanner.ask(node, uids[2:], other, sop_class=MRImageStorage)
    committing.run_once()
    (_, first), (_, second) = scanner.reports
    assert [item.FailureReason for item in first.FailedSOPSequence] == [0x0110, 0x0110]
    assert [item.ReferencedSOPInstanceUID for item in first.ReferencedSOPSequence] == uids[2:]
    assert second.FailedSOPSequence[0].FailureReason == 0x0119


def test_a_scanner_that_is_away_is_told_after_a_restart(node, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 1, study=study)
    scanner = Scanner(answer=0x0110)
    with scanner.listening() as port:
        node.provider.current = committing = node.committing(scanner_port=port)
        scanner.ask(node, uids, transaction)
        committing.run_once()
    assert node.state(transaction) is RequestState.DECIDED
    node.pass_time(timedelta(minutes=1), node.committing(scanner_port=port))  # nobody listens
    assert node.request(transaction).attempts == 2
    scanner.answer = 0x0000
    with scanner.listening() as port:
        node.pass_time(timedelta(hours=1), node.committing(scanner_port=port))
        node.pass_time(timedelta(hours=1), node.committing(scanner_port=port))
    assert node.state(transaction) is RequestState.REPORTED
    assert len(scanner.reports) == 2


@pytest.mark.long
def test_a_scanner_that_never_listens_is_given_up_and_nothing_else(node, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 1, study=study)
    node.provider.current = committing = node.committing()
    Scanner().ask(node, uids, transaction)
    committing.run_once()
    node.pass_time(WAITS.report, committing)
    assert node.state(transaction) is RequestState.ABANDONED
    assert node.kept_for_good() >= set(uids)


def test_a_clock_that_was_set_back_makes_no_scanner_wait(node, scanner, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 1, study=study)
    node.provider.current = committing = node.committing(scanner_port=scanner.port)
    scanner.ask(node, [*uids, f"1.7.{next(NUMBERS)}"], transaction)
    committing.run_once()  # one is waited for
    for back in (timedelta(days=2), timedelta(0), WAITS.arrival):
        assert scanner.reports == []
        node.pass_time(back if back == WAITS.arrival else -back, committing)
    assert sorted(scanner.outcome.values()) == [0, 0x0112]


def test_the_archive_commits_itself_first(node, scanner, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 3, study=study)
    archive = Archive(failing={uids[1]: 0x0112})
    with archive.running() as archive_port:
        node.provider.current = committing = node.committing(
            archive_port=archive_port, scanner_port=scanner.port
        )
        scanner.ask(node, uids, transaction)
        committing.run_once()
        assert scanner.reports == []  # it is asked again about the one that it does not have yet
        node.pass_time(timedelta(minutes=1), committing)
        assert [len(request.ReferencedSOPSequence) for request in archive.requests] == [3, 1]
        archive.failing.clear()
        node.pass_time(timedelta(minutes=5), committing)
    assert scanner.outcome == dict.fromkeys(uids, 0)


def test_an_archive_may_answer_later_and_no_other_for_it(node, scanner, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 2, study=study)
    archive = Archive(silent=True)
    with archive.running() as archive_port:
        node.provider.current = committing = node.committing(
            archive_port=archive_port, scanner_port=scanner.port
        )
        scanner.ask(node, uids, transaction)
        committing.run_once()
        node.pass_time(timedelta(minutes=9), committing)
        (request,) = archive.requests
        assert archive.report_later(node.port, request, ae_title="CT1") == 0x0115
        assert node.state(transaction) is RequestState.OPEN
        assert archive.report_later(node.port, request) == KEPT
        committing.run_once()
    assert scanner.outcome == dict.fromkeys(uids, 0)


@pytest.mark.long
def test_what_the_archive_does_not_take_is_refused_in_the_end(node, scanner, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 1, study=study)
    node.provider.current = committing = node.committing(archive_port=1, scanner_port=scanner.port)
    scanner.ask(node, uids, transaction)
    committing.run_once()
    assert node.state(transaction) is RequestState.OPEN
    node.pass_time(WAITS.relay, committing)
    assert scanner.outcome == {uids[0]: 0x0110}


def test_what_is_put_in_doubt_while_the_archive_is_asked_is_not_committed(node, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 2, study=study)
    archive, scanner = Archive(silent=True), Scanner()
    with archive.running() as archive_port:
        node.provider.current = committing = node.committing(archive_port=archive_port)
        scanner.ask(node, uids, transaction)
        committing.run_once()
        put_aside(node, uids[0], AsideReason.OTHER_PIXELS)
        assert archive.report_later(node.port, archive.requests[0]) == KEPT
        assert node.state(transaction) is RequestState.OPEN
        committing.look_at(node.request(transaction), set())
    number = node.store.commitments.number(transaction, "CT2")
    outcomes = node.store.commitments.outcomes(number)
    assert {item.sop_instance_uid: what for item, what in outcomes.items()} == {uids[0]: 0x0110, uids[1]: 0}


@pytest.mark.long
def test_a_file_that_changed_after_it_was_verified_is_not_committed(node, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 1, study=study)
    archive, scanner = Archive(silent=True), Scanner()
    with archive.running() as archive_port:
        node.provider.current = committing = node.committing(archive_port=archive_port)
        scanner.ask(node, uids, transaction)
        committing.run_once()
        with node.store.database.write() as connection:
            connection.exec_driver_sql(
                f"UPDATE instances SET object_key = '{'0' * 60}{next(NUMBERS):04}' "
                f"WHERE sop_instance_uid = '{uids[0]}'"
            )
        assert archive.report_later(node.port, archive.requests[0]) == KEPT
    assert node.state(transaction) is RequestState.OPEN


def test_the_same_request_again_and_another_under_its_transaction(
    node, scanner, tmp_path, study, transaction
):
    uids = node.receive(tmp_path, 2, study=study)
    node.provider.current = committing = node.committing(scanner_port=scanner.port)
    for _ in range(2):
        assert scanner.ask(node, uids, transaction) == KEPT
        committing.run_once()
    assert scanner.ask(node, uids[:1], transaction) == 0x0115
    told = [report.TransactionUID for _, report in scanner.reports]
    assert told.count(transaction) == 2  # that of another test may come late


def test_who_may_ask_and_how_much(node, tmp_path, study, transaction):
    uids = node.receive(tmp_path, 1, study=study)
    assert Scanner("SENDER").ask(node, uids, transaction) == -1
    assert Scanner("CT1").ask(node, [], transaction) == 0x0115
    asked = [AskedInstance(sop_class_uid="1.2", sop_instance_uid=uids[0])]
    for number in (1, 2):
        node.store.commitments.ask(f"1.8.{number}", "BUSY", asked)
    with node.store.database.write() as connection:  # and many more of them
        connection.exec_driver_sql(
            f"WITH RECURSIVE n(i) AS (VALUES (3) UNION ALL SELECT i + 1 FROM n WHERE i < {MOST_OPEN}) INSERT "
            "INTO commitment_requests (transaction_uid, calling_ae_title, state, received_at, due_at, "
            "changed_at) SELECT '1.8.' || i, 'BUSY', state, received_at, due_at, changed_at FROM n JOIN "
            "commitment_requests ON transaction_uid = '1.8.1'"
        )
    assert Scanner("BUSY").ask(node, uids, transaction) == 0x0213
