"""One tick of assembling: compare what came again, judge open series, settle studies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias, TypeVar

from node.assemble.asides import Comparer
from node.assemble.completeness import Conclusion, Evidence, Situation, Wait, is_due, judge
from node.assemble.evidence import geometric_evidence
from node.assemble.settling import due_to_settle
from node.domain.errors import ModelError
from node.domain.expectation import Expectation
from node.domain.input_spec import SelectionSpec
from node.domain.job import Assignment
from node.domain.network import QuietTimes
from node.domain.ports import Clock
from node.domain.study import Series, Study
from node.store.judging import Ripe
from node.store.store import Store

LOGGER = logging.getLogger(__name__)

Subject = TypeVar("Subject", Situation, Study)
Expecting: TypeAlias = Callable[[Sequence[Series]], Mapping[int, Sequence[Expectation]]]
PAGE = 500


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
    selection : callable
        Returns how the active model for CT selects: by it the lungs are seen to close. Asked at each tick.
    assign : callable
        Takes a settled study and returns which models shall screen it.
    authorities : frozenset of str
        AE titles whose corrections are confirmed without an operator.
    expectations : sequence of callable
        Each says of some series how many instances others know of, by the row of the series.
    page : int
        How many series, or studies, are looked at with the same few statements.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        quiet: QuietTimes,
        selection: Callable[[], SelectionSpec],
        assign: Callable[[Study], Sequence[Assignment]],
        *,
        authorities: frozenset[str] = frozenset(),
        expectations: Sequence[Expecting] = (),
        page: int = PAGE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._quiet = quiet
        self._selection_now = selection
        self._selection = selection()
        self._assign = assign
        self._comparer = Comparer(store, authorities)
        self._expectations = tuple(expectations)
        self._page = page
        self._evidence: dict[int, tuple[int, Evidence]] = {}

    def run(self) -> Swept:
        """Make one tick; what goes wrong with one series or study is logged and does not stop the others."""
        compared = self._comparer.compare_pending()
        self._comparer.confirm_by_authority(self._quiet, self._clock.now())
        self._bring_back()
        self._follow_model()
        concluded = self._judge_all()
        settled = sum(_guarded(self._settle, study, study) for study in self._unsettled())
        return Swept(compared=compared, concluded=concluded, settled=settled)

    def _follow_model(self) -> None:
        """Take up how a version selects that was promoted since; what was seen by the former is seen anew."""
        try:
            selection = self._selection_now()
        except ModelError as error:  # a folder that cannot be read now must not stop what is assembled
            LOGGER.warning("the lungs are looked for as before: %s", error)
            return
        if selection != self._selection:
            self._selection = selection
            self._evidence.clear()

    def _judge_all(self) -> int:
        """Judge every series that may get a verdict; return how many got one."""
        concluded = 0
        seen: set[int] = set()
        for page in self._ripe():
            seen.update(item.series.id for item in page)
            concluded += sum(
                _guarded(self._judge, situation, situation.series) for situation in self._due(page)
            )
        self._evidence = {number: known for number, known in self._evidence.items() if number in seen}
        return concluded

    def _ripe(self) -> Iterator[list[Ripe]]:
        """Yield what may get a verdict, page by page."""
        shortest, after = min(self._quiet.geometry, self._quiet.plain, self._quiet.cap), 0
        while True:
            now = self._clock.now()
            page = self._store.judging.ripe(
                now=now, silent_since=now - shortest, after=after, limit=self._page
            )
            if page:
                yield page
            if len(page) < self._page:
                return
            after = page[-1].series.id

    def _due(self, page: Sequence[Ripe]) -> list[Situation]:
        """Return where a page's series stand that only a look at the slices can leave to wait.

        What others say of a series is asked for only where it would get a verdict without, or by it.
        """
        told = {item.series.id for item in page if item.told}
        near = [
            situation
            for situation in self._silences([item.series for item in page])
            if self._is_due(situation, told=situation.series.id in told)
        ]
        return [situation for situation in self._informed(near) if self._is_due(situation, told=False)]

    def _is_due(self, situation: Situation, *, told: bool) -> bool:
        return is_due(situation, self._quiet, self._known(situation.series), told=told)

    def _silences(self, of: Sequence[Series]) -> list[Situation]:
        """Return where some series stand now, by the associations alone that carried them."""
        if not of:
            return []
        now = self._clock.now()  # what is written later makes them wait
        facts = self._store.judging.associations([series.id for series in of])
        gaps = self._store.judging.sender_gaps({series.calling_ae_title for series in of})
        return [
            Situation(
                series=series,
                associations=facts[series.id],
                sender_gap=gaps[series.calling_ae_title],
                now=now,
            )
            for series in of
        ]

    def _informed(self, situations: Sequence[Situation]) -> list[Situation]:
        """Return the same with what others say of the series."""
        if not situations:
            return []
        said = [expectations([item.series for item in situations]) for expectations in self._expectations]
        return [
            replace(item, expectations=tuple(told for each in said for told in each[item.series.id]))
            for item in situations
        ]

    def _judge(self, situation: Situation) -> bool:
        """Judge one series; what makes a verdict is read again, for looking at slices takes its time."""
        if not isinstance(self._outcome(situation), Conclusion):
            return False
        open_still = self._store.studies.receiving_series([situation.series.id])
        for now in self._informed(self._silences(open_still)):
            outcome = self._outcome(now)
            if isinstance(outcome, Conclusion):
                return self._conclude(now.series, outcome)
        return False

    def _outcome(self, situation: Situation) -> Conclusion | Wait:
        return judge(situation, self._quiet, partial(self._evidence_of, situation.series))

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

    def _unsettled(self) -> Iterator[Study]:
        """Yield the studies that wait for quiet alone."""
        after = 0
        while True:
            page = self._store.studies.unsettled(after=after, limit=self._page)
            yield from page
            if len(page) < self._page:
                return
            after = page[-1].id

    def _settle(self, study: Study) -> bool:
        if not due_to_settle(study, self._quiet, self._clock.now()):
            return False
        assignments = self._assign(study)
        return self._store.studies.settle(study.id, assignments, last_arrival_at=study.last_arrival_at)

    def _bring_back(self) -> None:
        """Let nothing that is open wait for what the clock was set back from."""
        latest = self._store.judging.latest(self._clock.now(), self._quiet.plain)
        if latest is not None and latest > self._clock.now():  # and was not written just now
            LOGGER.warning("the clock was set back; what is being received waits for its quiet time anew")
            self._store.studies.bring_back(self._quiet.plain)

    def _known(self, series: Series) -> Evidence | None:
        """Return the evidence of slices that were looked at, if they are still the same."""
        known = self._evidence.get(series.id)
        return known[1] if known is not None and known[0] == series.instance_count else None

    def _evidence_of(self, series: Series) -> Evidence:
        """Return the evidence of the slices; decoded once for each number of instances."""
        known = self._known(series)
        if known is not None:
            return known
        instances = self._store.studies.instances(series.id)
        try:
            found = geometric_evidence(instances, self._store.files.path, self._store.codecs, self._selection)
        except Exception as error:  # whatever its slices do to a decoder, a series must get a verdict at last
            LOGGER.exception("the slices of series %d could not be looked at", series.id)
            reason = f"its slices could not be looked at ({type(error).__name__})"
            found = Evidence(holds=False, reason=reason)
        self._evidence[series.id] = (series.instance_count, found)
        return found


def _guarded(step: Callable[[Subject], bool], subject: Subject, named: Series | Study) -> bool:
    """Take one step; an error is logged and left for the next tick."""
    try:
        return step(subject)
    except Exception:  # one series must not keep every other one from its verdict, tick after tick
        LOGGER.exception("%s %d could not be assembled", type(named).__name__.lower(), named.id)
        return False
