"""A machine whose clock ran years ahead, was set right and started again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from node.domain.study import AssociationEnd
from node.store.set_back import SetBack

HOUR, DAY = 3600.0, 86400.0
TEN_YEARS = 10 * 366 * DAY


def test_nothing_waits_for_a_time_that_the_clock_was_set_back_from(ward, clock):
    clock.advance(TEN_YEARS)
    ward.store.operations.go_live("pacs", "Ada", "test")
    ward.add(1)
    ward.screened()
    waiting = ward.store.outbox.claim("pacs", limit=10)
    for delivery in waiting:
        ward.store.outbox.retry(delivery.id, clock.now() + timedelta(seconds=10), "the PACS is away")
    association = ward.store.intake.association_opened("CT1", "10.0.0.1")
    ward.add(2, association_id=association)
    ward.store.intake.association_closed(association, AssociationEnd.RELEASED)
    ward.store.studies.defer_after_restart(timedelta(seconds=120))

    clock.advance(-TEN_YEARS)
    ward.store.screenings.recover()
    ward.store.outbox.recover()
    ward.store.studies.defer_after_restart(timedelta(seconds=120))

    now = clock.now()
    (series,) = ward.store.studies.receiving_series()
    assert series.last_arrival_at == now
    assert series.not_before == now + timedelta(seconds=120)
    assert ward.store.judging.associations([series.id])[series.id].last_closed_at == now
    assert ward.study.last_arrival_at == now
    assert len(ward.store.outbox.claim("pacs", limit=10)) == len(waiting)


def test_a_parked_screening_is_due_after_a_restart(ward, clock):
    clock.advance(TEN_YEARS)
    ward.add(1)
    ward.settle()
    ward.store.screenings.park(ward.claim().id, clock.now() + timedelta(seconds=30), "no engine")
    clock.advance(-TEN_YEARS)
    assert ward.store.screenings.claim("worker", lease=timedelta(minutes=1)) is None
    ward.store.screenings.recover()
    assert ward.claim().study_id == ward.study.id


def test_a_delivery_waits_for_its_own_time_where_the_clock_was_right(ward, clock):
    ward.store.operations.go_live("pacs", "Ada", "test")
    ward.add(1)
    ward.screened()
    (first, *_) = ward.store.outbox.claim("pacs", limit=10)
    ward.store.outbox.retry(first.id, clock.now() + timedelta(seconds=10), "the PACS is away")
    assert ward.store.outbox.recover("pacs") == 2
    assert len(ward.store.outbox.claim("pacs", limit=10)) == 2


def test_what_is_open_in_a_running_node_is_brought_back(ward, clock):
    quiet = timedelta(seconds=120)
    ward.add(1)
    ward.store.studies.defer_after_restart(quiet)
    clock.advance(-TEN_YEARS)
    ward.store.studies.bring_back(quiet)
    (series,) = ward.store.studies.receiving_series()
    assert (series.last_arrival_at, series.not_before) == (clock.now(), None)
    assert ward.study.last_arrival_at == clock.now()


def test_a_wait_that_is_longer_than_any_after_a_restart_is_cut(ward, clock):
    quiet = timedelta(seconds=120)
    ward.add(1)
    clock.advance(TEN_YEARS)
    ward.store.studies.defer_after_restart(quiet)
    clock.advance(-TEN_YEARS)
    ward.store.studies.bring_back(quiet)
    assert ward.store.studies.receiving_series()[0].not_before == clock.now() + quiet


def test_what_was_queued_before_the_clock_was_set_back_is_claimed(ward, clock):
    clock.advance(TEN_YEARS)
    ward.add(1)
    ward.settle()
    clock.advance(-TEN_YEARS)
    assert ward.claim().study_id == ward.study.id


@pytest.mark.parametrize("seconds", [DAY, HOUR, 30.0])
def test_a_parked_screening_of_a_running_node_waits_for_no_time_that_the_clock_was_set_back_from(
    ward, clock, seconds
):
    ward.add(1)
    ward.settle()
    ward.store.screenings.park(ward.claim().id, clock.now() + timedelta(seconds=30), "no engine")
    clock.set_by(-seconds)
    assert ward.claim().study_id == ward.study.id


@pytest.mark.parametrize("seconds", [DAY, HOUR, 30.0])
def test_a_delivery_of_a_running_node_waits_for_no_time_that_the_clock_was_set_back_from(
    ward, clock, seconds
):
    ward.store.operations.go_live("pacs", "Ada", "test")
    ward.add(1)
    ward.screened()
    waiting = ward.store.outbox.claim("pacs", limit=10)
    for delivery in waiting:
        ward.store.outbox.retry(delivery.id, clock.now() + timedelta(seconds=10), "the PACS is away")
    clock.set_by(-seconds)
    assert len(ward.store.outbox.claim("pacs", limit=10)) == len(waiting)


@pytest.mark.parametrize("seconds", [HOUR, 0.5, -0.5])
def test_a_clock_that_is_set_forward_or_by_little_makes_nothing_due(ward, clock, seconds):
    ward.add(1)
    ward.settle()
    ward.store.screenings.park(ward.claim().id, clock.now() + timedelta(days=1), "no engine")
    clock.set_by(seconds)
    assert ward.store.screenings.claim("worker", lease=timedelta(minutes=1)) is None


def test_it_is_told_once_that_the_clock_was_set_back(clock, caplog):
    watch = SetBack(clock)
    clock.advance(DAY)
    assert not watch.since_last_asked(), "a night has passed"
    clock.set_by(-HOUR)
    assert watch.since_last_asked()
    assert "set back by 3600 s" in caplog.text
    assert not watch.since_last_asked()
