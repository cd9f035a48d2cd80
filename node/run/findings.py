"""From evidence to the finding: pure functions, no store, no clock."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from node.decide.rule import Decision, decide, is_positive
from node.domain.input_spec import InputKind, InputModality, InputSpec, SelectionSpec
from node.domain.model import ModelIdentity, ModelStatus
from node.domain.result import Finding, OperatingPoint, Outcome, RunOutcome, SeriesChoice, SliceScore
from node.domain.study import InstanceHeader, SeriesState
from node.domain.wording import tell
from node.imaging.prepare import Framing
from node.run.looking import LookedAt
from node.run.scoring import Scored

UNPROVEN = {
    InputModality.CT: "warning.demonstration-slices",
    InputModality.CR: "warning.demonstration-radiographs",
}
"""What says that the performance of a demonstration model is not established."""


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """By what a study is judged: the bundle's contract with what the settings override."""

    spec: InputSpec
    model: ModelIdentity
    source_probe: str
    """What the export's source probe says against the model; empty when nothing."""

    @property
    def point(self) -> OperatingPoint:
        """The operating point in use."""
        return self.spec.operating_point

    @property
    @abstractmethod
    def rule_text(self) -> str:
        """By what rule images are selected."""


@dataclass(frozen=True, kw_only=True)
class CtMethod(Method):
    """By what a CT series is judged."""

    selection: SelectionSpec
    """The specification's, with the minimum of slices from the settings where one is given."""

    @property
    def rule_text(self) -> str:
        """Name of the selection rule with its minima."""
        return tell(
            "selection.slices",
            rule=self.selection.rule.value,
            slices=self.selection.minimum_slices,
            selected=self.selection.minimum_selected,
        )


def method(
    spec: InputSpec, model: ModelIdentity, *, minimum_slices: int | None, source_probe: str
) -> CtMethod:
    """Return the method for a bundle that reads CT.

    Parameters
    ----------
    spec : InputSpec
    model : ModelIdentity
    minimum_slices : int or None
        From the settings: fewer slices make a series too short, and fewer selected ones can never be asked
        for; None leaves the model's own minima.
    source_probe : str
    """
    selection = spec.selection
    if minimum_slices is not None:
        selection = dataclasses.replace(
            selection,
            minimum_slices=minimum_slices,
            minimum_selected=min(selection.minimum_selected, minimum_slices),
        )
    return CtMethod(spec=spec, selection=selection, model=model, source_probe=source_probe)


def not_analysed(
    how: Method, choices: tuple[SeriesChoice, ...], reason: str, *, run_outcome: RunOutcome
) -> Finding:
    """Return the finding of a study in which no series was fit for the model, or could be read."""
    return Finding(
        outcome=Outcome.NOT_ANALYSED,
        run_outcome=run_outcome,
        reason=reason,
        warnings=model_warnings(how),
        choices=choices,
        series_instance_uid=None,
        selection_rule=how.rule_text,
        selection_threshold="",
        slices=(),
        operating_point=None,
        model=how.model,
        modality=how.spec.modality,
    )


def analysed(
    how: CtMethod, choices: tuple[SeriesChoice, ...], looked: LookedAt, scored: Sequence[Scored]
) -> Finding:
    """Return the finding of a series that was looked at.

    Parameters
    ----------
    how : CtMethod
    choices : tuple of SeriesChoice
        Exactly one of them is chosen.
    looked : LookedAt
    scored : sequence of Scored
        One for each kept slice, in that order; empty when the selection is not plausible.
    """
    chosen = next(choice for choice in choices if choice.chosen)
    slices = slice_scores(how, looked, scored)
    decision = decide(
        sum(item.positive for item in slices), len(scored), how.point, how.selection.minimum_selected
    )
    if looked.plausibility.reason is not None:
        decision = Decision(outcome=Outcome.UNDETERMINED, reason=looked.plausibility.reason)
    elif decision.outcome is Outcome.NEGATIVE and lungs_are_cut(how, looked):
        decision = Decision(
            outcome=Outcome.UNDETERMINED,
            reason=tell("decision.cut", reason=decision.reason),
        )
    return Finding(
        outcome=decision.outcome,
        run_outcome=ran_on(chosen),
        reason=decision.reason,
        warnings=(*model_warnings(how), *series_warnings(how, chosen, looked, scored)),
        choices=choices,
        series_instance_uid=chosen.series_instance_uid,
        selection_rule=how.rule_text,
        selection_threshold=str(looked.threshold),
        slices=slices,
        operating_point=how.point,
        model=how.model,
    )


def ran_on(chosen: SeriesChoice) -> RunOutcome:
    """Return the outcome of a run on a series, by whether all of it was there."""
    whole = chosen.state is SeriesState.COMPLETE
    return RunOutcome.SUCCEEDED if whole else RunOutcome.PARTIALLY_SUCCEEDED


