"""Requests that follow each other are one association; one that is not whole ends it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from node.dimse.admission import Caller
from node.dimse.services import AffectedInstance, ObjectSink
from node.domain.errors import OutOfSpace
from node.domain.study import AssociationEnd
from node.web.visits import Visits
from tests.conftest import FrozenClock

DEADLINE = 10.0
ANNA = Caller(calling_ae_title="WEB", called_ae_title="HERE", address="192.0.2.1")
BERT = Caller(calling_ae_title="WEB", called_ae_title="HERE", address="192.0.2.2")


class Recorded:
    """A station that notes associations and their ends."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.ends: dict[int, AssociationEnd] = {}
        self.full = False
        self._changed = threading.Condition()

    def opened(self, caller: Caller) -> int:
        if self.full:
            raise OutOfSpace("full")
        self.callers.append(caller)
        return len(self.callers)

    def closed(self, association_id: int, end: AssociationEnd) -> None:
        with self._changed:
            assert association_id not in self.ends
            self.ends[association_id] = end
            self._changed.notify_all()
        if self.full:
            raise OutOfSpace("full")

    def refused(self, caller: Caller, reason: str) -> None:
        raise AssertionError

    def receive(self, affected: AffectedInstance, *, caller: Caller, association_id: int) -> ObjectSink:
        raise AssertionError

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.ends) >= count, DEADLINE)


def visits(station: Recorded, clock: FrozenClock, linger_seconds: float = 3600.0) -> Visits:
    return Visits(station, clock, linger_seconds=linger_seconds)


def test_requests_of_a_client_share_an_association_and_those_of_another_have_theirs(
    clock: FrozenClock,
) -> None:
    station = Recorded()
    kept = visits(station, clock)
    for _ in range(3):
        with kept.visit(ANNA) as visit, kept.visit(BERT) as other:
            assert (visit.association_id, other.association_id) == (1, 2)
    assert (station.callers, station.ends) == ([ANNA, BERT], {})
    kept.close()
    assert station.ends == {1: AssociationEnd.RELEASED, 2: AssociationEnd.RELEASED}


def test_after_a_while_without_requests_it_is_released(clock: FrozenClock) -> None:
    station = Recorded()
    kept = visits(station, clock, linger_seconds=0.01)
    with kept.visit(ANNA):
        clock.advance(1.0)
    clock.advance(1.0)
    station.wait_for(1)
    with kept.visit(ANNA) as visit:
        assert visit.association_id == 2
    clock.advance(1.0)
    station.wait_for(2)
    assert set(station.ends.values()) == {AssociationEnd.RELEASED}


def test_a_request_that_is_under_way_or_was_just_here_keeps_it_open(clock: FrozenClock) -> None:
    station = Recorded()
    kept = visits(station, clock, linger_seconds=0.01)
    looked = threading.Event()
    with kept.visit(ANNA):
        pass
    with kept.visit(ANNA):
        clock.advance(5.0)
        looked.wait(0.05)
        assert station.ends == {}
    looked.wait(0.05)  # on the node's clock no time has passed since
    assert station.ends == {}
    clock.advance(0.02)
    station.wait_for(1)


@pytest.mark.parametrize("raising", [True, False])
def test_a_request_that_is_not_whole_ends_it_as_aborted(clock: FrozenClock, raising: bool) -> None:
    station = Recorded()
    kept = visits(station, clock)

    def broken() -> None:
        with kept.visit(ANNA) as visit:
            visit.broken = True
            if raising:
                raise ConnectionError

    with kept.visit(ANNA) as first:
        if raising:
            with pytest.raises(ConnectionError):
                broken()
        else:
            broken()
        assert station.ends == {}, "the first request is under way"
        with kept.visit(ANNA) as next_one:
            assert next_one.association_id != first.association_id
    assert station.ends == {1: AssociationEnd.ABORTED}
    kept.close()
    assert station.ends[2] is AssociationEnd.RELEASED


def test_a_stop_of_the_node_ends_what_is_under_way(clock: FrozenClock) -> None:
    station = Recorded()
    kept = visits(station, clock, linger_seconds=0.01)
    with kept.visit(ANNA):
        kept.close()
        assert station.ends == {1: AssociationEnd.RESTART}
    assert station.ends == {1: AssociationEnd.RESTART}


def test_a_store_that_is_full_refuses_and_recovers(clock: FrozenClock) -> None:
    station = Recorded()
    kept = visits(station, clock)
    station.full = True
    with pytest.raises(OutOfSpace), kept.visit(ANNA):
        raise AssertionError
    station.full = False
    with kept.visit(ANNA) as visit:
        assert visit.association_id == 1
    station.full = True
    kept.close()  # an end that cannot be recorded is no reason not to stop
    assert station.ends == {1: AssociationEnd.RELEASED}


def test_many_at_once_are_one(clock: FrozenClock) -> None:
    station = Recorded()
    kept = visits(station, clock)
    together = threading.Barrier(16)

    def request(_number: int) -> int:
        with kept.visit(ANNA) as visit:
            together.wait(DEADLINE)
            return visit.association_id

    with ThreadPoolExecutor(16) as clients:
        assert set(clients.map(request, range(16))) == {1}
    kept.close()
    assert station.ends == {1: AssociationEnd.RELEASED}
