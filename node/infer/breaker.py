"""A circuit breaker: a server that fails again and again is left alone, then probed by one caller."""

from __future__ import annotations

import threading
from enum import StrEnum
from types import MappingProxyType

from node.domain.breaker import BreakerState
from node.domain.errors import CircuitOpen
from node.domain.ports import Clock
from node.domain.states import StateTable


class BreakerEvent(StrEnum):
    """What happened."""

    PASSED = "passed"
    FAILED = "failed"
    """Once more, but not yet often enough."""
    TRIPPED = "tripped"
    """Too often in a row, or too gravely for another try."""
    PROBED = "probed"
    """The pause is over and a caller goes ahead."""


BREAKER = StateTable[BreakerState, BreakerEvent](
    "breaker",
    MappingProxyType(
        {
            (BreakerState.CLOSED, BreakerEvent.PASSED): BreakerState.CLOSED,
            (BreakerState.CLOSED, BreakerEvent.FAILED): BreakerState.CLOSED,
            (BreakerState.CLOSED, BreakerEvent.TRIPPED): BreakerState.OPEN,
            # Answers to what was sent before it opened prove nothing about now.
            (BreakerState.OPEN, BreakerEvent.PASSED): BreakerState.OPEN,
            (BreakerState.OPEN, BreakerEvent.FAILED): BreakerState.OPEN,
            (BreakerState.OPEN, BreakerEvent.TRIPPED): BreakerState.OPEN,
            (BreakerState.OPEN, BreakerEvent.PROBED): BreakerState.HALF_OPEN,
            (BreakerState.HALF_OPEN, BreakerEvent.PASSED): BreakerState.CLOSED,
            (BreakerState.HALF_OPEN, BreakerEvent.FAILED): BreakerState.OPEN,
            (BreakerState.HALF_OPEN, BreakerEvent.TRIPPED): BreakerState.OPEN,
        }
    ),
)


class Breaker:
    """Counts failures in a row and decides who may call. Safe to share between threads.

    Parameters
    ----------
    clock : Clock
    failures : int
        After so many in a row it opens.
    seconds : float
        How long it stays open before a probe.
    """

    def __init__(self, *, clock: Clock, failures: int, seconds: float) -> None:
        self._clock = clock
        self._most = failures
        self._seconds = seconds
        self._lock = threading.Lock()
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._opened = clock.monotonic()
        self._reason = ""

    @property
    def state(self) -> BreakerState:
        """Whether calls are let through."""
        return self._state

    def admit(self) -> bool:
        """Let a caller through, or not.

        Returns
        -------
        bool
            Whether this call is the probe, after which ``passed`` or ``failed`` must be called.

        Raises
        ------
        CircuitOpen
            The message says why it opened and when it is probed.
        """
        with self._lock:
            if self._state is BreakerState.CLOSED:
                return False
            left = self._opened + self._seconds - self._clock.monotonic()
            if self._state is BreakerState.OPEN and left <= 0:
                self._state = BREAKER.step(self._state, BreakerEvent.PROBED)
                return True
            when = f"in {max(left, 0):.0f} s" if self._state is BreakerState.OPEN else "right now"
            raise CircuitOpen(f"the inference server is left alone and probed {when}: {self._reason}")

    def passed(self) -> None:
        """Note that a call was answered."""
        with self._lock:
            self._state = BREAKER.step(self._state, BreakerEvent.PASSED)
            self._failures = 0

    def failed(self, reason: str, *, grave: bool = False) -> None:
        """Note that a call failed.

        Parameters
        ----------
        reason : str
            For the operator.
        grave : bool
            Opens at once: what is wrong does not pass by trying again.
        """
        with self._lock:
            self._failures += 1
            trips = grave or self._failures >= self._most
            before = self._state
            self._state = BREAKER.step(before, BreakerEvent.TRIPPED if trips else BreakerEvent.FAILED)
            if self._state is BreakerState.OPEN and before is not BreakerState.OPEN:
                self._opened = self._clock.monotonic()
                self._reason = reason
