"""``CARD.md`` of a bundle, out of what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.domain.input_spec import InputKind, InputModality, InputSpec
from trainer.cases.case import ABOUT
from trainer.export.card_training import COVID, bullet, figure, interval, training
from trainer.export.golden import RoundTrip
from trainer.export.judged import Judgement
from trainer.export.source import Source
from trainer.export.terms import DATA
from trainer.feed.images import HOUNSFIELD
from trainer.imports.importing import Imported
from trainer.nets.catalogue import NETS


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a card tells."""

    source: Source
    report: Mapping[str, Any] | None
    """Figures on the data sets given to export."""
    round_trip: RoundTrip
    judgements: Sequence[Judgement]
    """What other weights and precisions do to decisions."""
    precisions: Sequence[str]
    """Those that the node may use."""
    tolerances: Mapping[str, float]
    """Precision -> golden tolerance."""
    weights: str
    """``float16`` or ``float32``, as stored."""
    notes: str
    """What whoever trained it has to say besides (Markdown); may be empty."""

    @property
    def spec(self) -> InputSpec:
        """The bundle's specification."""
        return self.source.spec

    @property
    def imported(self) -> bool:
        """Whether the network was fitted by others."""
        return isinstance(self.source.origin, Imported)

    @property
    def sets(self) -> list[Mapping[str, Any]]:
        """Reports of the sets with labels."""
        return [] if self.report is None else [one for one in self.report["sets"] if one["kind"] != "dicom"]


def card_text(facts: CardFacts) -> str:
    """Return the card."""
    sections = [
        _head(facts.spec),
        training(facts.source, NETS[facts.source.net].title),
        _figures(facts),
        *_probe(facts),
        _limits(facts),
        _technical(facts),
        *([f"## Notes\n\n{facts.notes.strip()}"] if facts.notes.strip() else []),
    ]
    return "\n\n".join(sections) + "\n"


def _head(spec: InputSpec) -> str:
    model, names = spec.model, spec.outputs
    classes = " and ".join((", ".join(names.classes[:-1]), names.classes[-1]))
    return f"""# {model.name}, version {model.version}

Status: **{model.status.value}**. A screening aid for research. **Not a diagnosis**, not a medical device, not
validated for any patient.

Input: {_input(spec)}; every number stands in
`input_spec.json`. Output: probabilities of {classes}, and a Grad-CAM map of
{names.positive_class}."""


