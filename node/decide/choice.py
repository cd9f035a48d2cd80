"""Which series of a study is screened: of those fit for the model the best one, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.decide.body_part import other_body_part
from node.decide.fitness import unfit
from node.decide.kernels import KernelKind, kernel_kind
from node.decide.series_facts import CT_SOP_CLASSES, Criteria, SeriesFacts
from node.domain.result import SeriesChoice
from node.domain.study import SeriesState, Verdict
from node.domain.wording import Told, tell

__all__ = ["REFUSED", "Criteria", "SeriesFacts", "choose", "holds_chest_ct", "judged", "second"]

REFUSED: Final = "choice.refused"
"""Of the reasons, the phrase about a series that is not fit."""
COVERING_SHARE = 0.8
"""Where no series is known to hold the whole lungs, one this long, relative to the longest fit one, covers
the chest as far as the study does."""

KERNEL_NAMES = {
    KernelKind.LUNG: tell("choice.kernel-lung"),
    KernelKind.SHARP: tell("choice.kernel-sharp"),
    KernelKind.UNKNOWN: tell("choice.kernel-unknown"),
    KernelKind.SOFT: tell("choice.kernel-soft"),
}


@dataclass(frozen=True, kw_only=True, order=True)
class Rank:
    """The place of a fit series: the smaller, the better; compared field by field."""

    incomplete: bool
    short: bool
    """Covers less of the lungs than another fit series, as far as is known; length alone says little, for the
    longest series of a study may show the abdomen."""
    kernel: KernelKind
    thickness_distance: float
    """From the middle of the thicknesses the model was made for, in tenths of a millimetre."""
    fewer_slices: int
    series_number: int
    series_instance_uid: str


DIFFERENCES = {
    "incomplete": tell("choice.is-complete"),
    "short": tell("choice.covers-more"),
    "kernel": tell("choice.better-kernel"),
    "thickness_distance": tell("choice.better-thickness"),
    "fewer_slices": tell("choice.more-slices"),
    "series_number": tell("choice.first-number"),
    "series_instance_uid": tell("choice.first-uid"),
}


def choose(facts: Sequence[SeriesFacts], criteria: Criteria) -> tuple[SeriesChoice, ...]:
    """Judge every series of a study and choose at most one.

    Parameters
    ----------
    facts : sequence of SeriesFacts
        All series of the study.
    criteria : Criteria

    Returns
    -------
    tuple of SeriesChoice
        One a series, in the order given; the outcome does not depend on that order.
    """
    refusals = [unfit(item, criteria) for item in facts]
    fit = [item for item, refusal in zip(facts, refusals, strict=True) if refusal is None]
    ranks = {item.series.series_instance_uid: _rank(item, fit, criteria) for item in fit}
    best = min(fit, key=lambda item: ranks[item.series.series_instance_uid], default=None)
    choices = []
    for item, refusal in zip(facts, refusals, strict=True):
        if refusal is not None:
            reason = tell(REFUSED, why=refusal)
        elif item is best:
            reason = tell("choice.chosen", features=_features(item))
        else:
            assert best is not None  # noqa: S101 -- a fit series makes a best one
            reason = _second(item, best, ranks)
        choices.append(judged(item, chosen=item is best, eligible=refusal is None, reason=reason))
    return tuple(choices)


def holds_chest_ct(facts: Sequence[SeriesFacts]) -> bool:
    """Whether a study holds a CT of the chest, or of a body part that is not known: then a report is due.

    Parameters
    ----------
    facts : sequence of SeriesFacts
        All series of the study.
    """
    return any(
        item.headers
        and item.first.modality == "CT"
        and any(header.sop_class_uid in CT_SOP_CLASSES for header in item.headers)
        and other_body_part(item.first) is None
        for item in facts
    )


def _rank(facts: SeriesFacts, fit: Sequence[SeriesFacts], criteria: Criteria) -> Rank:
    thickness = facts.thickness
    distance = abs(thickness - criteria.preferred_thickness) if thickness is not None else float("inf")
    number = facts.series.series_number
    return Rank(
        incomplete=facts.series.state is SeriesState.INCOMPLETE,
        short=_is_short(facts, fit),
        kernel=kernel_kind(facts.first),
        thickness_distance=round(distance, 1),
        fewer_slices=-facts.slice_count,
        series_number=number if number is not None else 2**31,
        series_instance_uid=facts.series.series_instance_uid,
    )


def _is_short(facts: SeriesFacts, fit: Sequence[SeriesFacts]) -> bool:
    if _holds_whole_lungs(facts):
        return False
    longest = max(item.extent for item in fit)
    return any(map(_holds_whole_lungs, fit)) or facts.extent < COVERING_SHARE * longest


def _holds_whole_lungs(facts: SeriesFacts) -> bool:
    """Whether the series was seen to begin and to end beyond the lungs."""
    return facts.series.verdict is Verdict.GEOMETRY or facts.series.whole_lungs


def _features(facts: SeriesFacts) -> Told:
    kernel = facts.first.convolution_kernel
    kind = KERNEL_NAMES[kernel_kind(facts.first)]
    named = tell("choice.kernel", kind=kind, name=kernel) if kernel else kind
    count, extent = facts.slice_count, facts.extent
    if facts.thickness is None:
        return tell("choice.features", kernel=named, count=count, extent=extent)
    return tell(
        "choice.features-thickness", kernel=named, thickness=facts.thickness, count=count, extent=extent
    )


def _second(facts: SeriesFacts, best: SeriesFacts, ranks: dict[str, Rank]) -> Told:
    mine, chosen = ranks[facts.series.series_instance_uid], ranks[best.series.series_instance_uid]
    field = next(name for name in DIFFERENCES if getattr(mine, name) != getattr(chosen, name))
    return second(_features(facts), best, DIFFERENCES[field])


def second(features: Told, best: SeriesFacts, difference: Told) -> Told:
    """Return why a fit series was not chosen."""
    number = best.series.series_number
    name = tell("choice.another") if number is None else tell("choice.series", number=number)
    return tell("choice.second", features=features, series=name, difference=difference)


def judged(facts: SeriesFacts, *, chosen: bool, eligible: bool, reason: str) -> SeriesChoice:
    """Return the record of what was thought of a series."""
    series = facts.series
    return SeriesChoice(
        series_instance_uid=series.series_instance_uid,
        series_number=series.series_number,
        series_description=series.series_description,
        modality=series.modality,
        instance_count=series.instance_count,
        state=series.state,
        verdict=series.verdict,
        verdict_reason=series.verdict_reason,
        chosen=chosen,
        eligible=eligible,
        reason=reason,
    )
