"""Warnings that clients can cause: some are told, and how many more there were."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from node.web.sparing import MOST, MOST_KINDS, SECONDS, spare


class SetClock:
    """A clock that the test sets."""

    seconds = 5.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


def refuse(address: str, times: int) -> None:
    for _ in range(times):
        logging.getLogger("node.web.access").warning("a request from %s was refused: 100 %%", address)


def test_a_client_that_is_refused_for_ever_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    clock = SetClock()
    with ExitStack() as opened:
        spare(clock, opened)
        refuse("A", MOST + 90)
        assert len(caplog.records) == MOST
        refuse("B", 1)  # another one is told of, from the same line
        logging.getLogger("node.web.access").error("what fails is told")
        assert len(caplog.records) == MOST + 2
        clock.seconds += SECONDS
        refuse("A", 2)
        told = [record.getMessage() for record in caplog.records[MOST + 2 :]]
        assert told == [
            "a request from A was refused: 100 % (and 90 more like it before)",
            "a request from A was refused: 100 %",
        ]
    caplog.clear()
    refuse("A", MOST + 5)
    assert len(caplog.records) == MOST + 5


def test_clients_from_ever_other_addresses_do_not_fill_it_either(caplog: pytest.LogCaptureFixture) -> None:
    clock = SetClock()
    with ExitStack() as opened:
        spare(clock, opened)
        for number in range(3 * MOST_KINDS):
            refuse(str(number), 1)
        assert len(caplog.records) == MOST_KINDS + MOST
        clock.seconds += SECONDS
        refuse("new", 1)
        assert len(caplog.records) == MOST_KINDS + MOST + 1  # what was told long ago makes room
