"""Whether a destination is called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from node.deliver.breaker import after_failure, breaker_state
from node.domain.breaker import BreakerState, Failing, Patience

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PATIENCE = Patience(
    failures=3, first=timedelta(seconds=30), factor=2.0, longest=timedelta(minutes=5), jitter=0.0
)


def fail(
    failing: Failing | None, now: datetime, patience: Patience = PATIENCE, jitter: float = 0.0
) -> Failing:
    return after_failure(failing, "pacs", "no answer", now=now, patience=patience, jitter_value=jitter)


def test_it_opens_after_so_many_failures_in_a_row_and_pauses_longer_each_time():
    failing, pauses = None, []
    for _ in range(9):
        failing = fail(failing, NOW)
        pauses.append(None if failing.open_until is None else (failing.open_until - NOW).total_seconds())
    assert pauses == [None, None, 30, 60, 120, 240, 300, 300, 300]
    assert failing is not None
    assert (failing.destination, failing.failures, failing.detail) == ("pacs", 9, "no answer")


def test_it_is_closed_then_open_then_half_open():
    failing = None
    for _ in range(2):
        assert breaker_state(failing, now=NOW, patience=PATIENCE) is BreakerState.CLOSED
        failing = fail(failing, NOW)
    failing = fail(failing, NOW)
    later = NOW + timedelta(seconds=30)
    assert breaker_state(failing, now=NOW, patience=PATIENCE) is BreakerState.OPEN
    assert (
        breaker_state(failing, now=later - timedelta(microseconds=1), patience=PATIENCE) is BreakerState.OPEN
    )
    assert breaker_state(failing, now=later, patience=PATIENCE) is BreakerState.HALF_OPEN


def test_a_pause_of_a_clock_that_was_set_back_is_over():
    failing = None
    for _ in range(3):
        failing = fail(failing, NOW + timedelta(days=3660))
    assert breaker_state(failing, now=NOW, patience=PATIENCE) is BreakerState.HALF_OPEN


@given(
    failures=st.integers(1, 50),
    more=st.integers(0, 200),
    factor=st.floats(1.0, 10.0),
    share=st.floats(0.0, 1.0),
    jitter=st.floats(0.0, 1.0),
)
def test_it_is_probed_within_the_longest_pause_whatever_happened(failures, more, factor, share, jitter):
    patience = Patience(
        failures=failures,
        first=timedelta(seconds=1),
        factor=factor,
        longest=timedelta(minutes=5),
        jitter=share,
    )
    failing = None
    for _ in range(failures + more):
        failing = fail(failing, NOW, patience, jitter)
    assert failing is not None
    assert failing.open_until is not None
    assert NOW <= failing.open_until <= NOW + patience.longest
    assert breaker_state(failing, now=NOW + patience.longest, patience=patience) is BreakerState.HALF_OPEN
