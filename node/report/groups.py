"""Measurement groups of the report (PS3.16 TID 1501): one for the study, one for each positive image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import highdicom.sr as hd
from pydicom.sr.coding import Code

from node.domain.result import Finding, Outcome, RunOutcome, SeriesChoice, SliceScore
from node.domain.wording import Wording
from node.report import codes, text
from node.report import content as make
from node.report.content import Reference
from node.report.evidence import Evidence
from node.report.identity import algorithm_version, tracking_uid

DIGITS: Final = 6
"""Decimals of a share or a score; NumericValue (0040,A30A) holds at most 16 characters."""


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What the groups are made of."""

    finding: Finding
    evidence: Evidence
    heatmaps: Mapping[tuple[str, int], Reference]
    """Heatmaps by (SOPInstanceUID, frame) of the slice under them."""
    maps: Mapping[tuple[str, int], Reference]
    """Frames of the maps as data, by the same."""
    summary: Reference | None
    """The summary picture."""
    words: Wording

    @property
    def screened(self) -> SeriesChoice | None:
        """The screened series, or None."""
        return next((choice for choice in self.finding.choices if choice.chosen), None)


def measurement_groups(grounds: Grounds) -> Iterator[hd.ContentItem]:
    """Iterate over the groups: the study's, then the positive slices' in the order along the normal."""
    yield _group(grounds, text.study_label(grounds.words, grounds.finding), "study", _study(grounds))
    for item in grounds.finding.slices:
        if item.positive:
            subject = f"{item.sop_instance_uid}#{item.frame}"
            yield _group(
                grounds,
                text.image_label(grounds.words, item, grounds.finding.modality),
                subject,
                _slice(grounds, item),
            )


def _group(
    grounds: Grounds, label: str, subject: str, children: Iterator[hd.ContentItem]
) -> hd.ContainerContentItem:
    model = grounds.finding.model
    tracking = tracking_uid(grounds.evidence.study_instance_uid, model.name, subject)
    head = (
        make.text(codes.TRACKING_IDENTIFIER, label, make.HAS_OBS_CONTEXT),
        make.uid(codes.TRACKING_UNIQUE_IDENTIFIER, tracking, make.HAS_OBS_CONTEXT),
        # TID 4019
        make.text(codes.ALGORITHM_NAME, model.name, make.HAS_CONCEPT_MOD),
        make.text(codes.ALGORITHM_VERSION, algorithm_version(model), make.HAS_CONCEPT_MOD),
        make.text(codes.ALGORITHM_PARAMETERS, text.parameters(grounds.words, model), make.HAS_CONCEPT_MOD),
    )
    return make.container(codes.MEASUREMENT_GROUP, (*head, *children), template="1501")


def _slice(grounds: Grounds, item: SliceScore) -> Iterator[hd.ContentItem]:
    source = grounds.evidence.frame(item)
    yield make.code(codes.FINDING, codes.SUSPECTED_COVID_19)
    if item.probability is not None:
        score = round(100 * item.probability, DIGITS - 2)
        yield make.number(codes.CERTAINTY_OF_FINDING, score, codes.PERCENT, source)
    yield make.image(codes.SOURCE_OF_MEASUREMENT, source)
    yield from _whole_image(grounds, source)
    key = (item.sop_instance_uid, item.frame)
    if key in grounds.heatmaps:
        yield make.image(codes.COUNTED[grounds.finding.modality].heatmap, grounds.heatmaps[key])
    if key in grounds.maps:
        yield make.image(codes.MAP, grounds.maps[key])


def _study(grounds: Grounds) -> Iterator[hd.ContentItem]:
    finding, words = grounds.finding, grounds.words
    positive = finding.outcome is Outcome.POSITIVE
    yield make.code(codes.FINDING, codes.SUSPECTED_COVID_19 if positive else codes.NOT_FLAGGED)
    yield make.code(codes.OVERALL_ASSESSMENT, codes.ASSESSMENTS[finding.outcome])
    yield make.code(codes.RUN, codes.RUN_OUTCOMES[finding.run_outcome])
    yield make.text(codes.REASON, words.of(finding.reason))
    if finding.mean_probability is not None:
        key = (finding.run_outcome is RunOutcome.SUCCEEDED, finding.positive > 0)
        yield make.code(codes.PROCESSING_SUMMARY, codes.PROCESSING_SUMMARIES[key])
    yield make.code(codes.MODEL_STATUS, codes.STATUSES[finding.model.status])
    for warning in filter(None, finding.warnings):
        yield make.text(codes.WARNING, words.of(warning))
    yield from _completeness(words, grounds.screened)
    yield from _rule(words, finding)
    yield from _numbers(grounds)
    yield from _label_place(grounds)
    if grounds.summary is not None:
        yield make.image(codes.SUMMARY_PICTURE, grounds.summary)
    for source in _sources(grounds):
        yield make.image(codes.SOURCE_OF_MEASUREMENT, source)


