"""``CARD.md`` and ``LICENSE`` of a bundle, out of what was measured."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from node.domain.input_spec import InputSpec
from trainer.export.golden import RoundTrip
from trainer.fit.recipe import Recipe

WIDTH: Final = 110
"""Characters a line."""

DATA: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sars-cov2-ct": "SARS-CoV-2 CT-scan data set (Soares et al. 2020), 8-bit pictures; CC BY-NC-SA 4.0",
        "covid-ct": "COVID-CT (Zhao et al. 2020), cut from papers; no licence stated, research use only",
        "folder": "class folders of the trainer's user; their licence is not known to the trainer",
        "dicom": "CT series, used for the source probe only",
        "dicom-labelled": "CT series of the trainer's user; their terms are not known to the trainer",
        "covid-ctset": "COVID-CTset (Rahimzadeh et al. 2021), 16-bit slices; see its own terms",
        "ct-cov19": "CT-COV19 (of the Deep-CT-Net paper), 8-bit pictures; no licence stated",
        "covid-chestxray": "ieee8023 chest radiographs (Cohen et al. 2020); a licence for each image",
        "chexpert": "CheXpert (Irvin et al. 2019); research use agreement of its owner",
        "kaggle-pneumonia": "children's chest radiographs (Kermany et al. 2018); CC BY 4.0",
    }
)
"""Kind -> what it is and its licence."""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a card tells."""

    spec: InputSpec
    net: str
    """Title of the network."""
    members: int
    """Networks whose class scores are averaged."""
    recipe: Recipe
    run: dict[str, Any]
    """``run.json``."""
    result: dict[str, Any]
    """``result.json``."""
    report: dict[str, Any] | None
    """Figures on the data sets given to export."""
    round_trip: RoundTrip
    precisions: tuple[str, ...]
    weights: str
    """``float16`` or ``float32``, as stored."""
    notes: str
    """What whoever trained it has to say besides (Markdown); may be empty."""


def card_text(facts: CardFacts) -> str:
    """Return the card."""
    sections = [
        _head(facts),
        _training(facts),
        _figures(facts),
        _probe(facts),
        _limits(facts),
        _technical(facts),
        *([f"## Notes\n\n{facts.notes.strip()}"] if facts.notes.strip() else []),
    ]
    return "\n\n".join(sections) + "\n"


def _head(facts: CardFacts) -> str:
    model = facts.spec.model
    return f"""# {model.name}, version {model.version}

Status: **{model.status.value}**. A screening aid for research. **Not a diagnosis**, not a medical device, not
validated for any patient.

Input: one axial CT slice of the chest in a lung window, cropped to the lungs' bounding box and resized to
{facts.spec.input.size[0]} x {facts.spec.input.size[1]}; every number stands in `input_spec.json`. Output:
probabilities of {" and ".join(facts.spec.outputs.classes)}, and a Grad-CAM map of
{facts.spec.outputs.positive_class}."""


def _bullet(*sentences: str) -> str:
    return textwrap.fill(" ".join(sentences), WIDTH, initial_indent="- ", subsequent_indent="  ")


def _training(facts: CardFacts) -> str:
    schedule, run, point = facts.recipe.schedule, facts.run, facts.spec.operating_point
    oof = facts.result["out_of_fold"]
    folds = ", ".join(f"{value:.3f}" for value in facts.result["fold_auc"])
    bullets = (
        _bullet(
            f"Data: {DATA[run['source']]}. {run['cases']} pictures of the training",
            f"part, {run['positives']} of",
            "them COVID-19. No DICOM image was used for training, validation, calibration or a threshold.",
        ),
        _bullet(
            f"Network: {facts.net}, initial weights {run['init'] or 'random'}; recipe `{facts.recipe.name}`:",
            f"{schedule.epochs} epochs a fold, fixed beforehand, moving average of",
            "the weights, no checkpoint",
            "chosen on validation.",
        ),
        _bullet(
            f"Splits: {schedule.folds} folds by {run['grouped_by']}. Each class is",
            f"cut into {schedule.folds} runs",
            "of consecutive groups; left out of training beside a validation run:",
            f"{schedule.guard} on each side.",
        ),
        _bullet(_membership(facts)),
        _bullet(
            f"Out of fold: AUC a fold {folds}; over all folds",
            f"{oof['auc']:.3f} {_interval(oof['auc_interval'])}. Pictures of one class share tone and",
            "workstation in such a data set, so these figures flatter.",
        ),
        _bullet(
            "Operating point: a slice is positive from probability",
            f"{point.slice_threshold} ({point.chosen_on});",
            f"a study from {float(point.share):.0%} positive slices. The share is",
            "that of Rahimzadeh et al. 2021",
            "for another network; **for this one it is not validated.**",
        ),
    )
    return "\n".join(("## Training", "", *bullets))


def _membership(facts: CardFacts) -> str:
    if not facts.recipe.schedule.whole_seeds:
        return (
            f"The served network averages the class scores of {facts.members} fold networks; none was picked."
        )
    return (
        f"The served network averages the class scores of {facts.members} networks, each fitted on the whole "
        "training part with the steps of a fold and a seed of its own; the folds judged the recipe."
    )


