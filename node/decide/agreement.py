"""How far two models agree on the same studies."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from node.domain.result import Outcome


@dataclass(frozen=True, kw_only=True)
class StudyScore:
    """What one model made of one study."""

    study_id: int
    """Row of the study."""
    study_instance_uid: str
    arrived_at: datetime
    """When the study's first object arrived."""
    version: int
    """Of the model."""
    outcome: Outcome
    mean_probability: float | None
    """Mean score over the scored images; None when none was scored."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One study under two models."""

    first: StudyScore
    second: StudyScore

    @property
    def analysed(self) -> bool:
        """Whether at least one of the two has analysed the study."""
        return {self.first.outcome, self.second.outcome} != {Outcome.NOT_ANALYSED}

    @property
    def changed(self) -> bool:
        """Whether the two come to different answers."""
        return self.first.outcome is not self.second.outcome

    @property
    def difference(self) -> float | None:
        """The second's mean score minus the first's; None where one has no score."""
        first, second = self.first.mean_probability, self.second.mean_probability
        return None if first is None or second is None else second - first


@dataclass(frozen=True, kw_only=True)
class Week:
    """The mean scores of the studies of one week."""

    week: str
    """ISO 8601, by the arrival in UTC, for example ``2026-W05``."""
    studies: int
    """Scored by both."""
    first: float
    second: float


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two models agree."""

    pairs: tuple[Pair, ...]
    """Every study that both have judged, and one at least has analysed, in the order of arrival."""
    outcomes: dict[tuple[Outcome, Outcome], int]
    """How many studies got which two answers."""
    kappa: float | None
    """Cohen's kappa over the answers (Cohen 1960); None without studies, or where chance always agrees."""
    mean_difference: float | None
    """Of the scores, second minus first; None without scores."""
    deviation: float | None
    """Standard deviation of the differences (divided by n - 1); None with fewer than two."""
    largest_difference: float | None
    """Largest absolute difference."""
    weeks: tuple[Week, ...]
    """In order; a drift of one model shows as a change of its mean while the other's stays."""

    @property
    def studies(self) -> int:
        """How many studies both have judged."""
        return len(self.pairs)

    @property
    def changes(self) -> tuple[Pair, ...]:
        """The studies on which they differ."""
        return tuple(pair for pair in self.pairs if pair.changed)

    @property
    def agreement(self) -> float | None:
        """Share of studies on which they agree; None without studies."""
        return 1 - len(self.changes) / self.studies if self.pairs else None


def compare(first: Sequence[StudyScore], second: Sequence[StudyScore]) -> Agreement:
    """Compare two models over the studies that both have judged.

    One that neither could analyse says nothing of how they agree, and would make any two look alike.

    Parameters
    ----------
    first, second : sequence of StudyScore
        At most one a study.
    """
    others = {item.study_id: item for item in second}
    both = [Pair(first=item, second=others[item.study_id]) for item in first if item.study_id in others]
    told = [pair for pair in both if pair.analysed]
    pairs = tuple(sorted(told, key=lambda pair: (pair.first.arrived_at, pair.first.study_id)))
    differences = [pair.difference for pair in pairs if pair.difference is not None]
    mean = sum(differences) / len(differences) if differences else None
    return Agreement(
        pairs=pairs,
        outcomes=dict(Counter((pair.first.outcome, pair.second.outcome) for pair in pairs)),
        kappa=_kappa(pairs),
        mean_difference=mean,
        deviation=_deviation(differences),
        largest_difference=max(map(abs, differences)) if differences else None,
        weeks=_weeks(pairs),
    )


def _kappa(pairs: Sequence[Pair]) -> float | None:
    if not pairs:
        return None
    count = len(pairs)
    firsts = Counter(pair.first.outcome for pair in pairs)
    seconds = Counter(pair.second.outcome for pair in pairs)
    chance = sum(firsts[outcome] * seconds[outcome] for outcome in Outcome)
    if chance == count * count:
        return None
    observed = sum(not pair.changed for pair in pairs)
    return (observed * count - chance) / (count * count - chance)


def _deviation(differences: Sequence[float]) -> float | None:
    if len(differences) < 2:
        return None
    mean = sum(differences) / len(differences)
    return math.sqrt(sum((item - mean) ** 2 for item in differences) / (len(differences) - 1))


def _weeks(pairs: Sequence[Pair]) -> tuple[Week, ...]:
    scores: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for pair in pairs:
        first, second = pair.first.mean_probability, pair.second.mean_probability
        if first is not None and second is not None:
            scores[_week(pair.first.arrived_at)].append((first, second))
    return tuple(
        Week(
            week=week,
            studies=len(found),
            first=sum(item for item, _ in found) / len(found),
            second=sum(item for _, item in found) / len(found),
        )
        for week, found in sorted(scores.items())
    )


def _week(at: datetime) -> str:
    year, week, _ = at.isocalendar()
    return f"{year}-W{week:02d}"
