"""Warnings that clients can cause: some are told, and how many more there were."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from node.web.sparing import MOST, SECONDS, spare


class SetClock:
    """A clock that the test sets."""

    seconds = 5.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


def test_a_client_that_is_refused_for_ever_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    clock, logger = SetClock(), logging.getLogger("node.web.access")

    def refuse(times: int) -> None:
        for number in range(times):
            logger.warning("a request from %s was refused: 100 %%", number)

    with ExitStack() as opened:
        spare(clock, opened)
        refuse(MOST + 90)
        assert len(caplog.records) == MOST
        logger.warning("another kind is told")
        logger.error("what fails is told")
        assert len(caplog.records) == MOST + 2
        clock.seconds += SECONDS
        refuse(2)
        told = [record.getMessage() for record in caplog.records[MOST + 2 :]]
        assert told == [
            "a request from 0 was refused: 100 % (and 90 more like it before)",
            "a request from 1 was refused: 100 %",
        ]
    caplog.clear()
    refuse(MOST + 5)
    assert len(caplog.records) == MOST + 5
