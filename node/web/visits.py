"""Requests to store that follow each other, taken as one association.

A DICOM association tells the index that more may come, and its release that all has. Requests have nothing of
the kind: those of one client belong together as long as none is long in coming.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from node.dimse.admission import Caller
from node.dimse.services import StorageServices
from node.domain.errors import GroundglassError
from node.domain.ports import Clock
from node.domain.study import AssociationEnd

logger = logging.getLogger(__name__)

LINGER_SECONDS: Final = 1.0
"""After the last request of a client, until what it stored counts as released."""


@dataclass(kw_only=True)
class Visit:
    """What one client does here now."""

    association_id: int
    broken: bool = False
    """Whether a request was not whole: this visit ends with it."""
    requests: int = 0
    """Under way."""
    last: float = 0.0
    """When the latest one ended, on the monotonic clock."""
    timer: threading.Timer | None = None


class Visits:
    """Keeps the associations of clients that store by HTTP.

    Parameters
    ----------
    services : StorageServices
        Is told of them.
    clock : Clock
    linger_seconds : float
    """

    def __init__(
        self, services: StorageServices, clock: Clock, *, linger_seconds: float = LINGER_SECONDS
    ) -> None:
        self._services = services
        self._clock = clock
        self._linger = linger_seconds
        self._open: dict[Caller, Visit] = {}
        self._lock = threading.Lock()

    @contextmanager
    def visit(self, caller: Caller) -> Iterator[Visit]:
        """Yield the visit to which one request of a client belongs; an exception breaks it off.

        Raises
        ------
        StoreError
            It cannot be recorded now.
        """
        with self._lock:
            visit = self._open.get(caller)
            if visit is None:
                visit = self._open[caller] = Visit(association_id=self._services.opened(caller))
            visit.requests += 1
        whole = False
        try:
            yield visit
            whole = not visit.broken
        finally:
            self._leave(caller, visit, whole=whole)

    def close(self) -> None:
        """End every visit: the node stops."""
        with self._lock:
            visits, self._open = list(self._open.values()), {}
            for visit in visits:
                if visit.timer is not None:
                    visit.timer.cancel()
        for visit in visits:
            self._closed(visit, AssociationEnd.RESTART if visit.requests else AssociationEnd.RELEASED)

    def _leave(self, caller: Caller, visit: Visit, *, whole: bool) -> None:
        with self._lock:
            visit.broken |= not whole
            visit.requests -= 1
            visit.last = self._clock.monotonic()
            known = self._open.get(caller) is visit
            if known and visit.broken:
                del self._open[caller]  # what is under way goes on; the next request is a new visit
            elif known and visit.requests == 0 and visit.timer is None:
                self._look_later(caller, visit, self._linger)
            broken_off = visit.broken and visit.requests == 0
        if broken_off:
            self._closed(visit, AssociationEnd.ABORTED)

    def _look(self, caller: Caller, visit: Visit) -> None:
        """End a visit to which no request has come for a while."""
        with self._lock:
            visit.timer = None
            if self._open.get(caller) is not visit or visit.requests:
                return
            rest = visit.last + self._linger - self._clock.monotonic()
            if rest > 0:
                self._look_later(caller, visit, rest)
                return
            del self._open[caller]
        self._closed(visit, AssociationEnd.RELEASED)

    def _look_later(self, caller: Caller, visit: Visit, seconds: float) -> None:
        visit.timer = threading.Timer(seconds, self._look, (caller, visit))
        visit.timer.daemon = True
        visit.timer.start()

    def _closed(self, visit: Visit, end: AssociationEnd) -> None:
        try:
            self._services.closed(visit.association_id, end)
        except GroundglassError:
            logger.exception("the end of association %d cannot be recorded", visit.association_id)