def _completeness(words: Wording, screened: SeriesChoice | None) -> Iterator[hd.ContentItem]:
    if screened is not None:
        verdict = codes.NO_VERDICT if screened.verdict is None else codes.VERDICTS[screened.verdict]
        yield make.code(codes.VERDICT, verdict)
        yield make.text(codes.VERDICT_REASON, words.of(screened.verdict_reason))


def _rule(words: Wording, finding: Finding) -> Iterator[hd.ContentItem]:
    if finding.slices:
        yield make.text(codes.SELECTION_RULE, text.selection_rule(words, finding))
    point = finding.operating_point
    if point is not None:
        yield make.text(codes.OPERATING_POINT, text.operating_point(words, point, finding.modality))
        yield make.code(codes.POINT_VALIDATED, codes.YES if point.validated else codes.NO)
    if finding.mean_probability is not None:
        yield make.text(codes.MEANING_OF_SCORE, words("notice.score"))


def _numbers(grounds: Grounds) -> Iterator[hd.ContentItem]:
    source = representative(grounds)
    if source is not None:
        for concept, value, unit in _measured(grounds.finding):
            yield make.number(concept, value, unit, source)


def _whole_image(grounds: Grounds, source: Reference) -> Iterator[hd.ContentItem]:
    """Iterate over the outline of the image that a score belongs to, which is no outline of a lesion.

    OHIF (3.13) shows a measurement report on its images and only where every group has coordinates: one
    without them leaves the whole report black.
    """
    size = grounds.evidence.size(source.sop_instance_uid)
    if size is not None:
        rows, columns = size
        corners = ((0, 0), (columns, 0), (columns, rows), (0, rows), (0, 0))
        yield make.region(codes.WHOLE_IMAGE, hd.GraphicTypeValues.POLYLINE, corners, source)


def _label_place(grounds: Grounds) -> Iterator[hd.ContentItem]:
    """Iterate over the place on one image at which viewers write what belongs to the whole study."""
    donor = grounds.evidence.donor
    source = representative(grounds)
    if source is None and grounds.evidence.is_image(donor):
        source = grounds.evidence.whole(donor)
    if source is not None:
        yield make.region(codes.LABEL_PLACE, hd.GraphicTypeValues.POINT, ((0, 0),), source)


def _measured(finding: Finding) -> Iterator[tuple[Code, float, Code]]:
    counted, unit = codes.COUNTED[finding.modality], codes.COUNT_UNITS[finding.modality]
    yield counted.received, finding.received, unit
    yield counted.selected, finding.selected, unit
    scores = [item.probability for item in finding.slices if item.probability is not None]
    if not scores:
        return
    yield counted.positive, finding.positive, unit
    if finding.ratio is not None:
        yield counted.ratio, round(finding.ratio, DIGITS), codes.RATIO_UNIT
    if finding.operating_point is not None:
        share = round(float(finding.operating_point.share), DIGITS)
        yield counted.threshold, finding.operating_point.slice_threshold, codes.SCORE_UNIT
        yield counted.share_threshold, share, codes.RATIO_UNIT
    yield counted.mean_score, round(sum(scores) / len(scores), DIGITS), codes.SCORE_UNIT
    yield counted.highest_score, round(max(scores), DIGITS), codes.SCORE_UNIT


def representative(grounds: Grounds) -> Reference | None:
    """Return the one image that the study's numbers are linked to: the strongest slice, else the middle one.

    The numbers rest on all slices, which the group names as its sources; a child under each number that named
    them all would make the report a hundred times larger.
    """
    slices = grounds.finding.slices
    if not slices:
        return None
    scored = [item for item in slices if item.probability is not None]
    if scored:
        return grounds.evidence.frame(max(scored, key=lambda item: item.probability or 0.0))
    return grounds.evidence.frame(slices[len(slices) // 2])


def _sources(grounds: Grounds) -> list[Reference]:
    slices = grounds.finding.slices
    selected = [item for item in slices if item.selected]
    return grounds.evidence.frames(selected or slices)
