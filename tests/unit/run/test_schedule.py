from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from queue import Empty, SimpleQueue

import pytest

from node.domain.ports import Clock
from node.run.schedule import Tick, Ticks

SOON = 10.0
LONG = timedelta(hours=1)
SHORT = timedelta(milliseconds=20)


@contextmanager
def ticking(clock: Clock, *ticks: Tick) -> Iterator[Ticks]:
    running = Ticks(ticks, clock=clock)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def test_a_tick_runs_at_the_start_and_again(running_clock: Clock) -> None:
    runs: SimpleQueue[int] = SimpleQueue()
    with ticking(running_clock, Tick(name="a", every=SHORT, action=lambda: runs.put(1))):
        assert [runs.get(timeout=SOON) for _ in range(3)] == [1, 1, 1]


def test_an_error_is_logged_and_the_next_tick_comes(
    running_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    runs: SimpleQueue[int] = SimpleQueue()

    def action() -> None:
        runs.put(1)
        raise OSError("gone")

    with ticking(running_clock, Tick(name="a", every=SHORT, action=action)):
        assert [runs.get(timeout=SOON) for _ in range(2)] == [1, 1]
    assert "tick a failed" in caplog.text


def test_a_nudge_runs_a_tick_now(running_clock: Clock) -> None:
    runs: SimpleQueue[int] = SimpleQueue()
    with ticking(running_clock, Tick(name="a", every=LONG, action=lambda: runs.put(1))) as ticks:
        runs.get(timeout=SOON)
        ticks.nudge("a")
        assert runs.get(timeout=SOON) == 1


def test_a_nudge_during_a_run_is_not_lost_and_does_not_overlap(running_clock: Clock) -> None:
    started: SimpleQueue[int] = SimpleQueue()
    inside = threading.Semaphore(1)
    finish = threading.Event()

    def action() -> None:
        assert inside.acquire(blocking=False)
        started.put(1)
        assert finish.wait(SOON)
        inside.release()

    with ticking(running_clock, Tick(name="a", every=LONG, action=action)) as ticks:
        started.get(timeout=SOON)
        ticks.nudge("a")
        ticks.nudge("a")
        finish.set()
        assert started.get(timeout=SOON) == 1
    assert started.empty()


def test_a_slow_tick_does_not_hold_up_another(running_clock: Clock) -> None:
    runs: SimpleQueue[int] = SimpleQueue()
    finish = threading.Event()
    slow = Tick(name="slow", every=LONG, action=lambda: finish.wait(SOON))
    with ticking(running_clock, slow, Tick(name="a", every=SHORT, action=lambda: runs.put(1))):
        assert [runs.get(timeout=SOON) for _ in range(3)] == [1, 1, 1]
        finish.set()


class SetBack:
    """A time of day that is set back by a day whenever it is asked."""

    def __init__(self, running: Clock) -> None:
        self._running = running
        self._days = count()

    def now(self) -> datetime:
        return self._running.now() - timedelta(days=next(self._days))

    def monotonic(self) -> float:
        return self._running.monotonic()


def test_setting_the_time_of_day_moves_no_tick(running_clock: Clock) -> None:
    runs: SimpleQueue[datetime] = SimpleQueue()
    clock = SetBack(running_clock)
    with ticking(clock, Tick(name="a", every=SHORT, action=lambda: runs.put(clock.now()))):
        times = [runs.get(timeout=SOON) for _ in range(5)]
    assert times == sorted(times, reverse=True)


class Standing:
    """A clock that moves only when it is told to."""

    def __init__(self, running: Clock) -> None:
        self._running = running
        self.seconds = 1000.0

    def now(self) -> datetime:
        return self._running.now()

    def monotonic(self) -> float:
        return self.seconds


def test_what_a_long_run_made_late_is_left_out(running_clock: Clock) -> None:
    clock, runs = Standing(running_clock), SimpleQueue[float]()
    lasting = iter([3 * LONG - SHORT, timedelta(0)])

    def action() -> None:
        runs.put(clock.seconds)
        clock.seconds += next(lasting).total_seconds()

    with ticking(clock, Tick(name="a", every=LONG, action=action)):
        assert [runs.get(timeout=SOON) for _ in range(2)] == [1000.0, 1000.0 + 3 * 3600 - 0.02]
        with pytest.raises(Empty):
            runs.get(timeout=10 * SHORT.total_seconds())


@pytest.mark.parametrize("every", [timedelta(0), timedelta(seconds=-1)])
def test_a_tick_without_a_pause_is_refused(running_clock: Clock, every: timedelta) -> None:
    with pytest.raises(ValueError, match="without a pause"):
        Ticks([Tick(name="a", every=every, action=lambda: None)], clock=running_clock)


def test_names_must_differ(running_clock: Clock) -> None:
    tick = Tick(name="a", every=LONG, action=lambda: None)
    with pytest.raises(ValueError, match="same name"):
        Ticks([tick, tick], clock=running_clock)


def test_after_the_stop_a_nudge_does_nothing(running_clock: Clock) -> None:
    runs: SimpleQueue[int] = SimpleQueue()
    with ticking(running_clock, Tick(name="a", every=LONG, action=lambda: runs.put(1))) as ticks:
        runs.get(timeout=SOON)
    ticks.nudge("a")
    ticks.stop()
    assert runs.empty()


def test_an_action_that_lasts_is_told_of_the_end(running_clock: Clock) -> None:
    started, ended = threading.Event(), threading.Event()

    def action() -> None:
        started.set()
        assert ended.wait(SOON)

    with ticking(running_clock, Tick(name="a", every=LONG, action=action, ending=ended.set)):
        assert started.wait(SOON)
    assert ended.is_set()
