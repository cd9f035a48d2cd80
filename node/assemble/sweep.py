"""One tick of assembling: compare what came again, judge open series, settle studies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from node.assemble.asides import Comparer
from node.assemble.completeness import Conclusion, Evidence, Situation, Wait, judge
from node.assemble.evidence import geometric_evidence
from node.assemble.settling import due_to_settle
from node.domain.expectation import Expectation
from node.domain.input_spec import SelectionSpec
from node.domain.job import Assignment
from node.domain.network import QuietTimes
from node.domain.ports import Clock
from node.domain.study import Series, Study
from node.store.store import Store

LOGGER = logging.getLogger(__name__)

Subject = TypeVar("Subject", Series, Study)


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What one tick did."""

    compared: int
    """Objects that had come again and were concluded."""
    concluded: int
    """Series that got a verdict."""
    settled: int
    """Studies for which screenings were queued."""


class Sweep:
    """Look at everything that is open, and step on what is due.

    All that decides is in the store: a restart loses only remembered evidence, which is found again.

    Parameters
    ----------
    store : Store
    clock : Clock
    quiet : QuietTimes
    selection : SelectionSpec
        Of the model for CT: by it the lungs are seen to close.
    assign : callable
        Takes a settled study and returns which models shall screen it.
    authorities : frozenset of str
        AE titles whose corrections are confirmed without an operator.
    expectations : sequence of callable
        Each says of a series how many instances others know of.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        quiet: QuietTimes,
        selection: SelectionSpec,
        assign: Callable[[Study], Sequence[Assignment]],
        *,
        authorities: frozenset[str] = frozenset(),
        expectations: Sequence[Callable[[Series], Sequence[Expectation]]] = (),
    ) -> None:
        self._store = store
        self._clock = clock
        self._quiet = quiet
        self._selection = selection
        self._assign = assign
        self._comparer = Comparer(store, authorities)
        self._expectations = tuple(expectations)
        self._evidence: dict[int, tuple[int, Evidence]] = {}

    def run(self) -> Swept:
        """Make one tick; what goes wrong with one series or study is logged and does not stop the others."""
        compared = self._comparer.compare_pending()
        self._comparer.confirm_by_authority(self._quiet, self._clock.now())
        receiving = self._store.studies.receiving_series()
        self._forget_all_but(receiving)
        concluded = sum(_guarded(self._judge, series) for series in receiving)
        settled = sum(_guarded(self._settle, study) for study in self._store.studies.unsettled())
        return Swept(compared=compared, concluded=concluded, settled=settled)

    def situation(self, series: Series) -> Situation:
        """Return what the verdict on a series depends on, now."""
        return Situation(
            series=series,
            associations=self._store.studies.associations(series.id),
            sender_gap=self._store.studies.sender_gap(series.calling_ae_title),
            now=self._clock.now(),
            expectations=tuple(item for said in self._expectations for item in said(series)),
        )

    def _judge(self, series: Series) -> bool:
        situation = self.situation(series)
        if situation.is_ahead(self._quiet):
            return self._bring_back()
        outcome = judge(situation, self._quiet, lambda: self._evidence_of(series))
        if isinstance(outcome, Wait):
            return False
        return self._conclude(series, outcome)

    def _conclude(self, series: Series, outcome: Conclusion) -> bool:
        written = self._store.studies.conclude_series(
            series.id,
            outcome.event,
            outcome.verdict,
            outcome.reason,
            instance_count=series.instance_count,
            whole_lungs=outcome.whole_lungs,
        )
        if written:
            LOGGER.info("series %d: %s", series.id, outcome.reason)
        return written

    def _settle(self, study: Study) -> bool:
        if max(study.last_arrival_at, *(item.last_arrival_at for item in study.series)) > self._clock.now():
            return self._bring_back()
        pending = self._store.studies.pending_comparisons(study.id)
        if not due_to_settle(study, pending, self._quiet, self._clock.now()):
            return False
        assignments = self._assign(study)
        return self._store.studies.settle(study.id, assignments, last_arrival_at=study.last_arrival_at)

    def _bring_back(self) -> bool:
        """Let nothing wait for what the clock was set back from; the next tick judges."""
        LOGGER.warning("the clock was set back; what is being received waits for its quiet time anew")
        self._store.studies.bring_back(self._quiet.plain)
        return False

    def _evidence_of(self, series: Series) -> Evidence:
        """Return the evidence of the slices; decoded once for each number of instances."""
        known = self._evidence.get(series.id)
        if known is not None and known[0] == series.instance_count:
            return known[1]
        instances = self._store.studies.instances(series.id)
        try:
            found = geometric_evidence(instances, self._store.files.path, self._store.codecs, self._selection)
        except Exception as error:  # whatever its slices do to a decoder, a series must get a verdict at last
            LOGGER.exception("the slices of series %d could not be looked at", series.id)
            reason = f"its slices could not be looked at ({type(error).__name__})"
            found = Evidence(holds=False, reason=reason)
        self._evidence[series.id] = (series.instance_count, found)
        return found

    def _forget_all_but(self, receiving: list[Series]) -> None:
        open_ids = {series.id for series in receiving}
        for series_id in [known for known in self._evidence if known not in open_ids]:
            del self._evidence[series_id]


def _guarded(step: Callable[[Subject], bool], subject: Subject) -> bool:
    """Take one step; an error is logged and left for the next tick."""
    try:
        return step(subject)
    except Exception:  # one series must not keep every other one from its verdict, tick after tick
        LOGGER.exception("%s %d could not be assembled", type(subject).__name__.lower(), subject.id)
        return False
