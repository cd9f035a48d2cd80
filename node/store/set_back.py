"""Whether somebody set the clock back: what waits for a time then waits for one that is long to come."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta

from node.domain.ports import Clock

logger = logging.getLogger(__name__)

LEAST = timedelta(seconds=1)
"""What is less makes nothing wait that anybody notices."""


class SetBack:
    """Compares the time of day with what has passed since it was last asked.

    Parameters
    ----------
    clock : Clock
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._began = self._beginning()

    def since_last_asked(self) -> bool:
        """Return whether the clock was set back since this was last asked, or made."""
        with self._lock:
            began, self._began = self._began, self._beginning()
            by = began - self._began
        if by >= LEAST:
            logger.warning(
                "the clock was set back by %d s; what waits for a time is due now", by.total_seconds()
            )
        return by >= LEAST

    def _beginning(self) -> datetime:
        """Return the time of day at which the monotonic clock was 0: it changes when the clock is set."""
        return self._clock.now() - timedelta(seconds=self._clock.monotonic())
