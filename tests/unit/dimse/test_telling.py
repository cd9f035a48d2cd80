"""What the log says of connections is bounded."""

from __future__ import annotations

from node.dimse.telling import AGAIN_SECONDS, MOST_REMEMBERED, Seldom
from tests.conftest import FrozenClock


def test_what_is_repeated_is_counted_and_said_a_minute_later() -> None:
    clock = FrozenClock()
    seldom = Seldom(clock)
    assert [seldom.repetitions("192.0.2.1", "no TLS") for _ in range(4)] == ["", None, None, None]
    assert seldom.repetitions("192.0.2.2", "no TLS") == ""
    clock.advance(AGAIN_SECONDS)
    assert seldom.repetitions("192.0.2.1", "no TLS") == " (3 times more since it was said)"
    clock.advance(AGAIN_SECONDS)
    assert seldom.repetitions("192.0.2.1", "no TLS") == ""


def test_no_more_than_so_many_are_remembered() -> None:
    seldom = Seldom(FrozenClock())
    for number in range(2 * MOST_REMEMBERED):
        assert seldom.repetitions(str(number)) == ""
    assert len(seldom._said) == MOST_REMEMBERED
    assert seldom.repetitions(str(MOST_REMEMBERED)) is None
    assert seldom.repetitions(str(0)) == "", "it was forgotten"
