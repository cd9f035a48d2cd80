"""Examining a study: what every kind of images has in common, and the way of computed tomography."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from node.decide.choice import holds_chest_ct
from node.dicom.slices import SliceSource
from node.domain.errors import DicomError, GeometryError
from node.domain.job import Screening
from node.domain.result import Finding, RunOutcome
from node.domain.unread import unread
from node.domain.wording import tell
from node.infer.served import Served
from node.run.candidates import Candidates, read_candidates
from node.run.findings import Method, analysed, method, not_analysed
from node.run.looking import look
from node.run.options import PipelineSettings
from node.run.progress import Stage, StageWatch
from node.run.results import Analysis
from node.run.scoring import score
from node.run.slice_analysis import DISPLAY_WINDOW, SliceAnalysis
from node.store.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A finding with what it was made of."""

    candidates: Candidates
    finding: Finding
    analysis: Analysis | None


class Examination(Protocol):
    """The examination of one study by one model."""

    @property
    def how(self) -> Method:
        """By what the study is judged."""
        ...

    @property
    def candidates(self) -> Candidates:
        """Every series of the study, judged."""
        ...

    def nothing(self) -> Finding | None:
        """Return the finding of a study that holds nothing for this model; None when it holds something."""
        ...

    def run(self, watch: StageWatch) -> Examined:
        """Analyse the best series; one that turns out to be unreadable gives way to the next best."""
        ...


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What every examination works with."""

    store: Store
    pool: ThreadPoolExecutor
    """Decodes and prepares images."""
    settings: PipelineSettings


class CtExamination:
    """The examination of a study's CT series.

    Parameters
    ----------
    tools : Tools
    served : Served
        A model that reads CT.
    screening : Screening
    """

    def __init__(self, tools: Tools, served: Served, screening: Screening) -> None:
        self._tools = tools
        self._served = served
        settings = tools.settings
        self.how = method(
            served.bundle.spec,
            served.scorer.identity,
            minimum_slices=settings.minimum_slices,
            source_probe=served.bundle.source_probe,
        )
        self.candidates = read_candidates(
            tools.store,
            screening.study_id,
            self.how,
            cap_policy=settings.cap_policy,
            accept_unknown_age=settings.accept_unknown_age,
        )

    def nothing(self) -> Finding | None:
        """Return the finding of a study without chest CT; None when there is one."""
        if holds_chest_ct(self.candidates.facts):
            return None
        return not_analysed(
            self.how,
            self.candidates.choices,
            tell("decision.no-ct"),
            run_outcome=RunOutcome.NOT_ATTEMPTED,
        )

    def run(self, watch: StageWatch) -> Examined:
        """Analyse the best series; one that turns out to be unreadable gives way to the next best."""
        candidates, path_of = self.candidates, self._tools.store.files.path
        while (chosen := candidates.chosen) is not None:
            try:
                sources = candidates.sources(chosen.series_instance_uid, path_of, self._tools.store.codecs)
                analysis = self._look_and_score(sources, watch)
            except (DicomError, GeometryError) as error:
                log.warning("series %s cannot be analysed: %s", chosen.series_instance_uid, error)
                candidates = candidates.without(chosen.series_instance_uid, unread(error))
                continue
            with watch.stage(Stage.DECIDE):
                finding = analysed(self.how, candidates.choices, analysis.looked, analysis.scored)
            return Examined(candidates=candidates, finding=finding, analysis=analysis)
        return none_fit(self.how, candidates, watch)

    def _look_and_score(self, sources: Sequence[SliceSource], watch: StageWatch) -> SliceAnalysis:
        tools, spec = self._tools, self.how.spec
        window = spec.input.window or DISPLAY_WINDOW
        with watch.stage(Stage.SELECT):
            looked = look(
                sources,
                self.how.selection,
                tools.pool,
                partial(watch.advanced, Stage.SELECT),
                lambda path: tools.store.files.verify(path.stem),
            )
        seen = partial(
            SliceAnalysis,
            looked=looked,
            window=window,
            body_above_hu=self.how.selection.body_above_hu,
            words=tools.settings.producer.wording,
        )
        if looked.plausibility.reason is not None:
            return seen(scored=())
        with watch.stage(Stage.INFER):
            scored = score(
                looked.selected,
                spec,
                self._served.scorer,
                tools.pool,
                batch=min(tools.settings.batch, self._served.bundle.config.max_batch_size),
                advanced=partial(watch.advanced, Stage.INFER),
            )
        self._served.scorer.rest()  # the report takes memory of its own
        return seen(scored=scored)


def none_fit(how: Method, candidates: Candidates, watch: StageWatch) -> Examined:
    """Return what is known of a study in which no series was fit, or could be read."""
    with watch.stage(Stage.DECIDE):
        finding = not_analysed(
            how,
            candidates.choices,
            candidates.why_none,
            run_outcome=RunOutcome.FAILED if candidates.refused else RunOutcome.NOT_ATTEMPTED,
        )
    return Examined(candidates=candidates, finding=finding, analysis=None)