def _interval(interval: Any) -> str:
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _figures(facts: CardFacts) -> str:
    lines = ["## Figures on images that were not trained on", ""]
    sets = [] if facts.report is None else [one for one in facts.report["sets"] if one["kind"] != "dicom"]
    if not sets:
        return "\n".join([*lines, "None were measured at export."])
    lines += [
        "AUC with a 95 % bootstrap interval over groups; sensitivity and specificity of single pictures at",
        "the operating point's slice threshold.",
        "",
        "| data set | pictures (COVID) | groups | AUC | sensitivity | specificity | accuracy | F1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in sets:
        own = "" if one["kind"] == facts.run["source"] else " (another set: cross-set figure)"
        lines.append(
            f"| {one['kind']}{own} | {one['images']} ({one['positives']}) | {one['groups']} | "
            f"{'-' if one['auc'] is None else format(one['auc'], '.3f')} "
            f"{_interval(one['auc_interval'])} | "
            f"{_percent(one['sensitivity'])} | {_percent(one['specificity'])} | "
            f"{_percent(one['accuracy'])} | {_percent(one['f1'])} |"
        )
    lines.append("")
    lines += [_bullet(f"{one['kind']}: {DATA[one['kind']]}; groups are {one['grouped_by']}.") for one in sets]
    return "\n".join(lines)


def _probe(facts: CardFacts) -> str:
    lines = [
        "## Source probe",
        "",
        "How well the score alone tells DICOM slices from pictures among images that are not COVID-19; 0.5",
        "is ideal, outside of 0.30 to 0.70 the model is not usable on DICOM CT.",
    ]
    probe = None if facts.report is None else facts.report["source_probe"]
    if probe is None:
        return "\n".join([*lines, "", "Not measured at export."])
    verdict = "within the limits" if probe["usable_on_dicom"] else "**outside: not usable on DICOM CT**"
    against = f"{probe['pictures']} pictures of {', '.join(probe['against'])}"
    counts = f"{probe['dicom_slices']} DICOM slices against {against}"
    lines += ["", f"AUC **{probe['auc']:.3f}** {_interval(probe['interval'])} ({counts}): {verdict}.", ""]
    lines += [
        _bullet(
            f"against {kind}: AUC {area:.3f}; its pictures show other diseases "
            f"besides: source mixed with disease"
        )
        for kind, area in probe["by_kind"].items()
        if kind not in probe["against"]
    ]
    assert facts.report is not None  # noqa: S101 -- a probe comes with a report
    for one in facts.report["sets"]:
        if one["kind"] == "dicom":
            lines += [
                f"- one DICOM series that is not COVID-19: {series['positive']} of {series['selected']} "
                f"selected slices positive, median score {series['median_score']:.2f}"
                for series in one["series"]
            ]
    return "\n".join(lines)


def _limits(facts: CardFacts) -> str:
    scope = facts.spec.scope
    return f"""## Scope and limits

- Made for adults (from {scope.minimum_age_years:g} years), axial chest CT, slice thickness
  {scope.slice_thickness_mm[0]:g} to {scope.slice_thickness_mm[1]:g} mm; outside of that nothing is analysed.
- **Sensitivity on DICOM is unmeasured.** No DICOM series of a COVID-19 patient was available in numbers.
- Pictures are not series: labels are a picture's, patients are not named, windows and scaling are unknown.
- Negatives of the training set are mostly clear lungs. What the network makes of other pneumonias, oedema,
  tumours, emphysema or of a child's chest is unknown.
- A score is not the probability of disease in a patient; nothing was calibrated to any prevalence.
- The Grad-CAM map shows where the score came from, on a coarse grid; it outlines no lesion."""


def _technical(facts: CardFacts) -> str:
    trip = facts.round_trip
    return f"""## Technical

- Weights stored as {facts.weights}; decisions did not change at: {", ".join(facts.precisions)}.
- Largest differences on the golden slices (probabilities, and maps over their maximum): torch to OpenVINO f32
  {trip.graph:.1g}; stored weights {trip.half:.1g}; bf16 {trip.bf16:.1g}; closed-form Grad-CAM to autograd
  {trip.autograd:.1g}."""


def licence_text(facts: CardFacts) -> str:
    """Return the terms of the weights: those of the data they were trained on."""
    return f"""Terms of the weights in this folder ({facts.spec.model.name})

These are research weights. They are not covered by the licence of the software around them.

They were trained on:
  - {DATA[facts.run["source"]]}

Use, copy and adapt them for research and teaching, not for commercial purposes, naming the data set above,
and pass adapted weights on under the same terms (Creative Commons Attribution-NonCommercial-ShareAlike 4.0
International, https://creativecommons.org/licenses/by-nc-sa/4.0/), as far as rights in the weights derive
from that data set.

No warranty of any kind. Not a medical device. Not for diagnosis or for decisions about a patient.
"""
