"""What connections make the log say, bounded: whoever reaches a port could fill it otherwise."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from node.domain.ports import Clock

AGAIN_SECONDS = 60.0
"""After which the same is said again, if it goes on."""
MOST_REMEMBERED = 256


@dataclass
class _Said:
    at: float
    silent: int = 0


class Seldom:
    """Says of each thing at most once a minute that it happens.

    Parameters
    ----------
    clock : Clock
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[tuple[str, ...], _Said] = {}

    def repetitions(self, *thing: str) -> str | None:
        """Return what is to be said after a thing that happens now; None where nothing is to be said of it.

        Parameters
        ----------
        thing : str
            What tells it from others.
        """
        now = self._clock.monotonic()
        with self._lock:
            before = self._said.get(thing)
            if before is not None and now - before.at < AGAIN_SECONDS:
                before.silent += 1
                return None
            self._said.pop(thing, None)
            if len(self._said) >= MOST_REMEMBERED:
                del self._said[next(iter(self._said))]  # the one said longest ago
            self._said[thing] = _Said(at=now)
        return f" ({before.silent} times more since it was said)" if before and before.silent else ""
