"""Warnings that clients can cause: some of each kind a minute are told, and how many more there were."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from node.domain.ports import Clock

LOGGERS: Final = (
    "node.web.access",
    "node.web.storing",
    "node.web.streaming",
    "node.web.wado",
    "uvicorn.error",
)
"""That warn of what clients do."""
MOST: Final = 10
"""Warnings of one kind in `SECONDS`: a client that is refused again and again must not fill the disk."""
MOST_KINDS: Final = 50
"""Texts of one line of the program that count as kinds of their own: who calls from ever other addresses, or
fails for ever other reasons, must not fill it either. Further ones are one kind together."""
SECONDS: Final = 60.0
OTHERS: Final = ""
"""Stands for the texts beyond `MOST_KINDS`."""


@dataclass(kw_only=True)
class _Told:
    """What was told of one kind since a moment."""

    since: float
    """On the monotonic clock."""
    count: int = 0


class Sparing(logging.Filter):
    """Lets the first warnings of each kind pass: of each text from one line of the program.

    Parameters
    ----------
    clock : Clock
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[tuple[str, int], dict[str, _Told]] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is told; the first after a pause says how many were not."""
        if record.levelno != logging.WARNING:
            return True
        now, text = self._clock.monotonic(), record.getMessage()
        with self._lock:
            told = self._kind(self._told.setdefault((record.pathname, record.lineno), {}), text, now)
            left_out = 0
            if now - told.since >= SECONDS:
                left_out = max(0, told.count - MOST)
                told.since, told.count = now, 0
            told.count += 1
            if told.count > MOST:
                return False
        if left_out:
            record.msg, record.args = f"{text} (and {left_out} more like it before)", None
        return True

    def _kind(self, kinds: dict[str, _Told], text: str, now: float) -> _Told:
        """Return what was told of a text, or of all that are one kind together."""
        if text not in kinds and len(kinds) >= MOST_KINDS:
            for old in [
                item for item, told in kinds.items() if item != OTHERS and now - told.since >= SECONDS
            ]:
                del kinds[old]
            text = text if len(kinds) < MOST_KINDS else OTHERS
        return kinds.setdefault(text, _Told(since=now))


def spare(clock: Clock, opened: ExitStack) -> None:
    """Let the service's loggers tell less, until ``opened`` ends."""
    sparing = Sparing(clock)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.addFilter(sparing)
        opened.callback(logger.removeFilter, sparing)
