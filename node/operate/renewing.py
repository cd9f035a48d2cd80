"""Leases of screenings that get on: only one that stands still is taken over by another worker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum

from node.domain.errors import StoreError
from node.domain.job import Screening
from node.domain.ports import Clock
from node.operate.counting import SilentListener

LOGGER = logging.getLogger(__name__)
PARTS = 4
"""A lease is renewed after this part of it, so that a renewal that fails is tried again in time."""


class RenewedLeases(SilentListener):
    """Prolongs the lease of every screening that is told to get on. May be told from several threads.

    Parameters
    ----------
    renew : callable
        Takes the screening as it was claimed.
    clock : Clock
    lease : timedelta
    """

    def __init__(self, renew: Callable[[Screening], object], clock: Clock, lease: timedelta) -> None:
        self._renew = renew
        self._clock = clock
        self._every = lease.total_seconds() / PARTS
        self._due: dict[int, float] = {}

    def stage_started(self, screening: Screening, stage: StrEnum) -> None:
        """Tell that a stage begins."""
        del stage
        self._got_on(screening)

    def stage_advanced(self, screening: Screening, stage: StrEnum, done: int, total: int) -> None:
        """Tell how far a stage is."""
        del stage, done, total
        self._got_on(screening)

    def ended(self, screening: Screening, end: StrEnum, reason: str) -> None:
        """Tell how the run ended."""
        del end, reason
        self._due.pop(screening.id, None)

    def _got_on(self, screening: Screening) -> None:
        now = self._clock.monotonic()
        if now < self._due.setdefault(screening.id, now + self._every):
            return
        self._due[screening.id] = now + self._every
        try:
            self._renew(screening)
        except StoreError as error:  # it is renewed at a later step, or taken over and then void
            LOGGER.warning("the lease of screening %d could not be renewed: %s", screening.id, error)
