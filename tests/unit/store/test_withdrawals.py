"""Results that are taken back: what stops, who is told, and what a stop in between loses: nothing."""

from __future__ import annotations

import pytest

from node.domain.delivery import DeliveryState
from node.domain.errors import StoreError, UnknownSubject
from node.domain.identity import derived_uid
from node.domain.job import Assignment, ScreeningState
from node.domain.result import ResultKind, ResultObject, Withdrawal
from node.store.integrity import check

WHY = {"title": Withdrawal.QUALITY, "by": "Ada", "reason": "wrong series"}


def withdraw(ward, **changes) -> int:
    return ward.store.withdrawals.withdraw(ward.study.id, **{**WHY, **changes})


def note(ward, number: int = 1) -> ResultObject:
    stored = ward.store.files.store(f"note {number}".encode())
    return ResultObject(
        kind=ResultKind.REJECTION,
        index=number,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.59",
        sop_instance_uid=derived_uid("note", str(number)),
        series_instance_uid=derived_uid("notes"),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        object_key=stored.key,
        sha256=stored.sha256,
        size=stored.size,
    )


def states(ward) -> dict[tuple[str, str], set[DeliveryState]]:
    found: dict[tuple[str, str], set[DeliveryState]] = {}
    for item in ward.store.outbox.for_study(ward.study.id):
        found.setdefault((item.destination, item.kind), set()).add(item.state)
    return found


@pytest.fixture
def screened(ward):
    ward.store.operations.go_live("pacs", "Ada", "test")
    ward.store.operations.go_live("other", "Ada", "test")
    ward.add(1)
    ward.screened(destinations=(("pacs", True), ("other", True), ("closed", False)))
    return ward


def test_what_had_not_left_is_cancelled_and_nobody_is_told(screened):
    assert withdraw(screened) == 1
    (item,) = screened.store.withdrawals.to_note()
    assert (item.version, item.title, item.by, item.destinations) == (1, Withdrawal.QUALITY, "Ada", [])
    assert screened.store.withdrawals.noted(item.id, None)
    assert screened.store.withdrawals.to_note() == []
    assert {state for several in states(screened).values() for state in several} == {DeliveryState.CANCELLED}
    assert screened.store.screenings.current_version(screened.study.id, "covid") is None


def test_a_note_goes_to_exactly_those_who_may_have_an_object(screened):
    (claimed,) = screened.store.outbox.claim("pacs", limit=1)
    withdraw(screened)
    assert not screened.store.outbox.may_leave(claimed.id), "nothing more of it leaves"
    (item,) = screened.store.withdrawals.to_note()
    assert item.destinations == ["pacs"], "the answer to what is under way may be a success"
    assert [made.kind for made in item.objects] == [ResultKind.HEATMAP] * 2 + [ResultKind.REPORT]
    assert screened.store.withdrawals.noted(item.id, note(screened))
    assert states(screened)["pacs", "rejection"] == {DeliveryState.PENDING}
    assert ("other", "rejection") not in states(screened)
    assert check(screened.store) == []
    assert not screened.store.withdrawals.noted(item.id, note(screened)), "once"
    (withdrawn,) = screened.store.withdrawals.for_study(screened.study.id)
    assert withdrawn.note == derived_uid("note", "1")


def test_an_attempt_whose_answer_was_lost_counts_as_arrived(screened):
    (claimed,) = screened.store.outbox.claim("pacs", limit=1)
    screened.store.outbox.retry(claimed.id, screened.clock.now(), "no answer")
    withdraw(screened)
    assert screened.store.withdrawals.to_note()[0].destinations == ["pacs"]


def test_what_was_tried_before_an_operator_sent_it_again_counts_too(screened):
    for claimed in screened.store.outbox.claim("pacs", limit=10):
        screened.store.outbox.refuse(claimed.id, "no answer, 50 times")
    screened.store.operations.stop("Ada", "stop")
    assert screened.store.outbox.release(screened.study.id, "pacs", "Ada", "again") == 3
    withdraw(screened)
    assert screened.store.withdrawals.to_note()[0].destinations == ["pacs"]


