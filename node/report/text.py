"""The wording of everything that a reader sees, in English (ASCII); of pictures, `node.report.picture_text`.

Never more certainty than was measured: research use, no diagnosis, a score is no probability of disease.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from node.domain.model import ModelIdentity, ModelStatus
from node.domain.preparation_spec import InputModality
from node.domain.result import (
    Finding,
    OperatingPoint,
    Outcome,
    ResultKind,
    SeriesChoice,
    SliceScore,
    Withdrawal,
)

SERVICE: Final = "Groundglass"
_NOTICE: Final = (
    "Result of an artificial intelligence, for research use. It is not a diagnosis and does not replace the "
    "reading of the images. COVID-19 can be present without being flagged."
)
NOT_DIAGNOSTIC: Final = "AI, research use, not for diagnosis"
MEANING_OF_SCORE: Final = (
    "The score is the model's output and is not calibrated: a model score, not a probability of disease."
)
ACQUISITION: Final = "Acquisition equipment of the source images"

_STATUS: Final = {
    ModelStatus.UNTRAINED: "UNTRAINED MODEL",
    ModelStatus.DEMONSTRATION: "DEMONSTRATION MODEL",
    ModelStatus.VALIDATED: "",
}
_POINT_STATUS: Final = {
    True: "Validated for this model.",
    False: "NOT VALIDATED for this model on clinical studies.",
}
_WITHDRAWN: Final = {
    Withdrawal.PATIENT_SAFETY: "it is wrong, or of another patient.",
    Withdrawal.QUALITY: "its quality is not sufficient.",
}
NO_MAP: Final = "No map was made of this slice: padding, not a value."
PADDED: Final = "Slices of which no map was made hold padding only (Float Pixel Padding Value), not a value."
SERIES_INCOMPLETE: Final = "Series incomplete: time limit passed"  # LO, at most 64 characters
NO_SERIES_COMPLETE: Final = "No series fit for the model was complete"
OUTCOMES: Final = {
    Outcome.POSITIVE: "POSITIVE: flagged by AI as suspicious of COVID-19",
    Outcome.NEGATIVE: "NEGATIVE: not flagged by AI; COVID-19 not excluded",
    Outcome.UNDETERMINED: "UNDETERMINED: too little was there to decide; COVID-19 not excluded",
    Outcome.NOT_ANALYSED: "NOT ANALYSED: the images were not analysed; COVID-19 not excluded",
}


@dataclass(frozen=True, kw_only=True)
class Words:
    """What is said differently of slices and of radiographs."""

    image: str
    title: str
    series: Mapping[ResultKind, str]
    """Descriptions of the results' series; a study may have those of slices and those of radiographs, of the
    same SeriesNumber. At most 43 characters: behind a model's status they fit 64."""
    demonstration: str
    """What a demonstration model's status means."""
    reach: Mapping[bool, str]
    """Which of the images reach the threshold, behind their number; by whether it is one image."""
    rule: str
    """When an image is positive, and the study by its images; takes ``threshold`` and ``share``."""
    images: str
    """Heading over the positive images."""
    label: str
    """Heading over their names."""
    none_positive: str
    plane: str
    """What is said of a map's place, with a space behind it; empty where it is the source's own."""


WORDS: Final = {
    InputModality.CT: Words(
        image="slice",
        title="AI screening of the chest for COVID-19. Research use, not a diagnosis.",
        series={
            ResultKind.REPORT: "AI COVID-19 screening, not a diagnosis",
            ResultKind.HEATMAP: "AI heatmaps, not a diagnosis",
            ResultKind.SUMMARY: "AI summary picture, not a diagnosis",
            ResultKind.PARAMETRIC_MAP: "AI maps as data, not a diagnosis",
            ResultKind.KEY_OBJECTS: "AI key slices, not a diagnosis",
        },
        demonstration="its sensitivity and specificity on CT studies like this are not known.",
        reach=dict.fromkeys((False, True), "selected slices reach the slice threshold"),
        rule=(
            "a slice is positive when its score reaches {threshold:g}; the study is positive when the share "
            "of positive slices reaches {share}"
        ),
        images="Positive slices",
        label="Slice (instance number, position)",
        none_positive="No slice reaches the slice threshold.",
        plane="",
    ),
    InputModality.CR: Words(
        image="radiograph",
        title="AI screening of chest radiographs for COVID-19. Research use, not a diagnosis.",
        series={
            ResultKind.REPORT: "AI COVID-19 on radiographs, not a diagnosis",
            ResultKind.HEATMAP: "AI heatmaps of radiographs, not a diagnosis",
            ResultKind.SUMMARY: "AI summary of radiographs, not a diagnosis",
            ResultKind.PARAMETRIC_MAP: "AI maps of radiographs, not a diagnosis",
            ResultKind.KEY_OBJECTS: "AI key radiographs, not a diagnosis",
        },
        demonstration="its sensitivity and specificity on radiographs like these are not known.",
        reach={False: "frontal images reach the threshold", True: "frontal image reaches the threshold"},
        rule=(
            "an image is positive when its score reaches {threshold:g}; the study is positive when the share "
            "of positive images reaches {share}"
        ),
        images="Positive images",
        label="Image (instance number)",
        none_positive="No image reaches the threshold.",
        plane="A radiograph has no place in the patient: the map's position is nominal, and its distances "
        "may be those at the detector. ",
    ),
}


