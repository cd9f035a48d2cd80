"""Figures by how and of whom images were taken, and what that alone tells of the class.

In a set where one class was reconstructed with other kernels or of other people than the other, a network can
learn the reconstruction or the age instead of the disease, and its AUC does not show it. So association is
measured over patients, and the AUC is also given within strata, where the attribute cannot help.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trainer.cases.case import Case
from trainer.judge.metrics import Figures, auc, figures

UNKNOWN: Final = "not known"
STRONG: Final = 0.3
"""Cramér's V from which an attribute counts as associated with the class (Cohen 1988: medium)."""
CHANCE: Final = 0.01
"""A stratum of one class is remarkable when as many patients drawn at random would be so more rarely."""
NAMED: Final = 5
"""Strata named in one sentence."""
AGES: Final = (18, 40, 60, 80)
"""Lower edges of the age bands, years."""


def _thickness(case: Case) -> str | None:
    return None if case.thickness is None else f"{case.thickness:.3g} mm"


def _age(case: Case) -> str | None:
    if case.age is None:
        return None
    below = [edge for edge in AGES if edge <= case.age]
    if not below:
        return f"under {AGES[0]}"
    above = [edge for edge in AGES if edge > case.age]
    return f"{below[-1]} to {above[0] - 1}" if above else f"{AGES[-1]} or more"


def _series_folder(case: Case) -> str | None:
    """Return SR_2, SR_3 or SR_4: differently reconstructed (Rahimzadeh et al. 2021, published headers)."""
    return case.series.rpartition("/")[2] if case.source == "covid-ctset" and case.series else None


ATTRIBUTES: Final[Mapping[str, Callable[[Case], str | None]]] = MappingProxyType(
    {
        "kernel": lambda case: case.kernel,
        "thickness": _thickness,
        "vendor": lambda case: case.vendor,
        "age": _age,
        "sex": lambda case: case.sex,
        "series folder": _series_folder,
        "file format": lambda case: case.image.suffix.lower() or None,
    }
)
"""Name -> the stratum of a case, None where it is not known."""
ALWAYS_ASKED: Final = ("kernel", "thickness", "vendor", "age", "sex")
"""A set that does not tell one of these is said not to."""


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """The images with one value of an attribute."""

    value: str
    figures: Figures
    one_class: bool
    chance: float
    """How likely as many patients drawn at random would all be of that one class; 1 where both are there."""


