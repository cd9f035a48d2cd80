"""What was accepted, and what is known of it since."""

from __future__ import annotations

from datetime import timedelta

import pytest

from node.domain.delivery import LONGEST_LOOK, NO_SUCH_OBJECT, Delivery, DeliveryState
from node.domain.errors import UnknownSubject
from node.store.schema_delivery import commitment_deliveries, commitments

PROCESSING_FAILURE = 0x0110


@pytest.fixture
def sent(ward):
    """A study whose three results a destination accepted."""
    ward.add(1)
    ward.screened()
    ward.store.operations.go_live("pacs", "Ada", "ready")
    accept_all(ward)
    return ward


def accept_all(ward) -> None:
    for item in ward.store.outbox.claim("pacs", limit=10):
        ward.store.outbox.accepted(item.id, "0000H")


def deliveries(ward) -> list[Delivery]:
    return ward.store.outbox.for_study(ward.study.id)


def states(ward) -> list[str]:
    return [item.state.value for item in deliveries(ward)]


def ask(ward, transaction: str = "1.2.3") -> list[str]:
    """Ask about everything; return the SOP Instance UIDs."""
    items = ward.store.proofs.unproven("pacs", limit=10)
    ward.store.proofs.asking(transaction, "pacs", [item.id for item in items])
    return [item.sop_instance_uid for item in items]


def report(ward, succeeded=(), failed=(), *, transaction: str = "1.2.3", destinations=("pacs",)) -> int:
    return ward.store.proofs.committed(
        transaction,
        destinations=destinations,
        succeeded=succeeded,
        failed=dict.fromkeys(failed, NO_SUCH_OBJECT) if not isinstance(failed, dict) else failed,
    )


def test_what_is_accepted_is_sent_and_not_delivered(sent, clock):
    assert states(sent) == ["sent"] * 3
    assert [(item.accepted_at, item.answer, item.proof) for item in deliveries(sent)] == [
        (clock.now(), "0000H", "")
    ] * 3
    assert sent.store.outbox.claim("pacs", limit=10) == []
    assert sent.store.proofs.oldest("pacs") == clock.now()
    assert sent.store.proofs.oldest("other") is None


def test_a_report_proves_what_it_names_once(sent):
    first, second, third = ask(sent)
    assert report(sent, [first, second, "9.9.9"]) == 2
    assert states(sent) == ["delivered", "delivered", "sent"]
    assert {item.proof for item in deliveries(sent)} == {"storage commitment", ""}
    assert report(sent, [first, second, "9.9.9"]) == 0
    assert report(sent, [third]) == 1
    assert sent.store.proofs.oldest("pacs") is None


@pytest.mark.parametrize(
    ("transaction", "destinations"), [("9.9", ("pacs",)), ("1.2.3", ("other",)), ("1.2.3", ())]
)
def test_nothing_is_taken_from_a_report_that_nobody_asked_for(sent, transaction, destinations):
    uids = ask(sent)
    with pytest.raises(UnknownSubject):
        report(sent, uids, transaction=transaction, destinations=destinations)
    assert states(sent) == ["sent"] * 3


def test_what_is_said_to_be_missing_waits_for_the_courier(sent):
    first, second, third = ask(sent)
    assert report(sent, [first], {second: NO_SUCH_OBJECT, third: PROCESSING_FAILURE}) == 1
    assert [item.sop_instance_uid for item in sent.store.proofs.missing("pacs", limit=10)] == [second]
    assert [item.sop_instance_uid for item in sent.store.proofs.unproven("pacs", limit=10)] == [third]
    assert deliveries(sent)[1].detail == "not committed: failure reason 0112H"
    assert states(sent) == ["delivered", "sent", "sent"]


def test_a_report_that_comes_while_its_answer_is_waited_for_is_not_forgotten(sent, clock):
    first, *_ = ask(sent)
    item = deliveries(sent)[0]
    assert report(sent, failed=[first]) == 0
    sent.store.proofs.look_again(item.id, clock.now() + timedelta(minutes=10), "no report yet", asked=1)
    assert [found.id for found in sent.store.proofs.missing("pacs", limit=10)] == [item.id]
    sent.store.proofs.give_time(item.id, clock.now() + timedelta(minutes=2), "not there yet")
    clock.advance(120)
    assert sent.store.proofs.missing("pacs", limit=10) == []
    assert item.id in [found.id for found in sent.store.proofs.unproven("pacs", limit=10)]


@pytest.mark.parametrize(("reason", "asked"), [(PROCESSING_FAILURE, 0), (0x0119, 0), (0x0122, 2)])
def test_who_declined_has_answered(sent, clock, reason, asked):
    uids = ask(sent)
    for item in deliveries(sent):
        sent.store.proofs.look_again(item.id, clock.now() + timedelta(minutes=10), "no report", asked=2)
    assert not sent.store.proofs.is_answered("1.2.3")
    assert report(sent, failed=dict.fromkeys(uids, reason)) == 0
    assert sent.store.proofs.is_answered("1.2.3")
    assert {item.asked for item in deliveries(sent)} == {asked}


