"""One screening from claim to outbox: choose, select, prepare, infer, decide, report, store.

The stations know nothing of each other; this module alone puts them in order. Whatever happens, the run ends
with the screening finished, parked or failed, and everything that it found is written in one transaction.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from pydicom.dataset import Dataset

from node.domain.delivery import Outlet
from node.domain.errors import EngineUnavailable, GroundglassError, ReportImpossible
from node.domain.input_spec import InputModality
from node.domain.job import Purpose, Screening
from node.domain.model import ModelStatus
from node.domain.ports import Clock
from node.domain.result import ResultObject, ResultVersion
from node.infer.served import Served
from node.report.build import build_results
from node.report.request import ReportRequest
from node.run.examining import CtExamination, Examination, Examined, Tools
from node.run.findings import Method, rests_on_less, with_asides
from node.run.options import PipelineSettings
from node.run.progress import ProgressListener, ScreeningEnd, Stage, StageWatch
from node.run.radiographs import RadiographExamination
from node.run.results import maps, pictures, recipe_in_turn, recipe_of, store_objects
from node.run.retry import after_error
from node.store.store import Store

log = logging.getLogger(__name__)


class ServedModels(Protocol):
    """Where a screening gets its model."""

    def serve(self, model_name: str, model_version: int) -> AbstractContextManager[Served]:
        """Lend one version of a model until the end of a screening.

        Raises
        ------
        ModelError
        """
        ...


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """What the report will be made of."""

    outcome: Examined
    evidence: Sequence[Dataset]
    recipe: str


class Pipeline:
    """Runs screenings; may be shared by several workers.

    Parameters
    ----------
    store : Store
    models : ServedModels
    clock : Clock
    settings : PipelineSettings
    listener : ProgressListener
    """

    def __init__(
        self,
        *,
        store: Store,
        models: ServedModels,
        clock: Clock,
        settings: PipelineSettings,
        listener: ProgressListener,
    ) -> None:
        self._store = store
        self._models = models
        self._clock = clock
        self._settings = settings
        self._listener = listener
        self._pool = ThreadPoolExecutor(settings.decoders, thread_name_prefix="decoder")
        self._tools = Tools(store=store, pool=self._pool, settings=settings)

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
            with self._models.serve(screening.model_name, screening.model_version) as served:
                end, reason = self._screen(screening, served, watch)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the screening is parked or failed
            end, reason = self._set_aside(screening, error)
        log.info("screening %d ended: %s %s", screening.id, end.value, reason)
        self._listener.ended(screening, end, reason)

    def _screen(self, screening: Screening, served: Served, watch: StageWatch) -> tuple[ScreeningEnd, str]:
        with watch.stage(Stage.CHOOSE):
            examination = self._examination(screening, served)
            nothing = examination.nothing()
        if nothing is not None:
            outcome = Examined(candidates=examination.candidates, finding=nothing, analysis=None)
            return self._close_without_results(screening, outcome, watch)
        served.guard.check()
        _refuse_another(served, examination.how)
        outcome = examination.run(watch)
        _refuse_another(served, examination.how)
        outcome = dataclasses.replace(
            outcome, finding=with_asides(outcome.finding, outcome.candidates.kept_aside)
        )
        self._listener.decided(screening, outcome.finding)
        if screening.purpose is Purpose.SHADOW:
            return self._keep(screening, outcome, watch)
        return self._report(screening, examination.how, outcome, watch)

    def _examination(self, screening: Screening, served: Served) -> Examination:
        """Begin to examine a study, by what the model reads."""
        if served.bundle.spec.modality is InputModality.CR:
            return RadiographExamination(self._tools, served, screening)
        return CtExamination(self._tools, served, screening)

    def _report(
        self, screening: Screening, how: Method, outcome: Examined, watch: StageWatch
    ) -> tuple[ScreeningEnd, str]:
        """Make the result set, unless the one in force was made by the same recipe, and store everything."""
        screenings = self._store.screenings
        current = screenings.current_version(screening.study_id, screening.model_name)
        if self._rests_on_less(screening, outcome, current):
            end, reason = self._close_without_results(screening, outcome, watch)
            kept = "a part of the removed images came again: the results in force stay"
            return (end, reason) if end is ScreeningEnd.OVERTAKEN else (ScreeningEnd.UNCHANGED, kept)
        with watch.stage(Stage.REPORT):
            draft = self._draft(how, outcome)
        made_by = recipe_in_turn(
            draft.recipe,
            screenings.recipes(screening.study_id, screening.model_name),
            None if current is None else current.recipe,
        )
        draft = dataclasses.replace(draft, recipe=made_by)
        if current is not None and current.recipe == draft.recipe:
            return self._finish(screening, draft, watch, version=None, results=())
        version = screenings.next_version(screening.study_id, screening.model_name)
        with watch.stage(Stage.REPORT):
            built = build_results(self._request(draft, version, current, watch))
        with watch.stage(Stage.STORE):
            results = store_objects(self._store.files, built)
        return self._finish(screening, draft, watch, version=version, results=results)

    def _rests_on_less(self, screening: Screening, outcome: Examined, current: ResultVersion | None) -> bool:
        """Whether only a part came again of removed images that the results in force rest on."""
        if current is not None and not current.recipe:  # the whole study was: nobody knows how much it had
            return not outcome.finding.scored
        former = self._store.screenings.finding_without_images(screening.study_id, screening.model_name)
        return former is not None and rests_on_less(outcome.finding, former)

    def _draft(self, how: Method, outcome: Examined) -> _Draft:
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
            kinds=self._settings.kinds_for(outcome.finding),
            kept_aside=outcome.candidates.kept_aside,
            producer=self._settings.producer,
        )
        return _Draft(outcome=outcome, evidence=evidence, recipe=made_by)

    def _request(
        self,
        draft: _Draft,
        version: int,
        predecessor: ResultVersion | None,
        watch: StageWatch,
    ) -> ReportRequest:
        outcome = draft.outcome
        heatmaps, as_data, summary = [], [], None
        if outcome.analysis is not None:
            heatmaps = pictures(
                outcome.finding,
                outcome.analysis,
                limit=self._settings.max_heatmaps,
                advanced=partial(watch.advanced, Stage.REPORT),
            )
            if self._settings.parametric_map:
                as_data = maps(outcome.finding, outcome.analysis, limit=self._settings.max_heatmaps)
            if self._settings.summary:
                summary = outcome.analysis.sheet(outcome.finding)
        return ReportRequest(
            finding=outcome.finding,
            evidence=draft.evidence,
            heatmaps=heatmaps,
            version=version,
            recipe=draft.recipe,
            maps=as_data,
            summary=summary,
            key_objects=self._settings.key_objects,
            predecessor=predecessor,
            made_at=self._clock.now().astimezone(self._settings.zone),
            producer=self._settings.producer,
            map_series_bytes=self._settings.map_series_bytes,
        )

    def _close_without_results(
        self, screening: Screening, outcome: Examined, watch: StageWatch
    ) -> tuple[ScreeningEnd, str]:
        draft = _Draft(outcome=outcome, evidence=(), recipe="")
        end, reason = self._finish(screening, draft, watch, version=None, results=())
        unchanged = end is ScreeningEnd.UNCHANGED
        return (ScreeningEnd.NOTHING_TO_SEND, outcome.finding.reason) if unchanged else (end, reason)

    def _keep(self, screening: Screening, outcome: Examined, watch: StageWatch) -> tuple[ScreeningEnd, str]:
        """Store the finding of a shadow; nothing is made of it that could be sent."""
        draft = _Draft(outcome=outcome, evidence=(), recipe="")
        end, reason = self._finish(screening, draft, watch, version=None, results=())
        kept = end is ScreeningEnd.UNCHANGED
        return (ScreeningEnd.KEPT, "a shadow: nothing is sent") if kept else (end, reason)

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
                outlets=self._outlets(draft.outcome.finding.model.status),
                seconds=seconds,
            )
        if not written:
            return ScreeningEnd.OVERTAKEN, "the study was held or grew while it was screened"
        if version is None:
            return ScreeningEnd.UNCHANGED, "the results in force were made by the same recipe"
        return ScreeningEnd.STORED, f"version {version}, {len(results)} objects"

    def _outlets(self, status: ModelStatus) -> list[Outlet]:
        """Return every destination with whether results of a model of this status may leave for it now."""
        live = self._store.operations.live()
        return [
            Outlet(
                name=item.name,
                leaves=live.get(item.name, False) and item.accepts(status),
                kinds=item.kinds,
            )
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


def _refuse_another(served: Served, how: Method) -> None:
    """Refuse an engine that is no longer the one that the study began with.

    A server may be set up anew at any time, at another precision or on another device. What it answers then
    was neither approved nor is it what the report would name.

    Raises
    ------
    EngineUnavailable
        The screening begins anew.
    """
    if (found := served.scorer.identity) != how.model:
        raise EngineUnavailable(
            f"another engine answers now: {found.engine} {found.engine_version}, {found.precision.value} on "
            f"{found.device}; the study is begun anew"
        )