@dataclass(frozen=True, kw_only=True)
class Stratified:
    """A data set by one attribute."""

    attribute: str
    strata: tuple[Stratum, ...]
    cramers_v: float
    """Association with the class over patients, 0 to 1, corrected for chance (Bergsma 2013)."""
    attribute_auc: float | None
    """AUC that the attribute alone reaches on these images: what a network could have without any disease."""
    auc_within: float | None
    """Share of right pairs among those with the same value: what the score has beyond the attribute."""
    sentence: str
    """What the reader has to be told; empty when the attribute tells nothing of the class."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "attribute": self.attribute,
            "cramers_v": self.cramers_v,
            "attribute_auc": self.attribute_auc,
            "auc_within": self.auc_within,
            "sentence": self.sentence,
            "strata": [
                {"value": stratum.value, "one_class": stratum.one_class} | stratum.figures.as_json()
                for stratum in self.strata
            ],
        }


def stratify(cases: Sequence[Case], scores: NDArray[Any], threshold: float) -> tuple[Stratified, ...]:
    """Return a data set by every attribute that has several values.

    Parameters
    ----------
    cases : sequence of Case
    scores : array, shape (cases,)
    threshold : float
        Inclusive.
    """
    found = []
    for attribute, value_of in ATTRIBUTES.items():
        known = [value_of(case) for case in cases]
        if any(value is not None for value in known):
            values = [UNKNOWN if value is None else value for value in known]
            if len(set(values)) > 1:
                found.append(_by_attribute(attribute, values, cases, np.asarray(scores), threshold))
    return tuple(found)


def unknown_attributes(cases: Sequence[Case]) -> tuple[str, ...]:
    """Return which of `ALWAYS_ASKED` are known of no case."""
    return tuple(name for name in ALWAYS_ASKED if all(ATTRIBUTES[name](case) is None for case in cases))


def confounding(cases: Sequence[Case], strata: Sequence[Stratified]) -> list[str]:
    """Return the sentences about confounding that a report on a set of both classes has to hold.

    Parameters
    ----------
    cases : sequence of Case
    strata : sequence of Stratified
        From `stratify`.
    """
    if len({case.positive for case in cases}) < 2:
        return []
    sentences = [one.sentence for one in strata if one.sentence]
    if missing := unknown_attributes(cases):
        verb = "is" if len(missing) == 1 else "are"
        sentences.append(
            f"Of these images {_listed(missing)} {verb} not known: whether the score reads them instead of "
            "the disease cannot be told from this set."
        )
    return sentences


def _by_attribute(
    attribute: str, values: Sequence[str], cases: Sequence[Case], scores: NDArray[Any], threshold: float
) -> Stratified:
    positive = np.array([case.positive for case in cases], dtype=bool)
    groups, names = [case.group for case in cases], np.array(values)
    patients = sorted(
        {(group, value, flag) for group, value, flag in zip(groups, values, positive, strict=True)}
    )
    share = float(np.mean([flag for _, _, flag in patients]))
    strata = []
    for value in sorted(set(values), key=_by_number):
        chosen = np.flatnonzero(names == value)
        own = figures(scores[chosen], positive[chosen], [groups[index] for index in chosen], threshold)
        one_class = own.positives in {0, own.images}
        odds = share if own.positives else 1 - share
        strata.append(
            Stratum(
                value=value,
                figures=own,
                one_class=one_class,
                chance=odds**own.groups if one_class else 1.0,
            )
        )
    association = cramers_v([value for _, value, _ in patients], [bool(flag) for *_, flag in patients])
    both = bool(positive.any() and not positive.all())
    rates = {one.value: one.figures.positives / one.figures.images for one in strata}
    alone = auc(np.array([rates[value] for value in values]), positive) if both else None
    within = auc_within(scores, positive, names)
    return Stratified(
        attribute=attribute,
        strata=tuple(strata),
        cramers_v=association,
        attribute_auc=alone,
        auc_within=within,
        sentence=_sentence(attribute, strata, association, alone, within) if both else "",
    )


def _sentence(
    attribute: str, strata: Sequence[Stratum], association: float, alone: float | None, within: float | None
) -> str:
    apart = [one for one in strata if one.chance < CHANCE]
    if association < STRONG and not apart:
        return ""
    parts = [f"{attribute.capitalize()} and class are confounded in this set (Cramér's V {association:.2f}"]
    parts.append(f"; {attribute} alone reaches AUC {alone:.2f})" if alone is not None else ")")
    if apart:
        images = sum(one.figures.images for one in apart)
        parts.append(f"; of one class only: {_listed([one.value for one in apart])} ({images} images)")
    parts.append(f". The score may have learned the {attribute} instead of the disease")
    if within is None:
        parts.append("; no stratum has both classes, so this set cannot tell.")
    else:
        parts.append(f"; among images with the same {attribute} its AUC is {within:.2f}.")
    return "".join(parts)


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:NAMED])
    if len(names) > NAMED:
        shown.append(f"{len(names) - NAMED} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _by_number(value: str) -> tuple[bool, float, str]:
    """Sort strata by the number that they begin with, the unknown last."""
    digits = value.removeprefix("under ").partition(" ")[0]
    number = float(digits) if digits.replace(".", "", 1).isdigit() else 0.0
    return value == UNKNOWN, number - value.startswith("under "), value


def cramers_v(values: Sequence[str], positive: Sequence[bool]) -> float:
    """Return Cramér's V of an attribute and the class, corrected for chance; 0 where nothing varies.

    Source: Bergsma 2013, "A bias-correction for Cramér's V and Tschuprow's T".

    Parameters
    ----------
    values : sequence of str
    positive : sequence of bool
    """
    names, place = np.unique(np.array(values), return_inverse=True)
    table = np.zeros((len(names), 2))
    np.add.at(table, (place, np.array(positive, dtype=np.intp)), 1)
    count = table.sum()
    if count < 2 or len(names) < 2 or not table.sum(axis=0).all():
        return 0.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / count
    square = float(((table - expected) ** 2 / expected).sum() / count)
    rows, columns = table.shape
    corrected = max(0.0, square - (rows - 1) * (columns - 1) / (count - 1))
    freedom = min(rows - (rows - 1) ** 2 / (count - 1), columns - (columns - 1) ** 2 / (count - 1)) - 1
    return min(1.0, math.sqrt(corrected / freedom)) if freedom > 0 else 0.0


def auc_within(scores: NDArray[Any], positive: NDArray[np.bool_], values: NDArray[Any]) -> float | None:
    """Return the AUC over pairs of one stratum only; None where no stratum has both classes.

    Parameters
    ----------
    scores, positive, values : arrays, shape (n,)
    """
    right = pairs = 0.0
    for value in np.unique(values):
        chosen = values == value
        own = float(positive[chosen].sum()) * float((~positive[chosen]).sum())
        if own:
            right += own * auc(scores[chosen], positive[chosen])
            pairs += own
    return right / pairs if pairs else None


def as_json(strata: Sequence[Stratified]) -> list[dict[str, Any]]:
    """Return plain values for JSON."""
    return [one.as_json() for one in strata]