def marked(status: ModelStatus, sentence: str) -> str:
    """Return a sentence behind the model's status, where that limits what it says."""
    return f"{_STATUS[status]}: {sentence}" if _STATUS[status] else sentence


def title(finding: Finding) -> str:
    """Return the title line of a report."""
    return marked(finding.model.status, WORDS[finding.modality].title)


def notice(finding: Finding) -> str:
    """Return what the result is not, and what the model's status means."""
    meaning = {
        ModelStatus.UNTRAINED: " The model is not trained: its scores mean nothing.",
        ModelStatus.DEMONSTRATION: f" The model is a demonstration: {WORDS[finding.modality].demonstration}",
    }
    return _NOTICE + meaning.get(finding.model.status, "")


def series_description(kind: ResultKind, finding: Finding) -> str:
    """Return the SeriesDescription of the results of one kind, at most 64 characters."""
    return marked(finding.model.status, WORDS[finding.modality].series[kind])


def summary(finding: Finding) -> str:
    """Return outcome and counts in one sentence."""
    sentence = OUTCOMES[finding.outcome]
    if finding.ratio is not None:
        reach = WORDS[finding.modality].reach[finding.selected == 1]
        sentence += f". {finding.positive} of {finding.selected} {reach} ({percent(finding.ratio)})"
    return sentence + "."


def percent(share: float) -> str:
    """Return a share as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def selection_rule(finding: Finding) -> str:
    """Return how slices, or images, were selected."""
    if not finding.selection_rule:
        return "none applied"
    if not finding.selection_threshold:
        return finding.selection_rule
    return f"{finding.selection_rule}; kept above {finding.selection_threshold} dark pixels in the region"


def operating_point(point: OperatingPoint, modality: InputModality) -> str:
    """Return an operating point with the data it was chosen on."""
    share = f"{point.share.numerator}/{point.share.denominator}"
    rule = WORDS[modality].rule.format(threshold=point.slice_threshold, share=share)
    return f"{point.name}: {rule}. Chosen on: {point.chosen_on.rstrip('.')}. {_POINT_STATUS[point.validated]}"


def parameters(model: ModelIdentity) -> str:
    """Return the parameters of the algorithm: which bytes ran, and on what."""
    return (
        f"weights sha256 {model.weights_sha256}; input_spec sha256 {model.spec_sha256}; "
        f"engine {model.engine} {model.engine_version}, {model.precision.value}, {model.device}"
    )


def series_name(choice: SeriesChoice) -> str:
    """Return number, modality, description and size of a series."""
    number = f"Series {choice.series_number}" if choice.series_number is not None else "Series without number"
    description = f' "{choice.series_description}"' if choice.series_description else ""
    noun = "instance" if choice.instance_count == 1 else "instances"
    return f"{number}, {choice.modality or 'no modality'}{description}, {choice.instance_count} {noun}"


def study_label(finding: Finding) -> str:
    """Return the tracking identifier of the study's group; viewers show it beside the finding."""
    return f"AI screening of the study ({finding.outcome.value})"


def image_label(item: SliceScore, modality: InputModality) -> str:
    """Return the tracking identifier of a slice or radiograph; no colon, which some viewers split at."""
    number = "without number" if item.instance_number is None else str(item.instance_number)
    frame = f" frame {item.frame}" if item.frame > 1 else ""
    place = f" at {item.position:.1f} mm" if modality is InputModality.CT else ""
    return f"AI {WORDS[modality].image} {number}{frame}{place}"


