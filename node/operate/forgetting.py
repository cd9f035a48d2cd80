"""Forgetting at work: what peers announced and asked, and what was fetched, goes a while after its end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from node.domain.ports import Clock
from node.domain.pruning import Kept, Pruned
from node.operate.retention import BY_ITSELF
from node.store.store import Store

log = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 10_000
"""Of each kind in one run: a clock that is wrong does not empty the tables at once."""

PAGE: Final = 100


class Forgetting:
    """Forgets what has been over for long and nothing here depends on.

    Parameters
    ----------
    store : Store
    clock : Clock
    after : timedelta
        Time since the end.
    most : int
        Of each kind in one run.
    """

    def __init__(self, store: Store, *, clock: Clock, after: timedelta, most: int = MOST_AT_ONCE) -> None:
        self._store = store
        self._clock = clock
        self._after = after
        self._most = most

    def planned(self) -> list[Pruned]:
        """Return what would go now, by kind; nothing is removed by this."""
        until = self._clock.now() - self._after
        weigh = self._store.pruning.weight
        return [_sum(kind, [weigh(kind, page) for page in self._pages(kind, until)]) for kind in Kept]

    def run_once(self, by: str = BY_ITSELF) -> list[Pruned]:
        """Forget what goes now; return what did, by kind.

        Parameters
        ----------
        by : str
            For the audit trail.
        """
        until = self._clock.now() - self._after
        reason = f"it ended more than {self._after / timedelta(days=1):g} days ago"
        done = []
        for kind in Kept:
            parts: list[Pruned] = []
            for page in self._pages(kind, until):
                parts += self._store.pruning.forget(kind, page, until=until, by=by, reason=reason)
            done.append(_sum(kind, parts))
        for item in done:
            if item.count:
                log.info("%d %s are forgotten: %s", item.count, item.kind, reason)
        return done

    def _pages(self, kind: Kept, until: datetime) -> Iterator[list[int]]:
        over, after, left = self._store.pruning.over, None, self._most
        while left and (page := over(kind, until=until, after=after, limit=min(left, PAGE))):
            yield [number for _, number in page]
            after, left = page[-1], left - len(page)


def _sum(kind: Kept, parts: list[Pruned]) -> Pruned:
    return Pruned(kind=kind, count=sum(item.count for item in parts), rows=sum(item.rows for item in parts))
