from __future__ import annotations

from datetime import timedelta

import pytest

from node.domain.delivery import DeliveryState
from node.domain.errors import IllegalTransition, StoreError, UnknownSubject
from node.domain.result import ResultKind
from node.store import schema


@pytest.fixture
def live(ward):
    """A study with results for a live destination."""
    ward.add(1)
    ward.screened()
    ward.store.operations.go_live("pacs", "Ada", "ready")
    return ward


def delivery_states(ward) -> list[DeliveryState]:
    return [item.state for item in ward.store.outbox.for_study(ward.study.id)]


def test_heatmaps_leave_before_the_report_that_references_them(live):
    claimed = live.store.outbox.claim("pacs", limit=10)
    assert [item.kind for item in claimed] == [ResultKind.HEATMAP, ResultKind.HEATMAP, ResultKind.REPORT]
    assert {item.state for item in claimed} == {DeliveryState.SENDING}
    assert {item.attempts for item in claimed} == {1}
    assert {item.study_instance_uid for item in claimed} == {live.study.study_instance_uid}
    assert live.store.files.path(claimed[0].object_key).is_file()
    assert live.store.outbox.claim("pacs", limit=10) == []


def test_a_claim_takes_no_more_than_it_may(live):
    assert len(live.store.outbox.claim("pacs", limit=2)) == 2
    assert len(live.store.outbox.claim("pacs", limit=2)) == 1


@pytest.mark.parametrize("why", ["never live", "stopped", "held", "other destination"])
def test_nothing_leaves_that_may_not(ward, why):
    ward.add(1)
    ward.screened()
    if why != "never live":
        ward.store.operations.go_live("other" if why == "other destination" else "pacs", "Ada", "ready")
    if why == "stopped":
        ward.store.operations.stop("Ada", "look")
    if why == "held":
        ward.store.studies.hold(ward.study.id, "Ada", "look")
    assert ward.store.outbox.claim("pacs", limit=10) == []
    assert ward.store.outbox.claim("other", limit=10) == []
    assert set(delivery_states(ward)) == {DeliveryState.PENDING}


def test_a_stop_is_taken_back_by_going_live_again(live):
    live.store.operations.stop("Ada", "look")
    live.store.operations.go_live("pacs", "Ada", "looked")
    assert len(live.store.outbox.claim("pacs", limit=10)) == 3


def test_a_retry_waits_until_it_is_due(live, clock):
    (first, *_rest) = live.store.outbox.claim("pacs", limit=10)
    due = clock.now() + timedelta(seconds=30)
    live.store.outbox.retry(first.id, due, "A700H out of resources")
    assert live.store.outbox.next_due() == due
    assert live.store.outbox.claim("pacs", limit=10) == []
    clock.advance(30)
    (again,) = live.store.outbox.claim("pacs", limit=10)
    assert (again.id, again.attempts, again.detail) == (first.id, 2, "A700H out of resources")


def test_nothing_waits_for_a_time_that_the_clock_was_set_back_from(live, clock):
    clock.advance(-3600)
    claimed = live.store.outbox.claim("pacs", limit=10)
    assert len(claimed) == 3
    live.store.outbox.retry(claimed[0].id, clock.now() + timedelta(minutes=1), "A700H")
    assert live.store.outbox.claim("pacs", limit=10) == []


def test_what_was_delivered_or_refused_is_not_claimed_again(live):
    first, second, third = live.store.outbox.claim("pacs", limit=10)
    live.store.outbox.delivered(first.id, "0000H", "the answer")
    live.store.outbox.refuse(second.id, "C000H cannot understand")
    live.store.outbox.delivered(third.id, "0000H", "the answer")
    assert live.store.outbox.claim("pacs", limit=10) == []
    assert live.store.outbox.counts() == {
        ("pacs", DeliveryState.DELIVERED): 2,
        ("pacs", DeliveryState.REFUSED): 1,
    }
    assert live.store.outbox.next_due() is None
    with pytest.raises(IllegalTransition):
        live.store.outbox.delivered(second.id, "0000H", "the answer")
    with pytest.raises(UnknownSubject):
        live.store.outbox.delivered(999, "0000H", "the answer")


def test_what_was_being_sent_when_the_node_stopped_is_sent_again(live):
    live.store.outbox.claim("pacs", limit=2)
    assert live.store.outbox.recover() == 2
    assert live.store.outbox.recover() == 0
    assert len(live.store.outbox.claim("pacs", limit=10)) == 3


@pytest.mark.parametrize("how", ["retry", "recover"])
def test_an_overtaken_delivery_is_not_tried_again(live, clock, how):
    (claimed,) = live.store.outbox.claim("pacs", limit=1)
    clock.advance(1)
    live.add(2)
    live.screened("recipe-2", version=2)
    if how == "retry":
        live.store.outbox.retry(claimed.id, clock.now(), "no answer")
    else:
        assert live.store.outbox.recover() == 1
    assert delivery_states(live)[:3] == [DeliveryState.CANCELLED] * 3
    assert len(live.store.outbox.claim("pacs", limit=10)) == 3


def test_an_operator_releases_what_was_withheld_or_refused(ward):
    ward.add(1)
    ward.screened(destinations=(("pacs", False),))
    assert set(delivery_states(ward)) == {DeliveryState.WITHHELD}
    ward.store.operations.go_live("pacs", "Ada", "ready")
    assert ward.store.outbox.claim("pacs", limit=10) == []
    assert ward.store.outbox.release(ward.study.id, "pacs", "Ada", "wanted") == 3
    for claimed in ward.store.outbox.claim("pacs", limit=10):
        ward.store.outbox.refuse(claimed.id, "no")
    assert ward.store.outbox.release(ward.study.id, "pacs", "Ada", "the PACS is mended") == 3
    assert {item.attempts for item in ward.store.outbox.claim("pacs", limit=10)} == {1}
    assert ward.store.outbox.release(ward.study.id, "pacs", "Ada", "again") == 0
    assert ward.store.operations.audit_trail()[0].subject == "study 1 to pacs"


def test_a_destination_that_came_later_gets_the_results_in_force(live, clock):
    clock.advance(1)
    live.add(2)
    live.screened("recipe-2", version=2)
    assert live.store.outbox.release(live.study.id, "second", "Ada", "new PACS") == 3
    live.store.operations.go_live("second", "Ada", "ready")
    claimed = live.store.outbox.claim("second", limit=10)
    assert [item.kind for item in claimed] == [ResultKind.HEATMAP, ResultKind.HEATMAP, ResultKind.REPORT]
    assert {item.sop_instance_uid for item in claimed} == {
        item.sop_instance_uid for item in live.store.screenings.results(2)
    }


def test_one_row_an_object_and_destination(live, clock):
    row = schema.deliveries.insert().values(
        object_id=1, destination="pacs", state=DeliveryState.WITHHELD, changed_at=clock.now()
    )
    with pytest.raises(StoreError, match="UNIQUE"), live.store.database.write() as connection:
        connection.execute(row)