def derivation(finding: Finding) -> str:
    """Return the DerivationDescription of a heatmap (VR ST)."""
    model, image = finding.model, WORDS[finding.modality].image
    return (
        f"Gradient-weighted class activation (Grad-CAM) of {model.name} {model.version} laid over the source "
        f"{image}. Its opacity scales with the {image}'s score; colours are relative within this {image}. "
        "Not a lesion outline."
    )


def heatmap_comment(item: SliceScore, finding: Finding) -> str:
    """Return the ImageComments of a heatmap."""
    score = "not scored" if item.probability is None else f"model score {percent(item.probability)}"
    label = image_label(item, finding.modality)
    return marked(finding.model.status, f"{NOT_DIAGNOSTIC}. {label}, {score} (not a probability of disease).")


def map_description(finding: Finding) -> str:
    """Return the ContentDescription (VR LO) of the maps as data, at most 64 characters."""
    return f"Grad-CAM of a {WORDS[finding.modality].image}'s score; not a lesion outline"


def map_derivation(finding: Finding, *, is_padded: bool) -> str:
    """Return the DerivationDescription (VR ST) of the maps as data."""
    model, image = finding.model, WORDS[finding.modality].image
    padding = f"{PADDED} " if is_padded else ""
    return (
        f"Gradient-weighted class activation (Grad-CAM) of {model.name} {model.version}: not normalised, "
        f"enlarged from the network's coarse grid to the pixels of the source {image}, 0 where the network "
        f"did not look. {padding}{WORDS[finding.modality].plane}Research use, not a diagnosis."
    )


def key_objects(finding: Finding, selected: int, *, with_heatmaps: bool) -> str:
    """Return the description of a Key Object Selection.

    Parameters
    ----------
    finding : Finding
    selected : int
        How many of the positive images it points at.
    with_heatmaps : bool
        Whether it points at their heatmaps, too.
    """
    image = WORDS[finding.modality].image
    heatmaps = ", with their heatmaps" if with_heatmaps else ""
    return marked(
        finding.model.status,
        f"The {image}s that reach the model's threshold, strongest first{heatmaps}: {selected} of "
        f"{finding.positive}. The whole study is {OUTCOMES[finding.outcome]}. Chosen by a model, not by a "
        f"reader. {NOT_DIAGNOSTIC}.",
    )


def rejection_series(model: ModelIdentity) -> str:
    """Return the SeriesDescription of rejection notes, at most 64 characters."""
    return marked(model.status, "Withdrawn AI results")


def rejection(title: Withdrawal, reason: str, model: ModelIdentity, version: int) -> str:
    """Return the description of a rejection note."""
    return (
        f"Version {version} of the AI results of {model.name} is withdrawn: {_WITHDRAWN[title]} Do not use "
        f"its objects. Reason: {reason}"
    )


def contribution(model: ModelIdentity, software_version: str) -> str:
    """Return the ContributionDescription of the algorithm."""
    return marked(
        model.status,
        f"AI screening for COVID-19 by {SERVICE} {software_version}, research use, not a diagnosis",
    )


class Heading:
    """Headings and labels of the readable text."""

    STUDY: Final = "Study"
    PATIENT: Final = "Patient"
    BORN: Final = "born"
    ACCESSION: Final = "Accession number"
    REPORT: Final = "Report"
    VERSION: Final = "version"
    REPLACES: Final = "Replaces"
    OUTCOME: Final = "Outcome"
    ASSESSMENT: Final = "Overall assessment"
    FINDING: Final = "Finding"
    RUN: Final = "Outcome of the run"
    REASON: Final = "Reason"
    VERDICT: Final = "Is the series complete?"
    WARNINGS: Final = "Warnings"
    NUMBERS: Final = "Numbers"
    SELECTION: Final = "Selection rule"
    POINT: Final = "Operating point"
    VALIDATED: Final = "Validated point"
    SCORE: Final = "The score"
    IMAGE_SCORE: Final = "Score"
    HEATMAP: Final = "Heatmap"
    SERIES: Final = "Series found in the study (* screened)"
    MODEL: Final = "Model"
    NAME: Final = "Name"
    ALGORITHM_VERSION: Final = "Version and weights"
    STATUS: Final = "Status"
    OBSERVER: Final = "Made by"
