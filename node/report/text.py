"""What the results say in text, put together of the phrases of one language; of pictures, `picture_text`.

The words themselves stand in ``node/domain/languages``.
"""

from __future__ import annotations

from typing import Final

from node.domain.model import ModelIdentity, ModelStatus
from node.domain.preparation_spec import InputModality
from node.domain.result import (
    Finding,
    OperatingPoint,
    ResultKind,
    SeriesChoice,
    SliceScore,
    Withdrawal,
)
from node.domain.wording import ENGLISH, Wording

SERVICE: Final = ENGLISH("notice.service")
SECTIONS: Final = {InputModality.CT: "slices", InputModality.CR: "radiographs"}
"""Where the file of a language has what is said differently of slices and of radiographs."""


def of_kind(words: Wording, modality: InputModality, key: str, **values: object) -> str:
    """Return a phrase that is not the same for slices and for radiographs."""
    return words(f"{SECTIONS[modality]}.{key}", **values)


def marked(words: Wording, status: ModelStatus, sentence: str) -> str:
    """Return a sentence behind the model's status, where that limits what it says."""
    return sentence if status is ModelStatus.VALIDATED else words(f"marked.{status.value}", sentence=sentence)


def title(words: Wording, finding: Finding) -> str:
    """Return the title line of a report."""
    return marked(words, finding.model.status, of_kind(words, finding.modality, "title"))


def notice(words: Wording, finding: Finding) -> str:
    """Return what the result is not, and what the model's status means."""
    said = words("notice.notice")
    if finding.model.status is ModelStatus.UNTRAINED:
        return words("notice.untrained", notice=said)
    if finding.model.status is ModelStatus.DEMONSTRATION:
        meaning = of_kind(words, finding.modality, "demonstration")
        return words("notice.demonstration", notice=said, meaning=meaning)
    return said


def series_description(words: Wording, kind: ResultKind, finding: Finding) -> str:
    """Return the SeriesDescription of the results of one kind, at most 64 characters."""
    return marked(words, finding.model.status, of_kind(words, finding.modality, kind.value))


def outcome(words: Wording, finding: Finding) -> str:
    """Return the outcome with what it does not say."""
    return words(f"outcome.{finding.outcome.value}")


def summary(words: Wording, finding: Finding) -> str:
    """Return outcome and counts in one sentence."""
    if finding.ratio is None:
        return words("report.negative-only", outcome=outcome(words, finding))
    return of_kind(
        words,
        finding.modality,
        "reach-one" if finding.selected == 1 else "reach",
        outcome=outcome(words, finding),
        positive=finding.positive,
        selected=finding.selected,
        share=100 * finding.ratio,
    )


def selection_rule(words: Wording, finding: Finding) -> str:
    """Return how slices, or images, were selected."""
    rule = words.of(finding.selection_rule)
    if not rule:
        return words("report.no-rule")
    if not finding.selection_threshold:
        return rule
    return words("report.rule-above", rule=rule, threshold=finding.selection_threshold)


def operating_point(words: Wording, point: OperatingPoint, modality: InputModality) -> str:
    """Return an operating point with the data it was chosen on."""
    return of_kind(
        words,
        modality,
        "point",
        name=point.name,
        threshold=point.slice_threshold,
        share=f"{point.share.numerator}/{point.share.denominator}",
        chosen_on=point.chosen_on.rstrip("."),
        status=words("report.point-validated" if point.validated else "report.point-not-validated"),
    )


def parameters(words: Wording, model: ModelIdentity) -> str:
    """Return the parameters of the algorithm: which bytes ran, and on what."""
    return words(
        "report.parameters",
        weights=model.weights_sha256,
        spec=model.spec_sha256,
        engine=model.engine,
        engine_version=model.engine_version,
        precision=model.precision.value,
        device=model.device,
    )


def series_name(words: Wording, choice: SeriesChoice) -> str:
    """Return number, modality, description and size of a series."""
    number = words("report.series-without-number")
    if choice.series_number is not None:
        number = words("report.series-number", number=choice.series_number)
    description = ""
    if choice.series_description:
        description = words("report.series-description", description=choice.series_description)
    return words(
        "report.series-one" if choice.instance_count == 1 else "report.series",
        number=number,
        modality=choice.modality or words("report.no-modality"),
        description=description,
        count=choice.instance_count,
    )


def study_label(words: Wording, finding: Finding) -> str:
    """Return the tracking identifier of the study's group; viewers show it beside the finding."""
    return words("report.study-tracking", outcome=words(f"outcome-name.{finding.outcome.value}"))


def image_label(words: Wording, item: SliceScore, modality: InputModality) -> str:
    """Return the tracking identifier of a slice or radiograph."""
    number = words("report.without-number") if item.instance_number is None else str(item.instance_number)
    frame = words("report.frame", frame=item.frame) if item.frame > 1 else ""
    return of_kind(words, modality, "tracking", number=number, frame=frame, position=item.position)


def derivation(words: Wording, finding: Finding) -> str:
    """Return the DerivationDescription of a heatmap (VR ST)."""
    model = finding.model
    return of_kind(words, finding.modality, "derivation", model=model.name, version=model.version)


def heatmap_comment(words: Wording, item: SliceScore, finding: Finding) -> str:
    """Return the ImageComments of a heatmap."""
    score = words("report.not-scored")
    if item.probability is not None:
        score = words("report.model-score", score=100 * item.probability)
    comment = words(
        "report.heatmap-comment",
        banner=words("notice.banner"),
        label=image_label(words, item, finding.modality),
        score=score,
    )
    return marked(words, finding.model.status, comment)


def map_description(words: Wording, finding: Finding) -> str:
    """Return the ContentDescription (VR LO) of the maps as data, at most 64 characters."""
    return of_kind(words, finding.modality, "map")


def map_derivation(words: Wording, finding: Finding, *, is_padded: bool) -> str:
    """Return the DerivationDescription (VR ST) of the maps as data."""
    return of_kind(
        words,
        finding.modality,
        "map-derivation",
        model=finding.model.name,
        version=finding.model.version,
        padding=words("report.padded") if is_padded else "",
    )


def key_objects(words: Wording, finding: Finding, selected: int, *, with_heatmaps: bool) -> str:
    """Return the description of a Key Object Selection.

    Parameters
    ----------
    words : Wording
    finding : Finding
    selected : int
        How many of the positive images it points at.
    with_heatmaps : bool
        Whether it points at their heatmaps, too.
    """
    description = of_kind(
        words,
        finding.modality,
        "key-objects-with-heatmaps" if with_heatmaps else "key-objects-text",
        selected=selected,
        positive=finding.positive,
        outcome=outcome(words, finding),
        banner=words("notice.banner"),
    )
    return marked(words, finding.model.status, description)


def rejection_series(words: Wording, model: ModelIdentity) -> str:
    """Return the SeriesDescription of rejection notes, at most 64 characters."""
    return marked(words, model.status, words("report.withdrawn-series"))


def rejection(words: Wording, title: Withdrawal, reason: str, model: ModelIdentity, version: int) -> str:
    """Return the description of a rejection note."""
    why = words(f"report.withdrawn-{title.value}")
    return words("report.withdrawn", version=version, model=model.name, why=why, reason=reason)


def contribution(words: Wording, model: ModelIdentity, software_version: str) -> str:
    """Return the ContributionDescription of the algorithm."""
    return marked(
        words, model.status, words("notice.contribution", service=SERVICE, version=software_version)
    )