def test_who_contradicts_himself_has_proven_nothing(sent):
    uids = ask(sent)
    assert report(sent, uids, uids) == 0
    assert states(sent) == ["sent"] * 3


def test_what_was_lost_is_sent_again_and_an_old_report_proves_nothing_of_it(sent, clock):
    uids = ask(sent)
    lost = deliveries(sent)[0]
    sent.store.proofs.lost(lost.id, clock.now() + timedelta(seconds=10), "not there")
    assert states(sent) == ["pending", "sent", "sent"]
    assert report(sent, uids) == 2
    clock.advance(10)
    accept_all(sent)
    assert report(sent, uids) == 0
    assert states(sent) == ["sent", "delivered", "delivered"]
    assert deliveries(sent)[0].attempts == 2


def test_what_is_lost_again_and_again_waits_for_an_operator(sent):
    sent.store.proofs.lost(deliveries(sent)[0].id, None, "given up")
    assert states(sent) == ["refused", "sent", "sent"]
    assert sent.store.outbox.release(sent.study.id, "pacs", "Ada", "mended") == 1


def test_what_was_superseded_and_lost_is_not_sent_again(sent, clock):
    clock.advance(1)
    sent.add(2)
    sent.screened("recipe-2", version=2)
    assert states(sent)[:3] == ["sent"] * 3
    sent.store.proofs.lost(deliveries(sent)[0].id, clock.now(), "not there")
    assert states(sent)[:3] == ["cancelled", "sent", "sent"]


def test_what_is_proven_stays_proven(sent, clock):
    item = deliveries(sent)[0]
    assert sent.store.proofs.proven(item.id, "C-FIND", "found")
    assert not sent.store.proofs.proven(item.id, "C-FIND", "found")
    sent.store.proofs.lost(item.id, clock.now(), "not there")
    sent.store.proofs.look_again(item.id, clock.now(), "no answer", asked=1)
    found = deliveries(sent)[0]
    assert (found.state, found.proof, found.detail) == (DeliveryState.DELIVERED, "C-FIND", "found")


def test_what_is_asked_about_equally_often_is_asked_about_together(sent, clock):
    first, *others = deliveries(sent)
    sent.store.proofs.look_again(first.id, clock.now() + timedelta(minutes=10), "no answer", asked=1)
    assert [item.id for item in sent.store.proofs.unproven("pacs", limit=10)] == [item.id for item in others]
    clock.advance(600)
    assert len(sent.store.proofs.unproven("pacs", limit=10)) == 2
    for item in others:
        sent.store.proofs.proven(item.id, "C-FIND", "found")
    (again,) = sent.store.proofs.unproven("pacs", limit=10)
    assert (again.id, again.asked) == (first.id, 1)


def test_nothing_is_asked_of_a_destination_that_is_halted(sent):
    sent.store.operations.stop("Ada", "look")
    assert sent.store.proofs.unproven("pacs", limit=10) == []
    sent.store.operations.go_live("pacs", "Ada", "looked")
    assert len(sent.store.proofs.unproven("pacs", limit=10)) == 3


def test_a_question_that_could_not_be_asked_leaves_nothing(sent, clock):
    ask(sent, "1.2.3")
    ask(sent, "1.2.4")
    sent.store.proofs.asked("1.2.3", answered=True, forget=True)
    sent.store.proofs.asked("1.2.4", answered=True, forget=False)
    with sent.store.database.read() as connection:
        (kept,) = connection.execute(commitments.select()).all()
        assert (kept.transaction_uid, kept.answered_at) == ("1.2.4", clock.now())
        assert len(connection.execute(commitment_deliveries.select()).all()) == 3


def test_nothing_waits_for_a_proof_at_a_time_that_the_clock_was_set_back_from(sent, clock):
    clock.advance(10 * 366 * 86400)
    for item in deliveries(sent):
        sent.store.proofs.look_again(item.id, clock.now() + timedelta(days=1), "no answer", asked=1)
    assert sent.store.proofs.unproven("pacs", limit=10) == []
    clock.advance(-10 * 366 * 86400)
    assert len(sent.store.proofs.unproven("pacs", limit=10)) == 3


def test_a_restart_asks_for_no_proof_before_its_time(sent, clock):
    for item in deliveries(sent):
        sent.store.proofs.look_again(item.id, clock.now() + LONGEST_LOOK, "offers no proof", asked=0)
    sent.store.outbox.recover()
    assert sent.store.proofs.unproven("pacs", limit=10) == []


def test_a_claim_that_was_not_tried_uses_up_no_attempt(ward):
    ward.add(1)
    ward.screened()
    ward.store.operations.go_live("pacs", "Ada", "ready")
    claimed = ward.store.outbox.claim("pacs", limit=10)
    ward.store.outbox.give_back([item.id for item in claimed], "no answer")
    assert [(item.state, item.attempts, item.detail) for item in deliveries(ward)] == [
        (DeliveryState.PENDING, 0, "no answer")
    ] * 3
    assert len(ward.store.outbox.claim("pacs", limit=10)) == 3
