"""Examining a study's radiographs: every frontal image of the best series is scored by itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from node.decide.radiographs import (
    RADIOGRAPH_SOP_CLASSES,
    View,
    choose_radiographs,
    decide_radiographs,
    fit_images,
    holds_chest_radiograph,
    names_the_chest,
    place_of,
    view_of,
)
from node.decide.rule import is_positive
from node.decide.series_facts import Criteria, SeriesFacts
from node.dicom.radiograph import RadiographSource, read_view
from node.domain.errors import DecodeFailed, DicomError
from node.domain.job import Screening
from node.domain.radiograph import RadiographView
from node.domain.result import Finding, RunOutcome, SeriesChoice, SliceScore
from node.domain.unread import unread
from node.domain.wording import tell
from node.imaging.frontal import frontal_orientation
from node.infer.served import Served
from node.run.candidates import Candidates, read_study
from node.run.examining import Examined, Tools, none_fit
from node.run.findings import (
    Method,
    age_warnings,
    completeness_warnings,
    model_warnings,
    not_analysed,
    ran_on,
)
from node.run.progress import Stage, StageWatch
from node.run.radiograph_analysis import RadiographAnalysis
from node.run.scoring import score
from node.store.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RadiographMethod(Method):
    """By what radiographs are judged."""

    @property
    def rule_text(self) -> str:
        """By what rule images are selected."""
        return tell("selection.radiographs")


@dataclass(frozen=True, kw_only=True)
class RadiographCandidates(Candidates):
    """All series of one study, for a model that reads radiographs."""

    modalities: ClassVar[frozenset[str]] = frozenset({"CR", "DX"})
    views: Mapping[str, RadiographView]
    """By SOPInstanceUID, of every radiograph that could be read."""

    def judge(self, facts: Sequence[SeriesFacts]) -> tuple[SeriesChoice, ...]:
        """Judge series and choose at most one."""
        return choose_radiographs(facts, self.views, self.criteria)

    def of(self, series_instance_uid: str) -> SeriesFacts:
        """Return one series."""
        return next(item for item in self.facts if item.series.series_instance_uid == series_instance_uid)


class RadiographExamination:
    """The examination of a study's radiographs.

    Parameters
    ----------
    tools : Tools
    served : Served
        A model that reads radiographs.
    screening : Screening
    """

    def __init__(self, tools: Tools, served: Served, screening: Screening) -> None:
        self._tools = tools
        self._served = served
        self.how = RadiographMethod(
            spec=served.bundle.spec, model=served.scorer.identity, source_probe=served.bundle.source_probe
        )
        criteria = Criteria(
            minimum_slices=1,
            scope=self.how.spec.scope,
            cap_policy=tools.settings.cap_policy,
            accept_unknown_age=tools.settings.accept_unknown_age,
        )
        self.candidates = read_radiographs(tools.store, screening.study_id, criteria)

    def nothing(self) -> Finding | None:
        """Return the finding of a study without chest radiographs; None when there is one."""
        if holds_chest_radiograph(self.candidates.facts):
            return None
        return not_analysed(
            self.how,
            self.candidates.choices,
            tell("decision.no-radiograph"),
            run_outcome=RunOutcome.NOT_ATTEMPTED,
        )

    def run(self, watch: StageWatch) -> Examined:
        """Analyse the best series; one that turns out to be unreadable gives way to the next best."""
        candidates: Candidates = self.candidates
        while (chosen := candidates.chosen) is not None:
            try:
                analysis = self._score(self.candidates.of(chosen.series_instance_uid), watch)
            except DicomError as error:
                log.warning("series %s cannot be analysed: %s", chosen.series_instance_uid, error)
                candidates = candidates.without(chosen.series_instance_uid, unread(error))
                continue
            with watch.stage(Stage.DECIDE):
                finding = analysed_radiographs(self.how, candidates.choices, analysis)
            return Examined(candidates=candidates, finding=finding, analysis=analysis)
        return none_fit(self.how, candidates, watch)

    def _score(self, facts: SeriesFacts, watch: StageWatch) -> RadiographAnalysis:
        tools = self._tools
        with watch.stage(Stage.SELECT):
            sources = self._sources(facts)
            digests = []
            for source in sources:
                if not tools.store.files.verify(source.path.stem):
                    raise DecodeFailed(tell("unread.damaged"))
                digests.append(source.pixel_digest())
                watch.advanced(Stage.SELECT, len(digests), len(sources))
        with watch.stage(Stage.INFER):
            scored = score(
                sources,
                self.how.spec,
                self._served.scorer,
                tools.pool,
                batch=min(tools.settings.batch, self._served.bundle.config.max_batch_size),
                advanced=partial(watch.advanced, Stage.INFER),
            )
        return RadiographAnalysis(
            headers=tuple(sorted(facts.headers, key=place_of)),
            sources=sources,
            pixel_digests=tuple(digests),
            scored=tuple(scored),
            words=tools.settings.producer.wording,
        )

    def _sources(self, facts: SeriesFacts) -> tuple[RadiographSource, ...]:
        views = self.candidates.views
        keys = {
            item.header.sop_instance_uid: item.object_key
            for item in self.candidates.instances[facts.series.series_instance_uid]
        }
        return tuple(
            RadiographSource(
                header=header,
                path=self._tools.store.files.path(keys[header.sop_instance_uid]),
                view=views[header.sop_instance_uid],
                codecs=self._tools.store.codecs,
            )
            for header in fit_images(facts, views)
        )


def read_radiographs(store: Store, study_id: int, criteria: Criteria) -> RadiographCandidates:
    """Read the series of a study from the index, and the views of its radiographs from their files.

    Raises
    ------
    UnknownSubject
    """
    held = read_study(store, study_id)
    views = {}
    for several in held.instances.values():
        for item in several:
            if item.header.sop_class_uid in RADIOGRAPH_SOP_CLASSES:
                try:
                    views[item.header.sop_instance_uid] = read_view(store.files.path(item.object_key))
                except DicomError as error:
                    log.warning("a radiograph cannot be read again: %s", error)
    return RadiographCandidates(
        facts=held.facts,
        criteria=criteria,
        instances=held.instances,
        kept_aside=held.kept_aside,
        overrides=held.overrides,
        views=views,
    )


def analysed_radiographs(
    how: RadiographMethod, choices: tuple[SeriesChoice, ...], analysis: RadiographAnalysis
) -> Finding:
    """Return the finding of a series of radiographs.

    Parameters
    ----------
    how : RadiographMethod
    choices : tuple of SeriesChoice
        Exactly one of them is chosen.
    analysis : RadiographAnalysis
        With at least one source.
    """
    chosen = next(choice for choice in choices if choice.chosen)
    images = tuple(_image_scores(how, analysis))
    decision = decide_radiographs(sum(item.positive for item in images), len(analysis.sources), how.point)
    return Finding(
        outcome=decision.outcome,
        run_outcome=ran_on(chosen),
        reason=decision.reason,
        warnings=(*model_warnings(how), *radiograph_warnings(how, chosen, analysis.sources)),
        choices=choices,
        series_instance_uid=chosen.series_instance_uid,
        selection_rule=how.rule_text,
        selection_threshold="",
        slices=images,
        operating_point=how.point,
        model=how.model,
        modality=how.spec.modality,
    )


def _image_scores(how: RadiographMethod, analysis: RadiographAnalysis) -> list[SliceScore]:
    answers = {
        source.header.sop_instance_uid: answer
        for source, answer in zip(analysis.sources, analysis.scored, strict=True)
    }
    records = []
    for header in analysis.headers:
        answer = answers.get(header.sop_instance_uid)
        records.append(
            SliceScore(
                sop_class_uid=header.sop_class_uid,
                sop_instance_uid=header.sop_instance_uid,
                frame=1,
                instance_number=header.instance_number,
                position=0.0,
                dark_count=0,
                selected=answer is not None,
                probability=None if answer is None else answer.probability,
                positive=answer is not None and is_positive(answer.probability, how.point),
            )
        )
    return records


def radiograph_warnings(
    how: Method, chosen: SeriesChoice, sources: Sequence[RadiographSource]
) -> tuple[str, ...]:
    """Return what limits the answer for a series of radiographs."""
    headers = [source.header for source in sources]
    warnings = [*completeness_warnings(chosen), *age_warnings(how, headers)]
    named = [view_of(source.header, source.view) for source in sources]
    orientations = [frontal_orientation(source.view.patient_orientation) for source in sources]
    counted = (
        ("view", named.count(View.NOT_NAMED)),
        ("body-part", sum(not names_the_chest(header) for header in headers)),
        ("orientation", orientations.count(None)),
        ("image-turned", sum(source.orientation.turns for source in sources)),
        ("shutter", sum(source.view.shutter is not None for source in sources)),
        ("window", sum(not source.view.windowed for source in sources)),
    )
    warnings += [tell(f"warning.{key}", share=_share(count, len(sources))) for key, count in counted if count]
    return tuple(warnings)


def _share(count: int, images: int) -> str:
    return "" if images == 1 else tell("warning.share", count=count, images=images)