def test_a_refused_note_is_sent_again_by_hand(screened):
    screened.store.outbox.claim("pacs", limit=1)
    withdraw(screened)
    screened.store.withdrawals.noted(screened.store.withdrawals.to_note()[0].id, note(screened))
    (claimed,) = screened.store.outbox.claim("pacs", limit=10)
    screened.store.outbox.refuse(claimed.id, "0122H")
    assert screened.store.outbox.release(screened.study.id, "pacs", "Ada", "the archive takes notes now") == 1
    assert [item.id for item in screened.store.outbox.claim("pacs", limit=10)] == [claimed.id]


def test_what_has_left_cannot_be_withdrawn_without_a_note(screened):
    screened.store.outbox.claim("pacs", limit=1)
    withdraw(screened)
    with pytest.raises(StoreError, match="missing"):
        screened.store.withdrawals.noted(screened.store.withdrawals.to_note()[0].id, None)
    assert len(screened.store.withdrawals.to_note()) == 1


def test_the_note_leaves_though_the_study_is_held_and_in_question(screened):
    screened.store.outbox.claim("pacs", limit=1)
    withdraw(screened)
    screened.store.withdrawals.noted(screened.store.withdrawals.to_note()[0].id, note(screened))
    screened.store.studies.hold(screened.study.id, "Ada", "look")
    screened.add(1, data=b"again")
    (claimed,) = screened.store.outbox.claim("pacs", limit=10)
    assert claimed.kind == ResultKind.REJECTION
    assert screened.store.outbox.may_leave(claimed.id)


def test_a_stop_keeps_the_note_until_somebody_opens_the_destination(screened):
    screened.store.outbox.claim("pacs", limit=1)
    withdraw(screened)
    screened.store.withdrawals.noted(screened.store.withdrawals.to_note()[0].id, note(screened))
    screened.store.operations.stop("Ada", "stop")
    assert screened.store.outbox.claim("pacs", limit=10) == []
    screened.store.operations.go_live("pacs", "Ada", "on")
    assert len(screened.store.outbox.claim("pacs", limit=10)) == 1


def test_superseded_versions_are_taken_back_too(screened):
    (claimed,) = screened.store.outbox.claim("pacs", limit=1)
    screened.store.outbox.retry(claimed.id, screened.clock.now(), "no answer")
    screened.add(2)
    screened.screened("recipe-2", version=2)
    assert withdraw(screened) == 2
    first, second = screened.store.withdrawals.to_note()
    assert (first.version, first.destinations) == (1, ["pacs"])
    assert (second.version, second.destinations) == (2, [])
    assert not {item.sop_instance_uid for item in first.objects} & {
        item.sop_instance_uid for item in second.objects
    }


def test_only_the_results_of_one_model(screened):
    with pytest.raises(UnknownSubject, match="no results"):
        withdraw(screened, model_name="another")
    assert withdraw(screened, model_name="covid") == 1
    with pytest.raises(UnknownSubject, match="no results"):
        withdraw(screened)


def test_what_is_being_screened_does_not_become_a_result(screened):
    study = screened.study
    screened.store.screenings.requeue(study.id, Assignment(model_name="covid"), "Ada", "again")
    running = screened.claim()
    withdraw(screened)
    assert not screened.finish(running, "recipe-2", version=2)
    assert screened.store.screenings.counts()[ScreeningState.CANCELLED] == 1
    assert screened.store.screenings.current_version(study.id, "covid") is None


def test_who_and_why_must_be_said(screened):
    with pytest.raises(StoreError, match="--by"):
        withdraw(screened, by=" ")
    assert screened.store.screenings.current_version(screened.study.id, "covid") is not None
    withdraw(screened)
    (act,) = [item for item in screened.store.operations.audit_trail(5) if item.action == "withdraw"]
    assert (act.by, act.reason) == ("Ada", "wrong series")
