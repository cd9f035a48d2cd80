"""What ``index`` prints of a data set: counts, and what would spoil a figure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.cases.case import GROUPED_BY, Case


@dataclass(frozen=True, kw_only=True)
class Part:
    """One class of one split."""

    split: str
    positive: bool
    images: int
    groups: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A data set at a glance."""

    grouped_by: str
    parts: tuple[Part, ...]
    warnings: tuple[str, ...]


def summarise(cases: Sequence[Case]) -> Summary:
    """Count a data set and look for leaks.

    Warned of: the same file twice, worse across splits or classes; groups that stand in several splits; a
    class that its file format gives away.
    """
    keys = sorted({(case.split, case.positive) for case in cases}, key=lambda key: (key[0], not key[1]))
    parts = []
    for split, positive in keys:
        chosen = [case for case in cases if (case.split, case.positive) == (split, positive)]
        parts.append(
            Part(
                split=split, positive=positive, images=len(chosen), groups=len({one.group for one in chosen})
            )
        )
    warnings = [*_duplicates(cases), *_shared_groups(cases), *_formats(cases)]
    return Summary(grouped_by=GROUPED_BY[cases[0].source], parts=tuple(parts), warnings=tuple(warnings))


def _duplicates(cases: Sequence[Case]) -> list[str]:
    same: dict[str, list[Case]] = {}
    for case in cases:
        same.setdefault(hashlib.sha256(case.image.read_bytes()).hexdigest(), []).append(case)
    repeated = [group for group in same.values() if len(group) > 1]
    warnings = []
    if repeated:
        warnings.append(
            f"{len(repeated)} images are there more than once, byte for byte, for example "
            f"{repeated[0][0].image.name}"
        )
    for what, values in (
        ("splits", [{case.split for case in group} for group in repeated]),
        ("classes", [{case.positive for case in group} for group in repeated]),
    ):
        if across := sum(len(value) > 1 for value in values):
            warnings.append(f"{across} of them stand in several {what}: a figure on them is worth nothing")
    return warnings


def _shared_groups(cases: Sequence[Case]) -> list[str]:
    splits: dict[str, set[str]] = {}
    for case in cases:
        splits.setdefault(case.group, set()).add(case.split)
    shared = sorted(group for group, where in splits.items() if len(where) > 1)
    return [f"{len(shared)} groups stand in several splits, the first {shared[0]}"] if shared else []


def _formats(cases: Sequence[Case]) -> list[str]:
    by_class = {
        flag: Counter(case.image.suffix.lower() for case in cases if case.positive is flag)
        for flag in (True, False)
    }
    own = [
        suffix
        for suffix in by_class[True] | by_class[False]
        if not by_class[True][suffix] * by_class[False][suffix]
    ]
    if not own or not by_class[True] or not by_class[False]:
        return []
    return [f"files {', '.join(sorted(own))} stand in one class only: the format gives the class away"]
