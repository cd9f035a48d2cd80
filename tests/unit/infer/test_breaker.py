"""The circuit breaker, on a clock that moves when told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.breaker import BreakerState
from node.domain.errors import CircuitOpen
from node.infer.breaker import BREAKER, Breaker, BreakerEvent
from tests.conftest import FrozenClock


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


PAUSE = 30.0


def breaker_on(clock: FrozenClock, failures: int = 3) -> Breaker:
    return Breaker(clock=clock, failures=failures, seconds=PAUSE)


def opened(clock: FrozenClock) -> Breaker:
    breaker = breaker_on(clock)
    for _ in range(3):
        assert not breaker.admit()
        breaker.failed("no answer")
    return breaker


def test_every_state_takes_every_event_but_a_probe_without_a_pause() -> None:
    missing = {
        (state, event) for state in BreakerState for event in BreakerEvent if not BREAKER.allows(state, event)
    }
    assert missing == {
        (BreakerState.CLOSED, BreakerEvent.PROBED),
        (BreakerState.HALF_OPEN, BreakerEvent.PROBED),
    }


def test_it_opens_after_failures_in_a_row_and_says_why(clock: FrozenClock) -> None:
    breaker = opened(clock)
    assert breaker.state is BreakerState.OPEN
    with pytest.raises(CircuitOpen, match="probed in 30 s: no answer"):
        breaker.admit()


def test_an_answer_in_between_starts_the_count_anew(clock: FrozenClock) -> None:
    breaker = breaker_on(clock)
    for _ in range(5):
        breaker.failed("no answer")
        breaker.failed("no answer")
        breaker.passed()
    assert breaker.state is BreakerState.CLOSED


def test_what_is_grave_opens_it_at_once(clock: FrozenClock) -> None:
    breaker = breaker_on(clock)
    breaker.failed("other weights", grave=True)
    assert breaker.state is BreakerState.OPEN


def test_after_the_pause_one_caller_probes_and_the_others_wait(clock: FrozenClock) -> None:
    breaker = opened(clock)
    clock.advance(PAUSE)
    assert breaker.admit()
    assert breaker.state is BreakerState.HALF_OPEN
    with pytest.raises(CircuitOpen, match="right now"):
        breaker.admit()


def test_a_probe_that_passes_closes_it(clock: FrozenClock) -> None:
    breaker = opened(clock)
    clock.advance(PAUSE)
    breaker.admit()
    breaker.passed()
    assert breaker.state is BreakerState.CLOSED
    assert not breaker.admit()


def test_a_probe_that_fails_opens_it_for_another_pause(clock: FrozenClock) -> None:
    breaker = opened(clock)
    clock.advance(PAUSE)
    breaker.admit()
    breaker.failed("still nothing")
    clock.advance(PAUSE - 1)
    with pytest.raises(CircuitOpen, match="probed in 1 s: still nothing"):
        breaker.admit()
    clock.advance(1)
    assert breaker.admit()


def test_late_answers_and_failures_move_nothing_while_it_is_open(clock: FrozenClock) -> None:
    breaker = opened(clock)
    clock.advance(PAUSE - 1)
    breaker.passed()
    breaker.failed("late")
    assert breaker.state is BreakerState.OPEN
    clock.advance(1)
    assert breaker.admit()


@given(st.lists(st.sampled_from(["pass", "fail", "grave", "admit", "wait"]), max_size=60))
def test_it_lets_calls_through_only_when_closed_or_as_the_one_probe(steps: list[str]) -> None:
    clock = FrozenClock()
    breaker = breaker_on(clock)
    for step in steps:
        before = breaker.state
        match step:
            case "pass":
                breaker.passed()
            case "fail" | "grave":
                breaker.failed("", grave=step == "grave")
            case "wait":
                clock.advance(PAUSE)
            case "admit":
                try:
                    probes = breaker.admit()
                except CircuitOpen:
                    assert before is not BreakerState.CLOSED
                else:
                    assert probes == (before is BreakerState.OPEN)
                    assert breaker.state is (BreakerState.HALF_OPEN if probes else BreakerState.CLOSED)
