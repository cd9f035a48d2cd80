"""Patients judged as the node judges a study: its selection, its choice among series, its rule.

Every series is decided on its own (Rahimzadeh et al. 2021, section 3.2, through `node.decide.rule`). An empty
or implausible selection is undetermined, never positive; so is a negative answer on a series that begins or
ends within the lungs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from node.decide.choice import Criteria, choose
from node.decide.rule import Decision, decide, is_positive
from node.domain.input_spec import InputSpec
from node.domain.network import CapPolicy
from node.domain.result import OperatingPoint, Outcome
from trainer.judge.metrics import Counts, count, rate_intervals
from trainer.judge.resampling import Interval
from trainer.judge.series import LookedSeries

RULE_WITH_HEADERS: Final = (
    "of each study the series that the node chooses; the patient is positive when one study is, negative "
    "when all are, otherwise undetermined"
)
RULE_WITHOUT_HEADERS: Final = (
    "the first series long enough, by name (SR_2 of COVID-CTset, on which its authors judged patients): "
    "without DICOM headers the node's choice cannot be made"
)


@dataclass(frozen=True, kw_only=True)
class SeriesDecision:
    """What the node would say on one series."""

    series: str
    patient: str
    study: str
    slices: int
    selected: int
    positive_slices: int
    outcome: Outcome
    reason: str
    chosen: bool
    """Whether the patient's answer rests on it."""
    choice: str
    """Why it was chosen or not."""


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """What is thought of one series before its scores are looked at."""

    chosen: bool
    eligible: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class PatientDecision:
    """What the node would say on one patient."""

    patient: str
    positive: bool
    """Whether the set labels one of the patient's series as positive."""
    outcome: Outcome
    reason: str


@dataclass(frozen=True, kw_only=True)
class PatientFigures:
    """Patients at one operating point.

    ``sensitivity`` and ``specificity`` are of the patients that were decided on; ``found`` and ``cleared``
    are of all, so that an undetermined patient counts as neither found nor cleared.
    """

    patients: int
    positives: int
    counts: Counts
    """Of the patients that were decided on."""
    undetermined_positives: int
    """Undetermined or not analysed."""
    undetermined_negatives: int
    sensitivity: float | None
    sensitivity_interval: Interval | None
    """95 %, bootstrap over patients."""
    specificity: float | None
    specificity_interval: Interval | None
    accuracy: float | None
    found: float | None
    """Positive answers of all positive patients."""
    cleared: float | None
    """Negative answers of all negative patients."""


def decide_series(
    look: LookedSeries, scores: NDArray[Any], spec: InputSpec, point: OperatingPoint
) -> Decision:
    """Decide on one series as the node does when it was chosen.

    Parameters
    ----------
    look : LookedSeries
    scores : array, shape (selected slices,)
    spec : InputSpec
    point : OperatingPoint
    """
    minima = spec.selection
    if len(look.cases) < minima.minimum_slices:
        reason = f"Too few slices: {len(look.cases)}, at least {minima.minimum_slices} needed."
        return Decision(outcome=Outcome.NOT_ANALYSED, reason=reason)
    if look.plausibility.reason is not None:
        text = look.plausibility.reason
        return Decision(outcome=Outcome.UNDETERMINED, reason=f"{text[:1].upper()}{text[1:]}.")
    positive = sum(is_positive(float(score), point) for score in scores)
    decision = decide(positive, len(scores), point, minima.minimum_selected)
    if decision.outcome is Outcome.NEGATIVE and not look.whole:
        return Decision(
            outcome=Outcome.UNDETERMINED,
            reason="The lungs reach the first or the last slice, so a part of them was not seen and no "
            f"negative answer is given. {decision.reason}",
        )
    return decision


def decide_all(
    looks: Sequence[LookedSeries],
    scores: Sequence[NDArray[Any]],
    spec: InputSpec,
    point: OperatingPoint,
) -> tuple[tuple[SeriesDecision, ...], tuple[PatientDecision, ...]]:
    """Decide on every series and every patient of a data set at one operating point.

    Parameters
    ----------
    looks : sequence of LookedSeries
    scores : sequence of arrays
        Scores of each series' selected slices.
    spec : InputSpec
    point : OperatingPoint
    """
    choices = _choices(looks, spec)
    decisions = []
    for look, own in zip(looks, scores, strict=True):
        choice = choices[look.patient, look.name]
        made = decide_series(look, own, spec, point)
        if not choice.eligible:
            made = Decision(outcome=Outcome.NOT_ANALYSED, reason=choice.reason)
        decisions.append(
            SeriesDecision(
                series=look.name,
                patient=look.patient,
                study=look.study,
                slices=len(look.cases),
                selected=len(look.kept),
                positive_slices=sum(is_positive(float(score), point) for score in own),
                outcome=made.outcome,
                reason=made.reason,
                chosen=choice.chosen,
                choice=choice.reason,
            )
        )
    patients = sorted({look.patient for look in looks})
    truth = {look.patient for look in looks if look.positive}
    return tuple(decisions), tuple(
        _patient(name, name in truth, [one for one in decisions if one.patient == name]) for name in patients
    )


