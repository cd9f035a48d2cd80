"""When a failed delivery is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from node.decide.backoff import next_due
from node.domain.network import Backoff

NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
STEADY = Backoff(
    first=timedelta(seconds=10), factor=2.0, longest=timedelta(minutes=5), jitter=0.0, max_attempts=8
)


def delays(backoff: Backoff, jitter_value: float) -> list[timedelta]:
    due = [
        next_due(NOW, attempts=attempts, backoff=backoff, jitter_value=jitter_value)
        for attempts in range(1, backoff.max_attempts)
    ]
    return [at - NOW for at in due if at is not None]


def test_delays_double_up_to_the_longest():
    assert [delay.total_seconds() for delay in delays(STEADY, 0.5)] == [10, 20, 40, 80, 160, 300, 300]


def test_attempts_run_out():
    assert next_due(NOW, attempts=7, backoff=STEADY, jitter_value=0.0) is not None
    assert next_due(NOW, attempts=8, backoff=STEADY, jitter_value=0.0) is None


@given(
    first=st.floats(0.001, 1e4),
    factor=st.floats(1.0, 1e3),
    longest=st.floats(0.001, 1e6),
    jitter=st.floats(0.0, 1.0),
    value=st.floats(0.0, 1.0),
    attempts=st.integers(1, 100_000),
)
def test_a_delay_is_never_negative_nor_longer_than_the_longest(
    first, factor, longest, jitter, value, attempts
):
    backoff = Backoff(
        first=timedelta(seconds=first),
        factor=factor,
        longest=timedelta(seconds=longest),
        jitter=jitter,
        max_attempts=200_000,
    )

    due = next_due(NOW, attempts=attempts, backoff=backoff, jitter_value=value)

    assert due is not None
    assert timedelta() <= due - NOW <= timedelta(seconds=longest) + timedelta(microseconds=1)
