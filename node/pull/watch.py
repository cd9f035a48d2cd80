"""What is under way at an archive is broken off when nobody wants it any more or nothing comes of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from node.domain.errors import BrokenOff, DestinationUnavailable, GroundglassError
from node.domain.ports import Clock

logger = logging.getLogger(__name__)

CANCELLED: Final = "it was cancelled"
COUNTS: Final = 8
"""What has arrived is counted so often in the time after which nothing may be missing any longer."""


class Operation(Protocol):
    """What may be broken off from another thread."""

    @property
    def told(self) -> int:
        """A number that grows whenever the archive tells that it got further."""
        ...

    def cancel(self) -> None:
        """Ask the archive to end what it is doing."""
        ...

    def abort(self) -> None:
        """End the connection, and the wait for answers on it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long an archive is waited for."""

    look: timedelta
    """Time between two looks."""
    stalled: timedelta
    """A retrieval of which nothing new comes for this long is broken off."""
    grace: timedelta
    """For an archive to end what was cancelled; then the association is aborted."""


class Watch:
    """Looks at one search or retrieval while it runs.

    An archive that answers for ever, and sends nothing or the same again, is no reason to wait: new is an
    instance that was not here, and a number of ended sub-operations larger than any before, of which there
    is an end.

    Parameters
    ----------
    wanted : callable
        Whether it is still to go on.
    arrived : callable or None
        How many of the wanted instances are here; None where none is to come.
    clock : Clock
    patience : Patience
    """

    def __init__(
        self,
        *,
        wanted: Callable[[], bool],
        arrived: Callable[[], int] | None = None,
        clock: Clock,
        patience: Patience,
    ) -> None:
        self._wanted = wanted
        self._arrived = arrived
        self._clock = clock
        self._patience = patience
        self._told = 0
        self._here = 0
        self._grown_at = self._counted_at = clock.monotonic()
        self._reason = ""

    @contextmanager
    def over(self, operation: Operation) -> Iterator[None]:
        """Watch an operation until the context ends.

        Raises
        ------
        BrokenOff
            It was ended from here, or is not wanted even now.
        """
        ended = threading.Event()
        thread = threading.Thread(
            target=self._watch, args=(operation, ended), name="watch over an archive", daemon=True
        )
        self._grown_at = self._counted_at = self._clock.monotonic()
        self._reason = self.look(operation.told)
        self.require_going_on()
        thread.start()
        try:
            yield
        except DestinationUnavailable as error:
            if self._reason:
                raise BrokenOff(self._reason) from error
            raise
        finally:
            ended.set()
            thread.join()

    @property
    def is_broken(self) -> bool:
        """Whether the operation was cancelled or aborted from here."""
        return bool(self._reason)

    def require_going_on(self) -> None:
        """Refuse to go on with what was broken off.

        Raises
        ------
        BrokenOff
        """
        if self._reason:
            raise BrokenOff(self._reason)

    def look(self, told: int) -> str:
        """Return why an operation is to be broken off now; nothing where it may go on.

        Parameters
        ----------
        told : int
            Of the operation.
        """
        if not self._wanted():
            return CANCELLED
        if self._arrived is None:
            return ""
        now, stalled = self._clock.monotonic(), self._patience.stalled.total_seconds()
        if told > self._told:
            self._told, self._grown_at = told, now
        is_over = now - self._grown_at >= stalled
        if is_over or now - self._counted_at >= stalled / COUNTS:
            self._counted_at = now
            here = self._arrived()
            if here > self._here:
                self._here, self._grown_at = here, now
                is_over = False
        return f"the archive sent nothing new for {stalled:g} s; it is asked again" if is_over else ""

    def _watch(self, operation: Operation, ended: threading.Event) -> None:
        while not ended.wait(self._patience.look.total_seconds()):
            try:
                self._reason = self.look(operation.told)
            except GroundglassError as error:  # the index; the operation itself may go on
                logger.warning("an operation at an archive could not be looked at: %s", error)
                continue
            except Exception:  # without this thread nobody would ever break the operation off
                logger.exception("an operation at an archive could not be looked at")
                continue
            if self._reason:
                logger.warning("an operation at an archive is broken off: %s", self._reason)
                self._break_off(operation, ended)
                return

    def _break_off(self, operation: Operation, ended: threading.Event) -> None:
        try:
            operation.cancel()
        except Exception:  # whatever keeps it from being cancelled: it is aborted then
            logger.exception("an operation at an archive could not be cancelled; its association is aborted")
        else:
            if ended.wait(self._patience.grace.total_seconds()):
                return
        operation.abort()