def _choices(looks: Sequence[LookedSeries], spec: InputSpec) -> dict[tuple[str, str], _Choice]:
    """Return what is thought of each series, by patient and name."""
    criteria = Criteria.from_spec(spec, CapPolicy.SKIP_AND_NOTIFY)
    studies: dict[tuple[str, str], list[LookedSeries]] = {}
    for look in looks:
        studies.setdefault((look.patient, look.study), []).append(look)
    choices: dict[tuple[str, str], _Choice] = {}
    for (patient, _), members in studies.items():
        for made in choose([look.facts for look in members if look.facts is not None], criteria):
            choices[patient, made.series_instance_uid] = _Choice(
                chosen=made.chosen, eligible=made.eligible, reason=made.reason
            )
        bare = sorted((look for look in members if look.facts is None), key=lambda look: look.name)
        choices |= {
            (patient, look.name): choice
            for look, choice in zip(bare, _first_long_enough(bare, criteria.minimum_slices), strict=True)
        }
    return choices


def _first_long_enough(looks: Sequence[LookedSeries], minimum: int) -> list[_Choice]:
    choices: list[_Choice] = []
    for look in looks:
        if len(look.cases) < minimum:
            reason = f"Not analysed: too few slices: {len(look.cases)}, at least {minimum} needed."
            choices.append(_Choice(chosen=False, eligible=False, reason=reason))
        elif any(choice.chosen for choice in choices):
            choices.append(_Choice(chosen=False, eligible=True, reason="Fit, but another comes first."))
        else:
            choices.append(_Choice(chosen=True, eligible=True, reason="Chosen: the first long enough."))
    return choices


def _patient(name: str, positive: bool, decisions: Sequence[SeriesDecision]) -> PatientDecision:
    relied_on = [one for one in decisions if one.chosen]
    outcomes = {one.outcome for one in relied_on}
    if not relied_on:
        outcome = Outcome.NOT_ANALYSED
        reason = " ".join(
            dict.fromkeys(["No series is fit for the model.", *(one.reason for one in decisions)])
        )
    elif Outcome.POSITIVE in outcomes:
        outcome = Outcome.POSITIVE
        reason = next(one.reason for one in relied_on if one.outcome is outcome)
    elif len(outcomes) == 1 and len({one.study for one in decisions}) == len(relied_on):
        outcome, reason = relied_on[0].outcome, relied_on[0].reason
    else:
        outcome = Outcome.UNDETERMINED
        reason = next(
            (one.reason for one in relied_on if one.outcome is not Outcome.NEGATIVE),
            "A study of the patient has no series that is fit for the model.",
        )
    return PatientDecision(patient=name, positive=positive, outcome=outcome, reason=reason)


def patient_figures(decisions: Sequence[PatientDecision]) -> PatientFigures:
    """Return sensitivity and specificity over patients, with those that were not decided on counted apart."""
    decided = [one for one in decisions if one.outcome in {Outcome.POSITIVE, Outcome.NEGATIVE}]
    called = np.array([one.outcome is Outcome.POSITIVE for one in decided], dtype=bool)
    positive = np.array([one.positive for one in decided], dtype=bool)
    intervals = rate_intervals(called, positive, [one.patient for one in decided]) if decided else {}
    counts = count(called, positive, 0.5)
    positives = sum(one.positive for one in decisions)
    negatives = len(decisions) - positives
    return PatientFigures(
        patients=len(decisions),
        positives=positives,
        counts=counts,
        undetermined_positives=positives - int(positive.sum()),
        undetermined_negatives=negatives - int((~positive).sum()),
        sensitivity=counts.sensitivity,
        sensitivity_interval=intervals.get("sensitivity"),
        specificity=counts.specificity,
        specificity_interval=intervals.get("specificity"),
        accuracy=counts.accuracy,
        found=counts.true_positive / positives if positives else None,
        cleared=counts.true_negative / negatives if negatives else None,
    )


def patient_report(
    looks: Sequence[LookedSeries], scores: Sequence[NDArray[Any]], spec: InputSpec, labelled: bool
) -> dict[str, Any]:
    """Return decisions on series and patients at every operating point of a bundle, as plain values.

    Parameters
    ----------
    looks : sequence of LookedSeries
        At least one.
    scores : sequence of arrays
    spec : InputSpec
    labelled : bool
        Whether the set knows who has COVID-19; figures need that.
    """
    bare = looks[0].facts is None
    points = {}
    for point in spec.operating_points:
        series, patients = decide_all(looks, scores, spec, point)
        points[point.name] = {
            "slice_threshold": point.slice_threshold,
            "share": float(point.share),
            "active": point.name == spec.active_point,
            "outcomes": dict(sorted(Counter(one.outcome.value for one in patients).items())),
            "figures": asdict(patient_figures(patients)) if labelled else None,
            "patients": [
                asdict(one) | ({} if labelled else {"positive": None}) | {"outcome": one.outcome.value}
                for one in patients
            ],
            "series": [asdict(one) | {"outcome": one.outcome.value} for one in series],
        }
    return {"rule": RULE_WITHOUT_HEADERS if bare else RULE_WITH_HEADERS, "points": points}
