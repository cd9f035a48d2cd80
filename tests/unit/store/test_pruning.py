"""What has been over for long is forgotten, and nothing that something here depends on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from node.domain.announcement import AnnouncedInstance, Status
from node.domain.archives import ArchivedSeries, PullCause, PullRequest, Sought
from node.domain.commitment import (
    COMMITTED,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    AskedInstance,
    RequestEvent,
)
from node.domain.expectation import Source
from node.domain.pruning import Kept
from node.domain.study import AssociationEnd
from node.operate.forgetting import Forgetting
from node.store.commitments_asked import protected
from node.store.schema_delivery import commitments
from tests.unit.store.test_query_plans import WHOLE_TABLE, plans

DAY = 86400
AFTER = timedelta(days=90)
SERIES = "1.2.3.1"
NOT_HERE = AskedInstance(sop_class_uid="1.2", sop_instance_uid="9.9.9")


def rows(ward: Any, table: str) -> int:
    with ward.store.database.read() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


def forget(ward: Any, *, most: int = 1000) -> dict[Kept, int]:
    done = Forgetting(ward.store, clock=ward.clock, after=AFTER, most=most).run_once()
    return {item.kind: item.count for item in done}


def announce(ward: Any, uid: str, *series: str, status: Status = Status.COMPLETED) -> None:
    listed = [AnnouncedInstance(series_instance_uid=of, sop_instance_uid=f"{of}.1") for of in series]
    ward.store.announcements.create(Source.PROCEDURE_STEP, uid, status, listed, calling_ae_title="CT1")


def commit(ward: Any, transaction: str, *asked: AskedInstance, peer: str = "CT1") -> int:
    """Ask for a commitment, and have it decided and reported: what is here is committed."""
    records = ward.store.commitments
    number = records.ask(transaction, peer, asked)
    here = {
        item.asked.sop_instance_uid: item.object_key
        for item in records.undecided(number)
        if item.object_key is not None
    }
    records.verified(number, here)
    records.commit(number, list(here))
    left = [item.asked.sop_instance_uid for item in records.undecided(number)]
    records.fail(number, dict.fromkeys(left, NO_SUCH_INSTANCE))
    records.relaying(number, f"{transaction}.1", "pacs")
    records.ended(number, RequestEvent.REPORT, "")
    return int(number)


def pull(ward: Any, series_instance_uid: str, *, end: bool = True) -> int:
    wanted = ArchivedSeries(
        study_instance_uid="1.2.3",
        series_instance_uid=series_instance_uid,
        modality="CT",
        body_part_examined="",
        series_description="",
        instance_count=1,
    )
    sought = Sought(study_instance_uids=("1.2.3",))
    request = PullRequest(archive="pacs", cause=PullCause.MISSING, sought=sought)
    number = ward.store.pulls.ask_for(request, [wanted])
    if end:
        ward.store.pulls.fell_short(ward.store.pulls.due_fetch("pacs").id, "it is gone")
    return int(number)


@pytest.fixture
def instance(ward: Any) -> AskedInstance:
    """Return the one instance that is here, of a study that is settled."""
    ward.add(1)
    ward.settle()
    with ward.store.database.read() as connection:
        query = "SELECT sop_class_uid, sop_instance_uid FROM instances"
        (row,) = connection.exec_driver_sql(query).all()
    return AskedInstance(sop_class_uid=row[0], sop_instance_uid=row[1])


def series_here(ward: Any) -> str:
    with ward.store.database.read() as connection:
        return str(connection.exec_driver_sql("SELECT series_instance_uid FROM series").scalar_one())


def test_what_is_over_for_long_goes_with_all_that_hangs_on_it(ward: Any) -> None:
    announce(ward, "1.5.1", "7.1", "7.2")
    announce(ward, "1.5.2", status=Status.IN_PROGRESS)
    commit(ward, "1.6.1", NOT_HERE)
    pull(ward, "7.1")
    ward.clock.advance(90 * DAY)
    announce(ward, "1.5.3", "7.1")
    commit(ward, "1.6.2", NOT_HERE)
    pull(ward, "7.2")
    pull(ward, "7.3", end=False)
    ward.clock.advance(1)
    assert {item.kind: (item.count, item.rows) for item in planned(ward)} == {
        Kept.ANNOUNCEMENTS: (2, 4),
        Kept.COMMITMENTS: (1, 3),
        Kept.PULLS: (1, 2),
        Kept.ASSOCIATIONS: (0, 0),
        Kept.QUESTIONS: (0, 0),
    }
    assert {kind: count for kind, count in forget(ward).items() if count} == {
        Kept.ANNOUNCEMENTS: 2,
        Kept.COMMITMENTS: 1,
        Kept.PULLS: 1,
    }
    left = ("announcements", "announced_instances", "commitment_requests", "asked_instances")
    assert [rows(ward, table) for table in left] == [1] * 4
    assert [rows(ward, table) for table in ("commitment_relays", "pulls", "pull_series")] == [1, 2, 2]
    with ward.store.database.read() as connection:
        told = connection.exec_driver_sql('SELECT "by", action, subject FROM audit').all()
    assert sorted(tuple(row) for row in told) == [
        ("retention", "forget", "1 commitment requests, 3 rows"),
        ("retention", "forget", "1 pulls, 2 rows"),
        ("retention", "forget", "2 announcements, 4 rows"),
    ]


def planned(ward: Any) -> list[Any]:
    before = rows(ward, "announcements")
    found = Forgetting(ward.store, clock=ward.clock, after=AFTER).planned()
    assert rows(ward, "announcements") == before
    return found


def test_a_series_that_is_not_judged_for_good_keeps_what_is_said_of_it(ward: Any) -> None:
    ward.add(1)
    uid = series_here(ward)
    announce(ward, "1.5.1", uid)
    pull(ward, uid)
    pull(ward, "7.9", end=False)
    ward.clock.advance(91 * DAY)
    nothing = dict.fromkeys(Kept, 0)
    assert forget(ward) == nothing
    ward.settle()
    ward.store.retention.hold(ward.study.id, "Ada", "a complaint")
    assert forget(ward) == nothing
    ward.store.retention.release(ward.study.id, "Ada", "settled")
    assert forget(ward) == nothing | {Kept.ANNOUNCEMENTS: 1, Kept.PULLS: 1}


def test_the_number_of_a_forgotten_pull_is_given_to_no_other(ward: Any) -> None:
    numbers = [pull(ward, "7.1"), pull(ward, "7.2")]
    ward.clock.advance(91 * DAY)
    assert forget(ward)[Kept.PULLS] == 1
    assert forget(ward)[Kept.PULLS] == 0
    assert pull(ward, "7.3") > max(numbers)


def associate(ward: Any, *instances: int, end: AssociationEnd = AssociationEnd.RELEASED) -> None:
    number = ward.store.intake.association_opened("CT1", "10.0.0.7")
    for item in instances:
        ward.add(item, association_id=number)
    ward.store.intake.association_closed(number, end)


def test_associations_are_forgotten_when_what_came_by_them_is_judged_for_good(ward: Any) -> None:
    associate(ward)
    associate(ward, 1, 2)
    ward.store.intake.association_opened("CT1", "10.0.0.7")
    ward.clock.advance(91 * DAY)
    assert forget(ward)[Kept.ASSOCIATIONS] == 1, "the one that brought nothing"
    ward.settle()
    assert (rows(ward, "associations"), rows(ward, "association_series")) == (2, 1)
    assert forget(ward)[Kept.ASSOCIATIONS] == 1
    assert (rows(ward, "associations"), rows(ward, "association_series")) == (1, 0), "one is open"


def ask_for_proof(ward: Any) -> list[Any]:
    """Send what was found, and ask the destination to commit itself to it."""
    ward.add(1)
    ward.screened()
    ward.store.operations.go_live("pacs", "Ada", "ready")
    for item in ward.store.outbox.claim("pacs", limit=10):
        ward.store.outbox.accepted(item.id, "0000H")
    items: list[Any] = ward.store.proofs.unproven("pacs", limit=10)
    ward.store.proofs.asking("1.2.3", "pacs", [item.id for item in items])
    return items


def test_a_question_for_proof_is_forgotten_when_no_delivery_waits_for_its_answer(ward: Any) -> None:
    items = ask_for_proof(ward)
    ward.clock.advance(91 * DAY)
    assert forget(ward)[Kept.QUESTIONS] == 0
    uids = [item.sop_instance_uid for item in items]
    assert ward.store.proofs.committed("1.2.3", destinations=["pacs"], succeeded=uids, failed={}) == len(uids)
    assert forget(ward)[Kept.QUESTIONS] == 1
    assert (rows(ward, "commitments"), rows(ward, "commitment_deliveries")) == (0, 0)


def test_the_last_proof_of_a_promise_stays(ward: Any, instance: AskedInstance) -> None:
    commit(ward, "1.6.1", instance, NOT_HERE)
    commit(ward, "1.6.2", instance)
    commit(ward, "1.6.3", instance, peer="CT2")
    ward.clock.advance(91 * DAY)
    assert forget(ward)[Kept.COMMITMENTS] == 1, "CT1 asked again and was promised again"
    assert forget(ward)[Kept.COMMITMENTS] == 0
    assert [rows(ward, "commitment_requests"), rows(ward, "asked_instances")] == [2, 2]
    ward.add(1, data=b"other bytes under the same UID")
    assert forget(ward)[Kept.COMMITMENTS] == 0


def test_a_promise_stays_that_could_not_be_made_again(ward: Any, instance: AskedInstance) -> None:
    records = ward.store.commitments
    commit(ward, "1.6.1", instance)
    number = records.ask("1.6.1", "CT1", [instance])
    records.fail(number, {instance.sop_instance_uid: NO_SUCH_INSTANCE})
    records.ended(number, RequestEvent.REPORT, "")
    ward.clock.advance(91 * DAY)
    assert forget(ward).get(Kept.COMMITMENTS, 0) == 0
    with ward.store.database.read() as connection:
        assert set(connection.execute(protected()).scalars()) == {instance.sop_instance_uid}


def test_a_promise_that_could_not_be_repeated_stays(ward: Any, instance: AskedInstance) -> None:
    records = ward.store.commitments
    number = commit(ward, "1.6.1", instance)
    assert records.ask("1.6.1", "CT1", [instance]) == number
    records.fail(number, {instance.sop_instance_uid: PROCESSING_FAILURE})
    records.ended(number, RequestEvent.REPORT, "")
    ward.clock.advance(91 * DAY)
    assert forget(ward)[Kept.COMMITMENTS] == 0
    commit(ward, "1.6.2", instance)
    assert forget(ward)[Kept.COMMITMENTS] == 1, "it was promised again"


def test_one_run_forgets_no_more_than_it_may(ward: Any) -> None:
    for number in range(5):
        announce(ward, f"1.5.{number}", "7.1")
    ward.clock.advance(91 * DAY)
    assert [forget(ward, most=3)[Kept.ANNOUNCEMENTS] for _ in range(3)] == [3, 2, 0]


def test_what_goes_on_again_is_not_forgotten(ward: Any) -> None:
    number = commit(ward, "1.6.1", NOT_HERE)
    ward.clock.advance(91 * DAY)
    until = ward.clock.now() - AFTER
    ((_, found),) = ward.store.pruning.over(Kept.COMMITMENTS, until=until)
    assert found == ward.store.commitments.ask("1.6.1", "CT1", [NOT_HERE]) == number
    how = {"until": until, "by": "Ada", "reason": "over"}
    assert ward.store.pruning.forget(Kept.COMMITMENTS, [found], **how) == []


def next_number(ward: Any) -> int:
    """Return a number that no request was made under: numbers of rows may be given anew."""
    ward.clock.advance(1)
    return int(ward.clock.now().timestamp())


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.booleans(), st.sampled_from(("CT1", "CT2"))),
        st.tuples(st.just("wait"), st.integers(1, 60)),
        st.tuples(st.just("forget")),
        st.tuples(st.just("again"), st.integers(1, 4)),
    ),
    max_size=10,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
def test_whatever_happens_each_peer_keeps_a_proof(
    ward: Any, instance: AskedInstance, acts: list[Any]
) -> None:
    promised = set()
    for act, *arguments in acts:
        number = f"1.{next_number(ward)}"
        if act == "commit":
            whole, peer = arguments
            commit(ward, number, *([instance, NOT_HERE] if whole else [instance]), peer=peer)
            promised.add(peer)
        elif act == "wait":
            ward.clock.advance(arguments[0] * DAY)
        elif act == "again":
            commit(ward, number, NOT_HERE)
        else:
            forget(ward)
        with ward.store.database.read() as connection:
            safe = connection.execute(protected()).scalars().all()
            query = (
                "SELECT DISTINCT calling_ae_title FROM commitment_requests JOIN asked_instances"
                f" ON id = request_id WHERE outcome = {COMMITTED}"
            )
            proven = set(connection.exec_driver_sql(query).scalars())
        assert promised <= proven
        assert not promised or instance.sop_instance_uid in safe


def test_what_is_forgotten_is_found_by_an_index(ward: Any, instance: AskedInstance) -> None:
    announce(ward, "1.5.1", "7.1")
    commit(ward, "1.6.1", NOT_HERE)
    commit(ward, "1.6.2", instance)
    pull(ward, "7.1")
    pull(ward, "7.2")
    associate(ward)
    with ward.store.database.write() as connection:
        asked_at = ward.clock.now()
        connection.execute(
            insert(commitments), {"transaction_uid": "1.2.3", "destination": "pacs", "asked_at": asked_at}
        )
    ward.clock.advance(91 * DAY)

    def work() -> None:
        found = Forgetting(ward.store, clock=ward.clock, after=AFTER)
        found.planned()
        assert all(item.count for item in found.run_once())
        for kind in Kept:
            ward.store.pruning.over(kind, until=ward.clock.now(), after=(ward.clock.now(), 1))

    found = plans(ward.store.database.engine, work)
    lines = [(line, statement) for statement, plan in found.items() for line in plan]
    assert not [item for item in lines if WHOLE_TABLE.match(item[0])]
    assert not [item for item in lines if "TEMP B-TREE" in item[0]]
    used = " ".join(line for line, _ in lines)
    for index in (
        "ix_announcements_changed_at",
        "ix_commitment_requests_changed_at",
        "ix_pulls_ended",
        "ix_associations_closed_at",
        "ix_commitments_asked_at",
    ):
        assert index in used
