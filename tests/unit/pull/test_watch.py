"""When what is under way at an archive is broken off, and that it is in any case."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import BrokenOff, DestinationUnavailable, StoreError
from node.pull.watch import CANCELLED, COUNTS, Patience, Watch
from tests.conftest import FrozenClock

STALLED = 900
PATIENCE = Patience(
    look=timedelta(milliseconds=1), stalled=timedelta(seconds=STALLED), grace=timedelta(milliseconds=1)
)


class Call:
    """An operation that ends when it is aborted."""

    told = 0

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.aborted = threading.Event()

    def cancel(self) -> None:
        self.seen.append("cancel")

    def abort(self) -> None:
        self.seen.append("abort")
        self.aborted.set()

    def run(self) -> None:
        assert self.aborted.wait(10)
        raise DestinationUnavailable("the association ended")


class Stubborn(Call):
    """An operation that cannot be cancelled."""

    def cancel(self) -> None:
        super().cancel()
        raise OSError("the association is gone")


def watch_of(clock: FrozenClock, **named: Any) -> Watch:
    return Watch(
        **{"wanted": lambda: True, "arrived": lambda: 0, "clock": clock, "patience": PATIENCE, **named}
    )


def test_an_archive_that_repeats_itself_is_left_after_its_time() -> None:
    clock = FrozenClock()
    watch = watch_of(clock)
    clock.advance(STALLED - 1)
    assert watch.look(3) == ""  # the first word of it
    clock.advance(STALLED - 1)
    assert watch.look(3) == ""
    clock.advance(1)
    assert "nothing new for 900 s" in watch.look(3)


def test_what_arrived_counts_up_to_the_last_moment() -> None:
    clock, here = FrozenClock(), [0]
    watch = watch_of(clock, arrived=lambda: here[0])
    for _ in range(3):
        clock.advance(STALLED)
        here[0] += 1
        assert watch.look(0) == ""
    clock.advance(STALLED)
    assert watch.look(0) != ""


def test_a_search_is_broken_off_by_nothing_but_its_cancelling() -> None:
    clock, wanted = FrozenClock(), [True]
    watch = watch_of(clock, wanted=lambda: wanted[0], arrived=None)
    clock.advance(100 * STALLED)
    assert watch.look(0) == ""
    wanted[0] = False
    assert watch.look(0) == CANCELLED


@given(
    st.lists(
        st.tuples(st.integers(1, STALLED // 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60
    )
)
def test_it_is_broken_off_only_when_nothing_came_and_always_when_nothing_comes(acts: Any) -> None:
    clock, here, told = FrozenClock(), 0, 0
    watch = watch_of(clock, arrived=lambda: here)
    most, grown_at = (0, 0), clock.monotonic()
    for seconds, arriving, telling in acts:
        clock.advance(seconds)
        here += arriving == 1
        told = telling if telling > 1 else told  # it may go back
        now = (max(here, most[0]), max(told, most[1]))
        if now != most:
            most, grown_at = now, clock.monotonic()
        silent = clock.monotonic() - grown_at
        broken = bool(watch.look(told))
        assert not (broken and silent < STALLED * (1 - 1 / COUNTS) - STALLED // 3)
        assert broken or silent < STALLED + STALLED / COUNTS + STALLED // 3
        if broken:
            return


def test_an_operation_that_does_not_end_is_aborted() -> None:
    wanted, call = [True], Call()
    watch = watch_of(FrozenClock(), wanted=lambda: wanted[0])

    def run() -> None:
        wanted[0] = False
        call.run()

    with pytest.raises(BrokenOff, match=CANCELLED), watch.over(call):
        run()
    assert call.seen == ["cancel", "abort"]
    assert watch.is_broken


def test_what_is_not_wanted_is_not_begun() -> None:
    call = Call()
    with pytest.raises(BrokenOff), watch_of(FrozenClock(), wanted=lambda: False).over(call):
        pytest.fail("it was begun")
    assert call.seen == []


def test_an_index_that_cannot_be_read_ends_nothing() -> None:
    asked, call = [0], Call()
    read_again = threading.Event()

    def wanted() -> bool:
        asked[0] += 1
        if asked[0] == 2:
            raise StoreError("the index stays locked")
        if asked[0] == 3:
            read_again.set()
        return True

    with watch_of(FrozenClock(), wanted=wanted).over(call):
        assert read_again.wait(10)
    assert call.seen == []


def test_an_association_that_breaks_by_itself_is_not_called_broken_off() -> None:
    with pytest.raises(DestinationUnavailable) as raised, watch_of(FrozenClock()).over(Call()):
        raise DestinationUnavailable("the archive hung up")
    assert not isinstance(raised.value, BrokenOff)


def test_what_cannot_be_cancelled_is_aborted(caplog: pytest.LogCaptureFixture) -> None:
    call, looks = Stubborn(), iter([True])
    watch = watch_of(FrozenClock(), wanted=lambda: next(looks, False))
    with pytest.raises(BrokenOff, match=CANCELLED), watch.over(call):
        call.run()
    assert call.seen == ["cancel", "abort"]
    assert "could not be cancelled" in caplog.text


def test_a_look_that_fails_in_any_way_is_not_the_last_one(caplog: pytest.LogCaptureFixture) -> None:
    looks = iter([True, None])

    def wanted() -> bool:
        found = next(looks, False)
        if found is None:
            raise OSError("nobody knows why")
        return found

    call = Call()
    with pytest.raises(BrokenOff, match=CANCELLED), watch_of(FrozenClock(), wanted=wanted).over(call):
        call.run()
    assert "nobody knows why" in caplog.text