def _input(spec: InputSpec) -> str:
    rows, columns = spec.input.size
    size = f"{rows} x {columns}"
    if spec.modality is InputModality.CR:
        return f"one frontal chest radiograph of 8 bits, histogram-equalised and\nresized to {size}"
    match spec.input.kind:
        case InputKind.CTSET_RAW:
            how = f"as HU + 1024 (0 to 4095), neither windowed nor scaled,\nat {size} pixels"
        case InputKind.HISTOGRAM_EQUALISED:
            how = f"in a lung window, histogram-equalised and\nresized to {size}"
        case InputKind.LUNG_WINDOW_BOX:
            how = f"in a lung window, cropped to the lungs' bounding box\nand resized to {size}"
    return f"one axial CT slice of the chest {how}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _figures(facts: CardFacts) -> str:
    lines = ["## Figures on images that were not trained on", ""]
    if facts.imported:
        lines = ["## Figures", "", "Whether these images were trained on is not known.", ""]
    if not facts.sets:
        return "\n".join([*lines, "None were measured at export."])
    about = ABOUT.get(facts.source.trained_on, COVID)
    lines += [
        "AUC with a 95 % bootstrap interval over groups; sensitivity and specificity of single images at",
        "the operating point's slice threshold.",
        "",
        f"| data set | images ({about}) | groups | AUC | sensitivity | specificity | accuracy | F1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in facts.sets:
        own = "" if one["kind"] == facts.source.trained_on else " (another set: cross-set figure)"
        lines.append(
            f"| {one['kind']}{own} | {one['images']} ({one['positives']}) | {one['groups']} | "
            f"{figure(one['auc'])} {interval(one['auc_interval'])} | "
            f"{_percent(one['sensitivity'])} | {_percent(one['specificity'])} | "
            f"{_percent(one['accuracy'])} | {_percent(one['f1'])} |"
        )
    lines.append("")
    lines += [
        bullet(f"{one['kind']}: {DATA[one['kind']]}; groups are {one['grouped_by']}.") for one in facts.sets
    ]
    return "\n".join(lines)


def _probe(facts: CardFacts) -> list[str]:
    """Return the section on the source probe, for networks of CT that learned from pictures."""
    if facts.spec.modality is not InputModality.CT or facts.source.trained_on in HOUNSFIELD:
        return []
    lines = [
        "## Source probe",
        "",
        "How well the score alone tells DICOM slices from pictures among images that are not COVID-19; 0.5",
        "is ideal, outside of 0.30 to 0.70 the model is not usable on DICOM CT.",
        "",
    ]
    probe = None if facts.report is None else facts.report["source_probe"]
    if facts.report is None or probe is None:
        return ["\n".join([*lines, "Not measured at export."])]
    verdict = "within the limits" if probe["usable_on_dicom"] else "**outside: not usable on DICOM CT**"
    against = f"{probe['pictures']} pictures of {', '.join(probe['against'])}"
    counts = f"{probe['dicom_slices']} DICOM slices against {against}"
    lines += [f"AUC **{probe['auc']:.3f}** {interval(probe['interval'])} ({counts}): {verdict}.", ""]
    lines += [
        bullet(
            f"against {kind}: AUC {area:.3f}; its pictures show other diseases besides: source mixed with",
            "disease",
        )
        for kind, area in probe["by_kind"].items()
        if kind not in probe["against"]
    ]
    lines += [
        f"- one DICOM series that is not COVID-19: {series['positive']} of {series['selected']} "
        f"selected slices positive, median score {series['median_score']:.2f}"
        for one in facts.report["sets"]
        if one["kind"] == "dicom"
        for series in one["series"]
    ]
    return ["\n".join(lines)]


def _limits(facts: CardFacts) -> str:
    return "\n".join(("## Scope and limits", "", *_scope(facts), *_unknown(facts)))


def _scope(facts: CardFacts) -> list[str]:
    scope = facts.spec.scope
    if facts.spec.modality is InputModality.CR:
        return [
            bullet(
                f"Made for adults (from {scope.minimum_age_years:g} years), frontal chest radiographs. The",
                "node screens CT only: it verifies such a bundle, and analyses no radiograph.",
            )
        ]
    measured = any(one["kind"] == "dicom-labelled" and one["positives"] for one in facts.sets)
    return [
        bullet(
            f"Made for adults (from {scope.minimum_age_years:g} years), axial chest CT, slice thickness",
            f"{scope.slice_thickness_mm[0]:g} to {scope.slice_thickness_mm[1]:g} mm; outside of that nothing",
            "is analysed.",
        ),
        bullet(
            "Sensitivity on DICOM was measured on the series above alone."
            if measured
            else "**Sensitivity on DICOM is unmeasured.** No DICOM series of a COVID-19 patient was judged."
        ),
    ]


def _unknown(facts: CardFacts) -> list[str]:
    trained_on = facts.source.trained_on
    found = []
    if trained_on not in HOUNSFIELD and facts.spec.modality is InputModality.CT:
        found.append(
            bullet(
                "Pictures are not series: labels are a picture's, patients are not always named, windows and",
                "scaling are unknown.",
            )
        )
    if trained_on == "kaggle-pneumonia":
        found.append(bullet("The radiographs it learned from are of children of one hospital."))
    if facts.spec.modality is InputModality.CT:
        found.append(
            bullet(
                "What the network makes of other pneumonias, oedema, tumours or a child's chest",
                "is unknown, but where the data above say otherwise.",
            )
        )
    found += [
        bullet(
            "A score is not the probability of disease in a patient;",
            "it was calibrated to no prevalence but that of its own images."
            if facts.source.calibration
            else "nothing was calibrated to any prevalence.",
        ),
        bullet("The Grad-CAM map shows where the score came from, on a coarse grid; it outlines no lesion."),
    ]
    return found


def _technical(facts: CardFacts) -> str:
    trip = facts.round_trip
    rounded = "".join(
        f"; {name} {'not compared on this processor' if found is None else format(found, '.1g')}"
        for name, found in (("bf16", trip.bf16), *((("int8", trip.int8),) if trip.int8 is not None else ()))
    )
    compared = "; ".join(one.sentence for one in facts.judgements) or "decisions were compared on no images"
    allowed = ", ".join(
        f"{name} {facts.tolerances[name]:.2g}" for name in facts.precisions if name in facts.tolerances
    )
    return "\n".join(
        (
            "## Technical",
            "",
            bullet(
                f"Weights stored as {facts.weights}; decisions did not change at:",
                f"{', '.join(facts.precisions)}.",
            ),
            bullet(f"Held-out images, against f32 with whole weights: {compared}."),
            bullet(f"Golden tolerance of each precision that may be used: {allowed}."),
            bullet(
                "Largest differences on the golden images (probabilities, and maps over their maximum):",
                f"torch to OpenVINO f32 {trip.graph:.1g}; stored weights {trip.half:.1g}{rounded};",
                f"closed-form Grad-CAM to autograd {trip.autograd:.1g}.",
            ),
            bullet(
                "Checked in OpenVINO. Never run by ONNX Runtime or TensorRT on a GPU: a server must pass",
                "`groundglass models accept` first.",
            ),
        )
    )
