"""Folds whose borders never cut a group and whose neighbours keep a distance."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.cases.case import Case
from trainer.errors import EmptyClass


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One division of a training part."""

    train: tuple[Case, ...]
    """Cases to learn from."""
    validation: tuple[Case, ...]
    """Cases to judge by; no group of theirs, nor a guarded neighbour, is in ``train``."""


def grouped_folds(cases: list[Case], count: int, guard: int) -> list[Fold]:
    """Cut each class into ``count`` runs of consecutive groups; each run is one fold's validation part.

    Patients that are known only as runs of numbers may reach over the border of a block. So the groups
    next to a validation run, ``guard`` on each side, are left out of that fold's training part.

    Parameters
    ----------
    cases : list of Case
    count : int
        Folds, at least 2.
    guard : int
        Groups left out on each side of a validation run.

    Returns
    -------
    list of Fold
        Every case is in exactly one validation part.

    Raises
    ------
    EmptyClass
        A class has fewer groups than folds, or a fold's training part lacks a class.
    """
    fold_of: dict[str, int] = {}
    guarded: list[set[str]] = [set() for _ in range(count)]
    for positive in (True, False):
        groups = sorted({case.group for case in cases if case.positive is positive})
        if len(groups) < count:
            raise EmptyClass(
                f"the {'COVID' if positive else 'non-COVID'} class has {len(groups)} groups, fewer than "
                f"the {count} folds; give more data or ask for fewer folds"
            )
        for index, group in enumerate(groups):
            fold_of[group] = index * count // len(groups)
        for index, group in enumerate(groups):
            near = {fold_of[other] for other in groups[max(0, index - guard) : index + guard + 1]}
            for fold in near - {fold_of[group]}:
                guarded[fold].add(group)
    folds = []
    for number in range(count):
        validation = tuple(case for case in cases if fold_of[case.group] == number)
        train = tuple(
            case for case in cases if fold_of[case.group] != number and case.group not in guarded[number]
        )
        if {case.positive for case in train} != {True, False}:
            raise EmptyClass(
                f"fold {number} has no training case of one class; ask for fewer folds or a smaller guard"
            )
        folds.append(Fold(train=train, validation=validation))
    return folds
