"""What is said of one data set, as plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from node.domain.input_spec import InputSpec
from trainer.cases.case import ABOUT, GROUPED_BY
from trainer.errors import RecipeError
from trainer.feed.targets import Loss, class_name, targets_of
from trainer.judge import operating_points, strata
from trainer.judge.calibration import fit_of, reliability
from trainer.judge.metrics import Confusion, auc, confusion
from trainer.judge.patients import patient_report
from trainer.judge.sample import Sample
from trainer.judge.scored import Scored

SAME_SCORES: Final = 0.1
"""Share of images with one and the same score from which the network is suspected to have died."""
LEAST_IMAGES: Final = 20
"""Fewer images may agree by chance."""
DIGITS: Final = 6
CHANCE: Final = 0.5
NO_BETTER_THAN_CHANCE: Final = (
    "the interval of the AUC reaches 0.5 or below: on this set the score is not shown to know the disease"
)


def set_report(one: Scored, spec: InputSpec, trained_on: str | None, *, patients: bool) -> dict[str, Any]:
    """Return all figures of one data set.

    Parameters
    ----------
    one : Scored
    spec : InputSpec
    trained_on : str or None
        Kind of the data set that the network was trained on.
    patients : bool
        Judge series and patients by the node's rule too, where the set has whole series.
    """
    threshold = spec.operating_point.slice_threshold
    labelled = one.kind != "dicom"
    report: dict[str, Any] = {
        "on": one.argument,
        "kind": one.kind,
        "grouped_by": GROUPED_BY[one.kind],
        "cross_set": None if trained_on is None else one.kind != trained_on,
        "left_out": one.unknown,
        "warnings": [
            *_unknown_warnings(one),
            *same_score_warnings(one.scores),
            *_seen_warnings(one, trained_on),
        ],
    }
    if labelled:
        report |= _image_report(one, spec, threshold)
        interval = report["auc_interval"]
        if interval is not None and interval[0] <= CHANCE:
            report["warnings"].append(NO_BETTER_THAN_CHANCE)
    else:
        report["series"] = [
            _series_report(look.name, scores, threshold)
            for look, scores in zip(one.series, one.scores_of_series(), strict=True)
            if look.kept
        ]
        report["series_without_open_lungs"] = [look.name for look in one.series if not look.kept]
    if patients:
        report["patients"] = (
            patient_report(one.series, one.scores_of_series(), spec, labelled=labelled)
            if one.series
            else None
        )
    return {key: without_nan(value) for key, value in report.items()}


def _image_report(one: Scored, spec: InputSpec, threshold: float) -> dict[str, Any]:
    sample = sample_of(one, threshold)
    table = strata.stratify(one.cases, one.scores, threshold)
    return sample.figures.as_json() | {
        "prevalence": float(sample.positive.mean()),
        "confusion": confusion_of(one, spec).as_json(),
        "points": operating_points.as_json(operating_points.point_table(sample, spec.operating_points)),
        "calibration": asdict(fit_of(sample.scores, sample.positive))
        | {"bins": [asdict(one) for one in reliability(sample.scores, sample.positive) if one.count]},
        "strata": strata.as_json(table),
        "confounding": strata.confounding(one.cases, table),
        "findings": _finding_figures(one, spec),
    }


def sample_of(one: Scored, threshold: float, name: str | None = None) -> Sample:
    """Return a scored set as figures and plots take it."""
    return Sample(
        name=name or one.kind,
        scores=one.scores,
        positive=one.positive,
        groups=one.groups,
        threshold=threshold,
    )


def confusion_of(one: Scored, spec: InputSpec) -> Confusion:
    """Return what was called what.

    With more than two classes the most probable one is called, where the set's labels are the model's
    classes. Otherwise the positive class stands against the rest at the active operating point.

    Parameters
    ----------
    one : Scored
    spec : InputSpec
    """
    classes, at = spec.outputs.classes, spec.outputs.positive_index
    if len(classes) > 2 and one.probabilities is not None:
        try:
            truth = targets_of(one.cases, spec.outputs, Loss.SOFTMAX).argmax(axis=1)
        except RecipeError:  # the set has other classes: its positive one against the rest is left
            truth = None
        if truth is not None:
            return confusion(truth, one.probabilities.argmax(axis=1), classes)
    other = classes[1 - at] if len(classes) == 2 else f"not {classes[at]}"
    called = one.scores >= spec.operating_point.slice_threshold
    return confusion(~one.positive, ~called, (classes[at], other))


def _finding_figures(one: Scored, spec: InputSpec) -> list[dict[str, Any]]:
    """Return the AUC of every finding that the model gives and the set labels; others are left out."""
    if one.probabilities is None:
        return []
    found = []
    for column, name in enumerate(spec.outputs.classes):
        values = {
            index: value
            for index, case in enumerate(one.cases)
            for finding, value in case.findings
            if class_name(finding) == class_name(name)
        }
        if values:
            present = np.array(list(values.values())) > 0.5
            area = auc(one.probabilities[list(values), column], present)
            found.append(
                {"finding": name, "images": len(values), "positives": int(present.sum()), "auc": area}
            )
    return found


def _series_report(name: str, scores: NDArray[Any], threshold: float) -> dict[str, Any]:
    return {
        "series_instance_uid": name,
        "selected": len(scores),
        "positive": int((scores >= threshold).sum()),
        "share": float((scores >= threshold).mean()),
        "median_score": float(np.median(scores)),
    }


def same_score_warnings(scores: NDArray[Any]) -> list[str]:
    """Return a warning where many images have one and the same score, as with dead heads.

    The five heads of the pyramid network end in ReLU; once all are 0 the answer is the same for any image.
    """
    values, counts = np.unique(np.round(scores, DIGITS), return_counts=True)
    most = int(counts.argmax())
    if len(scores) < LEAST_IMAGES or counts[most] < SAME_SCORES * len(scores):
        return []
    if values[most] in {0.0, 1.0}:
        return []  # sure of it, not dead
    warning = (
        f"{counts[most]} of {len(scores)} images have the same score {values[most]:.4f}: the network's heads "
        "are dead, or it does not look at the images"
    )
    return [warning]


def _unknown_warnings(one: Scored) -> list[str]:
    """Return how many images were left out because their truth is not known."""
    if not one.unknown:
        return []
    about, images = ABOUT.get(one.kind, "COVID-19"), one.unknown + len(one.cases)
    warning = (
        f"{one.unknown} of {images} images were left out: {about} is uncertain or not mentioned in them; the "
        "figures are of the others, which need not be like them"
    )
    return [warning]


def _seen_warnings(one: Scored, trained_on: str | None) -> list[str]:
    """Return a warning where images may be those that the network was fitted on."""
    open_to_training = sum(case.split in {"train", "all"} for case in one.cases)
    if one.kind != trained_on or not open_to_training:
        return []
    warning = (
        f"{open_to_training} of {len(one.cases)} images are of no held-out part, and the network was trained "
        f"on a set of kind {one.kind}: if it was this set, its figures are of images that the network knows"
    )
    return [warning]


def without_nan(value: Any) -> Any:
    """Return plain values with None in place of numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [without_nan(item) for item in value]
    return value
