"""The card's section on training: a fitted run's own numbers, or what is known of a published network."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, Final

from node.domain.input_spec import InputSpec
from trainer.cases.case import ABOUT
from trainer.export.source import Source
from trainer.export.terms import DATA
from trainer.feed.images import HOUNSFIELD
from trainer.fit.finished import FinishedRun
from trainer.fit.recipe import Recipe
from trainer.fit.schedule import Schedule
from trainer.imports.importing import Imported

WIDTH: Final = 110
"""Characters a line."""
COVID: Final = "COVID-19"


def bullet(*sentences: str) -> str:
    """Return sentences as one item of a Markdown list."""
    return textwrap.fill(
        " ".join(sentences),
        WIDTH,
        initial_indent="- ",
        subsequent_indent="  ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def interval(values: Any) -> str:
    """Return a confidence interval in brackets, empty for none."""
    return f"[{values[0]:.3f}, {values[1]:.3f}]" if values else ""


def figure(value: float | None) -> str:
    """Return an AUC, or a dash."""
    return "-" if value is None else f"{value:.3f}"


def training(source: Source, title: str) -> str:
    """Return the section.

    Parameters
    ----------
    source : Source
    title : str
        Of the network.
    """
    if isinstance(source.origin, Imported):
        bullets = _published(source.origin, title)
    else:
        bullets = _fitted(source, source.origin, title)
    return "\n".join(("## Training", "", *bullets, *_points(source.spec), *_calibration(source)))


def _published(imported: Imported, title: str) -> list[str]:
    return [
        bullet(
            f"Network: {title}, imported from `{imported.source}` (SHA-256 {imported.sha256}): every one of",
            f"its {imported.tensors} arrays was used. **It was not trained here.**",
        ),
        bullet(
            f"Data: {DATA['covid-ctset']}, by its authors, on slices of one hospital's scanner of one make.",
        ),
        bullet(
            "Unknown: which fold and which patients it was fitted on, so **no image of COVID-CTset is",
            "certainly unseen**; which of the published programs wrote the file; how its checkpoint was",
            "chosen (the published program does so by accuracy on a validation list).",
        ),
        bullet(
            "Known of the data: slice thickness and reconstruction kernel differ between its COVID-19 and",
            "its normal patients, and so do age and sex. The network can have learned these instead.",
        ),
    ]


def _fitted(source: Source, run: FinishedRun, title: str) -> list[str]:
    record = run.record
    shown = ABOUT.get(source.trained_on, COVID)
    initial = f"initial weights {record['init'] or 'random'}"
    if record.get("parts"):
        initial += ", parts 1 and 2 fitted before and frozen"
    return [
        bullet(
            f"Data: {DATA[source.trained_on]}. {record['cases']} images of the training part, "
            f"{record['positives']} of them {shown}.",
            _dicom(source.trained_on),
        ),
        bullet(
            f"Network: {title}, {initial}; recipe `{run.recipe.name}`:",
            f"{fitting_in_words(run.recipe.schedule)}.",
        ),
        bullet(_splits(run)),
        bullet(_membership(run.recipe, len(run.members))),
        bullet(_own_figures(run.result)),
    ]


def fitting_in_words(schedule: Schedule) -> str:
    """Return how long it was fitted, and what was kept."""
    if schedule.optimiser == "lbfgs":
        copies = schedule.cached_variants
        what = f"image and {copies} varied copies" if copies else "image as it is"
        return (
            "the dense layer alone, by logistic regression (L-BFGS, ridge "
            f"{schedule.weight_decay:g}) on each {what}; the stages before it stay as they were read"
        )
    if schedule.keep == "best":
        return (
            f"at most {schedule.epochs} epochs, of which the one with the best {schedule.watch} on the "
            "validation part is kept, so the validation figures below flatter"
        )
    averaged = "moving average of the weights" if schedule.ema else "the weights"
    return f"{schedule.epochs} epochs, {averaged} after the last one, no checkpoint chosen on validation"


def _dicom(trained_on: str) -> str:
    if trained_on == "dicom-labelled":
        return "They are slices of DICOM series, labelled by whoever gave them."
    if trained_on in HOUNSFIELD:
        return "They hold HU; no DICOM object was read."
    return "No DICOM image was used for training, validation, calibration or a threshold."


def _splits(run: FinishedRun) -> str:
    schedule, grouped = run.recipe.schedule, run.record["grouped_by"]
    if schedule.folds:
        return (
            f"Splits: {schedule.folds} folds by {grouped}. Each class is cut into {schedule.folds} runs of "
            f"consecutive groups; left out of training beside a validation run: "
            f"{schedule.guard} on each side."
        )
    share = f"{schedule.validation_share:.0%}"
    return f"Splits: {share} of the training part is set aside for validation, by {grouped}."


def _membership(recipe: Recipe, members: int) -> str:
    schedule = recipe.schedule
    if members == 1:
        return "The served network is the one network fitted."
    if schedule.whole_seeds:
        return (
            f"The served network averages the class scores of {members} networks, each fitted on the whole "
            "training part with the steps of a fold and a seed of its own; the folds judged the recipe."
        )
    kind = "fold networks" if schedule.folds else "networks, one a seed"
    return f"The served network averages the class scores of {members} {kind}; none was picked."


def _own_figures(result: Mapping[str, Any]) -> str:
    if "out_of_fold" in result:
        own = result["out_of_fold"]
        folds = ", ".join(figure(value) for value in result["fold_auc"])
        text = (
            f"Out of fold: AUC a fold {folds}; over all folds {figure(own['auc'])} "
            f"{interval(own['auc_interval'])}."
        )
    else:
        own = result["validation"]
        text = f"Validation part: AUC {figure(own['auc'])} {interval(own['auc_interval'])}."
    return f"{text} Images of one class share scanner, tone or workstation in such data: the figures flatter."


def _points(spec: InputSpec) -> list[str]:
    sentences = [
        bullet(
            f"Operating point `{point.name}`{' (in use)' if point.name == spec.active_point else ''}:",
            f"an image is positive from probability {point.slice_threshold:.4g} ({point.chosen_on});",
            f"a study from {float(point.share):.0%} positive slices.",
        )
        for point in spec.operating_points
    ]
    return [
        *sentences,
        bullet(
            "**No operating point is validated** for the hospital, scanner and patients that it may meet."
        ),
    ]


def _calibration(source: Source) -> list[str]:
    found = source.calibration
    if found is None:
        return []
    return [
        bullet(
            f"Calibrated: log odds are divided by the temperature {found.temperature:.3f}",
            f"{interval(found.temperature_interval)}, found on {found.images} images ({found.found_on}) of",
            f"which {found.prevalence:.0%} are positive; expected calibration error",
            f"{found.before.ece:.3f} before, {found.after.ece:.3f} after. The thresholds moved along, so no",
            "decision changes. It holds for that share of positive images only.",
        )
    ]
