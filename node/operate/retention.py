"""Retention at work: which studies go now, and their removal one by one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from node.decide.retention import judge, may_apply
from node.domain.errors import GroundglassError
from node.domain.ports import Clock
from node.domain.retention import Extent, RetentionRule, Room, StudyFacts, Weight
from node.store.store import Store

log = logging.getLogger(__name__)

BY_ITSELF = "retention"
"""Who removes, in the audit trail, where no operator does."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One study that goes."""

    facts: StudyFacts
    rule: RetentionRule
    extent: Extent
    reason: str
    weight: Weight
    room: Room
    """As it was when this was decided."""


class Retention:
    """Removes what the rules say, oldest arrival first.

    Parameters
    ----------
    store : Store
    rules : sequence of RetentionRule
        The first one that applies to a study counts.
    clock : Clock
    free_bytes : callable
        Returns how many bytes are free where the object files lie.
    most : int
        Studies of one run: a clock or a rule that is wrong does not empty the store at once.
    """

    def __init__(
        self,
        store: Store,
        rules: Sequence[RetentionRule],
        *,
        clock: Clock,
        free_bytes: Callable[[], int],
        most: int,
    ) -> None:
        self._store = store
        self._rules = tuple(rules)
        self._clock = clock
        self._free_bytes = free_bytes
        self._most = most

    def planned(self) -> Iterator[Planned]:
        """Yield what goes now, each as if those before it were gone; nothing is removed by this."""
        now, room = self._clock.now(), self._room()
        rules = [rule for rule in self._rules if may_apply(rule, room)]
        ages = [rule.older_than for rule in rules if rule.older_than is not None]
        until = now - min(ages) if ages and len(ages) == len(rules) else None
        whole = any(rule.remove is Extent.STUDY for rule in rules)
        found = self._pages(until=until, whole=whole)
        for _ in range(self._most):
            planned = self._next(found, rules, now, room)
            if planned is None:
                return
            yield planned
            room = Room(
                studies=room.studies - bool(planned.facts.modalities),
                free_bytes=room.free_bytes + planned.weight.size,
            )

    def run_once(self, by: str = BY_ITSELF) -> list[Planned]:
        """Remove what goes now, and what a stop has left of former removals; return what was removed.

        A study that cannot be removed is logged and does not stop the others.

        Parameters
        ----------
        by : str
            For the audit trail.
        """
        self._store.retention.drop_returned()
        self._store.retention.drop_files()
        done = []
        for planned in self.planned():
            try:
                if self._remove(planned, by):
                    done.append(planned)
            except GroundglassError as error:
                log.error("study %d cannot be removed: %s", planned.facts.study_id, error)  # noqa: TRY400 -- the error says all
        if done:
            size = sum(item.weight.size for item in done)
            log.info("retention has removed %d studies, or their images, of %d bytes", len(done), size)
        return done

    def reasons(self) -> Counter[str]:
        """Return of how many studies it is said why they stay, or by which rule they go."""
        now, room = self._clock.now(), self._room()
        counted: Counter[str] = Counter()
        for facts in self._pages(until=None, whole=True):
            decision = judge(facts, self._rules, now=now, room=room)
            counted[decision.reason if decision.rule is None else f"goes by rule {decision.rule.name}"] += 1
        return counted

    def _next(
        self, found: Iterator[StudyFacts], rules: Sequence[RetentionRule], now: datetime, room: Room
    ) -> Planned | None:
        """Return the next study that goes; None when there is none, or the rules are met."""
        if not any(may_apply(rule, room) for rule in rules):
            return None
        for facts in found:
            decision = judge(facts, rules, now=now, room=room)
            if decision.rule is not None and decision.extent is not None:
                return Planned(
                    facts=facts,
                    rule=decision.rule,
                    extent=decision.extent,
                    reason=decision.reason,
                    weight=self._store.retention.weight(facts, decision.extent),
                    room=room,
                )
        return None

    def _pages(self, *, until: datetime | None, whole: bool) -> Iterator[StudyFacts]:
        after = None
        while page := self._store.retention.page(after, until=until, whole=whole):
            yield from page
            after = (page[-1].last_arrival_at, page[-1].study_id)

    def _room(self) -> Room:
        return Room(studies=self._store.retention.studies_with_images(), free_bytes=self._free_bytes())

    def _remove(self, planned: Planned, by: str) -> bool:
        def still(facts: StudyFacts) -> bool:
            decision = judge(facts, [planned.rule], now=self._clock.now(), room=planned.room)
            return decision.extent is planned.extent

        removed = self._store.retention.remove(
            planned.facts.study_id,
            planned.extent,
            rule=planned.rule.name,
            by=by,
            reason=planned.reason,
            still=still,
        )
        return removed is not None
