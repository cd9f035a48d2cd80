"""One screening from claim to outbox: choose, select, prepare, infer, decide, report, store.

The stations know nothing of each other; this module alone puts them in order. Whatever happens, the run ends
with the screening finished, parked or failed, and everything that it found is written in one transaction.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from node.decide.choice import holds_chest_ct
from node.dicom.slices import SliceSource
from node.domain.errors import DicomError, GeometryError, GroundglassError, ReportImpossible
from node.domain.job import Screening
from node.domain.network import CapPolicy, Destination
from node.domain.ports import Clock, Scorer
from node.domain.result import Finding, ResultObject, ResultVersion, RunOutcome
from node.infer.bundle import Bundle
from node.report.build import build_results
from node.report.request import Producer, ReportRequest
from node.run.candidates import Candidates, read_candidates
from node.run.findings import Method, analysed, method, not_analysed, with_asides
from node.run.looking import look
from node.run.progress import ProgressListener, ScreeningEnd, Stage, StageWatch
from node.run.results import Analysis, pictures, recipe_in_turn, recipe_of, store_objects, stored_before
from node.run.retry import RetryPolicy, after_error
from node.run.scoring import score
from node.store.store import Store

log = logging.getLogger(__name__)


class Guard(Protocol):
    """What must hold before an engine's answer may be used."""

    def check(self) -> None:
        """Let the screening through.

        Raises
        ------
        CanaryFailed, EngineUnavailable
        """
        ...


@dataclass(frozen=True, kw_only=True)
class PipelineSettings:
    """What the pipeline is told."""

    minimum_slices: int | None
    """Fewest slices of a series; None: what the model asks for."""
    accept_unknown_age: bool
    """Whether a patient of unknown age is analysed."""
    cap_policy: CapPolicy
    """What to do when the best series is incomplete."""
    batch: int
    """Slices in one request to the engine."""
    decoders: int
    """Threads that decode and prepare slices."""
    max_heatmaps: int
    """Most heatmaps of one study, strongest first."""
    destinations: tuple[Destination, ...]
    """Where results go."""
    producer: Producer
    """What the objects say of this node."""
    retry: RetryPolicy
    zone: tzinfo = UTC
    """In which results state their times where the source names no zone."""


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """A finding with what it was made of."""

    candidates: Candidates
    finding: Finding
    analysis: Analysis | None


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """What the report will be made of."""

    outcome: _Outcome
    evidence: Sequence[Dataset]
    recipe: str