def lungs_are_cut(how: CtMethod, looked: LookedAt) -> bool:
    """Whether a series that is long enough to hold the lungs begins or ends within them.

    Below the model's own minimum of slices an operator has asked for an answer on single slices.
    """
    at_an_end = {0, len(looked.sources) - 1} & set(looked.kept)
    return bool(at_an_end) and len(looked.sources) >= how.spec.selection.minimum_slices


def slice_scores(how: Method, looked: LookedAt, scored: Sequence[Scored]) -> tuple[SliceScore, ...]:
    """Return one record for each slice, from feet to head."""
    answers = dict(zip(looked.kept, scored, strict=True)) if scored else {}
    kept = frozenset(looked.kept)
    records = []
    for index, (source, count) in enumerate(zip(looked.sources, looked.counts, strict=True)):
        answer = answers.get(index)
        records.append(
            SliceScore(
                sop_class_uid=source.header.sop_class_uid,
                sop_instance_uid=source.header.sop_instance_uid,
                frame=source.frame,
                instance_number=source.header.instance_number,
                position=source.position,
                dark_count=count.count,
                selected=index in kept,
                probability=None if answer is None else answer.probability,
                positive=answer is not None and is_positive(answer.probability, how.point),
            )
        )
    return tuple(records)


def model_warnings(how: Method) -> tuple[str, ...]:
    """Return what limits every answer of this model."""
    warnings: list[str] = []
    if how.model.status is ModelStatus.UNTRAINED:
        warnings.append(tell("warning.untrained"))
    elif how.model.status is ModelStatus.DEMONSTRATION:
        warnings.append(tell(UNPROVEN[how.spec.modality]))
    if not how.point.validated:
        warnings.append(tell("warning.point", point=how.point.name, chosen_on=how.point.chosen_on))
    if how.source_probe:
        warnings.append(sentence(how.source_probe))
    return tuple(warnings)


def series_warnings(
    how: Method, chosen: SeriesChoice, looked: LookedAt, scored: Sequence[Scored]
) -> tuple[str, ...]:
    """Return what limits the answer for this series."""
    warnings = [*completeness_warnings(chosen)]
    few = how.spec.selection.minimum_slices
    if scored and len(scored) < few:
        key = "warning.one" if len(scored) == 1 else "warning.few"
        warnings.append(tell(key, count=len(scored), usual=few))
    warnings += age_warnings(how, [source.header for source in looked.sources])
    if scored and {0, len(looked.sources) - 1} & set(looked.kept):
        warnings.append(tell("warning.cut"))
    if looked.plausibility.note is not None:
        warnings.append(looked.plausibility.note)
    orientation = looked.sources[0].orientation
    if orientation.warning is not None:
        warnings.append(orientation.warning)
    elif orientation.rows_reversed or orientation.columns_reversed:
        warnings.append(tell("warning.turned"))
    whole = sum(item.framing is not Framing.LUNG_BOX for item in scored)
    if whole and how.spec.input.kind is InputKind.LUNG_WINDOW_BOX:
        warnings.append(tell("warning.whole", count=whole, scored=len(scored)))
    return tuple(warnings)


def completeness_warnings(chosen: SeriesChoice) -> list[str]:
    """Return that the series may be incomplete, where it may."""
    if chosen.state is SeriesState.COMPLETE:
        return []
    return [tell("warning.incomplete", reason=chosen.verdict_reason)]


def age_warnings(how: Method, headers: Sequence[InstanceHeader]) -> list[str]:
    """Return that the patient's age is unknown, where it is."""
    if any(header.patient_age_years is not None for header in headers):
        return []
    return [tell("warning.age", years=how.spec.scope.minimum_age_years)]


def rests_on_less(finding: Finding, former: Finding) -> bool:
    """Whether a finding rests on less than a former one, so that it must not take its place.

    Of images that were removed, a few may come again: a part of a chest says nothing about the whole one.

    Parameters
    ----------
    finding : Finding
    former : Finding
        Made when all images were here.
    """
    same_series = finding.series_instance_uid == former.series_instance_uid
    return former.scored > 0 and (finding.scored == 0 or (same_series and finding.received < former.received))


def with_asides(finding: Finding, count: int) -> Finding:
    """Return the finding with a warning when objects of the study were kept aside."""
    if not count:
        return finding
    warning = tell("warning.aside-one" if count == 1 else "warning.aside", count=count)
    return dataclasses.replace(finding, warnings=(*finding.warnings, warning))


def sentence(text: str) -> str:
    """Return a clause as a sentence."""
    clause = text.strip().rstrip(".")
    return f"{clause[:1].upper()}{clause[1:]}."
