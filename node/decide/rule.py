"""From the scores of the selected slices to the answer for a study (Rahimzadeh et al. 2021, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

from node.domain.result import OperatingPoint, Outcome
from node.domain.wording import tell


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The answer and the sentence that goes with it."""

    outcome: Outcome
    reason: str


def is_positive(probability: float, point: OperatingPoint) -> bool:
    """Whether a slice's score reaches the slice threshold (inclusive)."""
    return probability >= point.slice_threshold


def decide(k: int, n: int, point: OperatingPoint, minimum_selected: int) -> Decision:
    """Decide on a study by the share of positive slices among the selected ones.

    The comparison is made with integers, so no study turns on how a fraction is rounded, and an empty
    selection can never satisfy it.

    Parameters
    ----------
    k : int
        Number of positive slices among the selected ones.
    n : int
        Number of selected slices, each with a score.
    point : OperatingPoint
        Its ``share`` is inclusive.
    minimum_selected : int
        Below this many selected slices nothing is decided.

    Raises
    ------
    ValueError
        When ``k`` is not within 0..n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} positive slices of {n} selected ones is impossible")
    if n == 0:
        return Decision(outcome=Outcome.UNDETERMINED, reason=tell("decision.nothing-selected"))
    if n < minimum_selected:
        return Decision(
            outcome=Outcome.UNDETERMINED,
            reason=tell("decision.too-few", n=n, needed=minimum_selected),
        )
    reached = k * point.share.denominator >= point.share.numerator * n
    return Decision(
        outcome=Outcome.POSITIVE if reached else Outcome.NEGATIVE,
        reason=tell(
            "decision.slices",
            k=k,
            n=n,
            threshold=point.slice_threshold,
            percent=100 * k / n,
            point=point.name,
            share=point.share,
            share_percent=100 * float(point.share),
        ),
    )
