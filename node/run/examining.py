"""Examining a study's computed tomography: the best series is looked at, scored and judged."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from node.decide.choice import holds_chest_ct
from node.dicom.slices import SliceSource
from node.domain.errors import DicomError, GeometryError
from node.domain.job import Screening
from node.domain.result import Finding, RunOutcome
from node.infer.served import Served
from node.run.candidates import Candidates, read_candidates
from node.run.findings import Method, analysed, method, not_analysed
from node.run.looking import look
from node.run.options import PipelineSettings
from node.run.progress import Stage, StageWatch
from node.run.results import Analysis
from node.run.scoring import score
from node.store.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A finding with what it was made of."""

    candidates: Candidates
    finding: Finding
    analysis: Analysis | None


class CtExaminer:
    """Examines the CT series of a study.

    Parameters
    ----------
    store : Store
    pool : ThreadPoolExecutor
        Decodes and prepares slices.
    settings : PipelineSettings
    """

    def __init__(self, store: Store, pool: ThreadPoolExecutor, settings: PipelineSettings) -> None:
        self._store = store
        self._pool = pool
        self._settings = settings

    def method(self, served: Served) -> Method:
        """Return by what a study is judged under this model."""
        return method(
            served.bundle.spec,
            served.scorer.identity,
            minimum_slices=self._settings.minimum_slices,
            source_probe=served.bundle.source_probe,
        )

    def candidates(self, screening: Screening, how: Method) -> Candidates:
        """Return every series of the study, judged."""
        return read_candidates(
            self._store,
            screening.study_id,
            how,
            cap_policy=self._settings.cap_policy,
            accept_unknown_age=self._settings.accept_unknown_age,
        )

    def nothing_for(self, how: Method, candidates: Candidates) -> Finding | None:
        """Return the finding of a study that holds nothing for this model; None when it holds something."""
        if holds_chest_ct(candidates.facts):
            return None
        return not_analysed(
            how,
            candidates.choices,
            "The study holds no chest CT; nothing is sent.",
            run_outcome=RunOutcome.NOT_ATTEMPTED,
        )

    def examine(self, served: Served, how: Method, candidates: Candidates, watch: StageWatch) -> Examined:
        """Analyse the best series; one that turns out to be unreadable gives way to the next best."""
        while (chosen := candidates.chosen) is not None:
            try:
                sources = candidates.sources(chosen.series_instance_uid, self._store.files.path)
                analysis = self._look_and_score(served, how, sources, watch)
            except (DicomError, GeometryError) as error:
                log.warning("series %s cannot be analysed: %s", chosen.series_instance_uid, error)
                candidates = candidates.without(chosen.series_instance_uid, str(error))
                continue
            with watch.stage(Stage.DECIDE):
                finding = analysed(how, candidates.choices, analysis.looked, analysis.scored)
            return Examined(candidates=candidates, finding=finding, analysis=analysis)
        with watch.stage(Stage.DECIDE):
            finding = not_analysed(
                how,
                candidates.choices,
                candidates.why_none,
                run_outcome=RunOutcome.FAILED if candidates.refused else RunOutcome.NOT_ATTEMPTED,
            )
        return Examined(candidates=candidates, finding=finding, analysis=None)

    def _look_and_score(
        self, served: Served, how: Method, sources: Sequence[SliceSource], watch: StageWatch
    ) -> Analysis:
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
                served.scorer,
                self._pool,
                batch=min(self._settings.batch, served.bundle.config.max_batch_size),
                advanced=partial(watch.advanced, Stage.INFER),
            )
        return Analysis(looked=looked, scored=scored)