class Pipeline:
    """Runs screenings; may be shared by several workers.

    Parameters
    ----------
    store : Store
    bundle : Bundle
    scorer : Scorer
        The engine with the bundle loaded.
    guard : Guard
        The canary.
    clock : Clock
    settings : PipelineSettings
    listener : ProgressListener
    """

    def __init__(
        self,
        *,
        store: Store,
        bundle: Bundle,
        scorer: Scorer[NDArray[np.float32]],
        guard: Guard,
        clock: Clock,
        settings: PipelineSettings,
        listener: ProgressListener,
    ) -> None:
        self._store = store
        self._bundle = bundle
        self._scorer = scorer
        self._guard = guard
        self._clock = clock
        self._settings = settings
        self._listener = listener
        self._pool = ThreadPoolExecutor(settings.decoders, thread_name_prefix="decoder")

    def close(self) -> None:
        """End the decoder threads; no screening may run any more."""
        self._pool.shutdown()

    def run(self, screening: Screening) -> None:
        """Run one claimed screening to its end.

        Parameters
        ----------
        screening : Screening
            Running, claimed by the caller.
        """
        watch = StageWatch(screening, self._clock, self._listener)
        try:
            end, reason = self._screen(screening, watch)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the screening is parked or failed
            end, reason = self._set_aside(screening, error)
        log.info("screening %d ended: %s %s", screening.id, end.value, reason)
        self._listener.ended(screening, end, reason)

    def _screen(self, screening: Screening, watch: StageWatch) -> tuple[ScreeningEnd, str]:
        how = method(
            self._bundle.spec,
            self._scorer.identity,
            minimum_slices=self._settings.minimum_slices,
            source_probe=self._bundle.source_probe,
        )
        with watch.stage(Stage.CHOOSE):
            candidates = read_candidates(
                self._store,
                screening.study_id,
                how,
                cap_policy=self._settings.cap_policy,
                accept_unknown_age=self._settings.accept_unknown_age,
            )
        if not holds_chest_ct(candidates.facts):
            return self._close_without_results(screening, how, candidates, watch)
        self._guard.check()
        outcome = self._analyse(how, candidates, watch)
        outcome = dataclasses.replace(outcome, finding=with_asides(outcome.finding, candidates.kept_aside))
        self._listener.decided(screening, outcome.finding)
        return self._report(screening, how, outcome, watch)

    def _analyse(self, how: Method, candidates: Candidates, watch: StageWatch) -> _Outcome:
        """Analyse the best series; one that turns out to be unreadable gives way to the next best."""
        while (chosen := candidates.chosen) is not None:
            try:
                sources = candidates.sources(chosen.series_instance_uid, self._store.files.path)
                analysis = self._look_and_score(how, sources, watch)
            except (DicomError, GeometryError) as error:
                log.warning("series %s cannot be analysed: %s", chosen.series_instance_uid, error)
                candidates = candidates.without(chosen.series_instance_uid, str(error))
                continue
            with watch.stage(Stage.DECIDE):
                finding = analysed(how, candidates.choices, analysis.looked, analysis.scored)
            return _Outcome(candidates=candidates, finding=finding, analysis=analysis)
        with watch.stage(Stage.DECIDE):
            finding = not_analysed(
                how,
                candidates.choices,
                candidates.why_none,
                run_outcome=RunOutcome.FAILED if candidates.refused else RunOutcome.NOT_ATTEMPTED,
            )
        return _Outcome(candidates=candidates, finding=finding, analysis=None)

    def _look_and_score(self, how: Method, sources: Sequence[SliceSource], watch: StageWatch) -> Analysis:
        with watch.stage(Stage.SELECT):
            looked = look(
                sources,
                how.selection,
                self._pool,
                partial(watch.advanced, Stage.SELECT),
                lambda path: self._store.files.verify(path.stem),
            )
        if looked.plausibility.reason is not None:
            return Analysis(looked=looked, scored=())
        with watch.stage(Stage.INFER):
            scored = score(
                looked.selected,
                how.spec,
                self._scorer,
                self._pool,
                batch=min(self._settings.batch, self._bundle.config.max_batch_size),
                advanced=partial(watch.advanced, Stage.INFER),
            )
        return Analysis(looked=looked, scored=scored)

    def _report(
        self, screening: Screening, how: Method, outcome: _Outcome, watch: StageWatch
    ) -> tuple[ScreeningEnd, str]:
        """Make the result set, unless the one in force was made by the same recipe, and store everything."""
        screenings = self._store.screenings
        with watch.stage(Stage.REPORT):
            draft = self._draft(how, outcome)
        current = screenings.current_version(screening.study_id, screening.model_name)
        made_by = recipe_in_turn(
            draft.recipe,
            screenings.recipes(screening.study_id, screening.model_name),
            None if current is None else current.recipe,
        )
        draft = dataclasses.replace(draft, recipe=made_by)
        if current is not None and current.recipe == draft.recipe:
            return self._finish(screening, draft, watch, version=None, results=())
        version = screenings.next_version(screening.study_id, screening.model_name)
        results = stored_before(screenings, screening.study_instance_uid, screening.model_name, draft.recipe)
        if not results:
            with watch.stage(Stage.REPORT):
                built = build_results(self._request(draft, version, current, watch))
            with watch.stage(Stage.STORE):
                results = store_objects(self._store.files, built)
        return self._finish(screening, draft, watch, version=version, results=results)

    def _draft(self, how: Method, outcome: _Outcome) -> _Draft:
        evidence = outcome.candidates.evidence(self._store.files.path)
        if not evidence:
            raise ReportImpossible("no file of the study can be read; see `groundglass integrity`")
        made_by = recipe_of(
            how,
            outcome.finding,
            outcome.analysis,
            evidence,
            outcome.candidates.sop_instance_uids,
            max_heatmaps=self._settings.max_heatmaps,
            kept_aside=outcome.candidates.kept_aside,
        )
        return _Draft(outcome=outcome, evidence=evidence, recipe=made_by)

    def _request(
        self, draft: _Draft, version: int, predecessor: ResultVersion | None, watch: StageWatch
    ) -> ReportRequest:
        outcome = draft.outcome
        heatmaps = []
        if outcome.analysis is not None:
            heatmaps = pictures(
                self._bundle.spec,
                outcome.finding,
                outcome.analysis,
                limit=self._settings.max_heatmaps,
                advanced=partial(watch.advanced, Stage.REPORT),
            )
        return ReportRequest(
            finding=outcome.finding,
            evidence=draft.evidence,
            heatmaps=heatmaps,
            version=version,
            recipe=draft.recipe,
            predecessor=predecessor,
            made_at=self._clock.now().astimezone(self._settings.zone),
            producer=self._settings.producer,
        )

    def _close_without_results(
        self, screening: Screening, how: Method, candidates: Candidates, watch: StageWatch
    ) -> tuple[ScreeningEnd, str]:
        finding = not_analysed(
            how,
            candidates.choices,
            "The study holds no chest CT; nothing is sent.",
            run_outcome=RunOutcome.NOT_ATTEMPTED,
        )
        draft = _Draft(
            outcome=_Outcome(candidates=candidates, finding=finding, analysis=None), evidence=(), recipe=""
        )
        end, reason = self._finish(screening, draft, watch, version=None, results=())
        unchanged = end is ScreeningEnd.UNCHANGED
        return (ScreeningEnd.NOTHING_TO_SEND, finding.reason) if unchanged else (end, reason)

    def _finish(
        self,
        screening: Screening,
        draft: _Draft,
        watch: StageWatch,
        *,
        version: int | None,
        results: Sequence[ResultObject],
    ) -> tuple[ScreeningEnd, str]:
        seconds = watch.seconds
        with watch.stage(Stage.STORE):
            written = self._store.screenings.finish(
                screening.id,
                draft.outcome.finding,
                recipe=draft.recipe,
                version=version,
                results=results,
                destinations=self._destinations(),
                seconds=seconds,
            )
        if not written:
            return ScreeningEnd.OVERTAKEN, "the study was held or grew while it was screened"
        if version is None:
            return ScreeningEnd.UNCHANGED, "the results in force were made by the same recipe"
        return ScreeningEnd.STORED, f"version {version}, {len(results)} objects"

    def _destinations(self) -> list[tuple[str, bool]]:
        """Return every destination with whether results of this model may leave for it now."""
        live = self._store.operations.live()
        status = self._scorer.identity.status
        return [
            (item.name, live.get(item.name, False) and item.accepts(status))
            for item in self._settings.destinations
        ]

    def _set_aside(self, screening: Screening, error: Exception) -> tuple[ScreeningEnd, str]:
        """Park or fail a screening that could not be finished."""
        if isinstance(error, GroundglassError):
            log.warning("screening %d could not be finished: %s", screening.id, error)
        else:
            log.error("screening %d met an unexpected error", screening.id, exc_info=error)
        retry = after_error(error, screening.attempts, self._settings.retry)
        if retry.after is None:
            kept = self._store.screenings.fail(screening.id, retry.reason)
            end = ScreeningEnd.FAILED
        else:
            until = self._clock.now() + retry.after
            kept = self._store.screenings.park(
                screening.id, until, retry.reason, counts_as_attempt=retry.counts
            )
            end = ScreeningEnd.PARKED
        return (end, retry.reason) if kept else (ScreeningEnd.OVERTAKEN, retry.reason)
