"""Division of cases into parts without cutting a patient, or the nearest thing to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trainer.cases.case import Case
from trainer.errors import EmptyClass


def grouped_split(cases: Sequence[Case], share: float, part: str, seed: int) -> list[Case]:
    """Move groups drawn at random to another part until it holds a share of each class's groups.

    A group with images of both classes counts as positive, and goes as a whole.

    Parameters
    ----------
    cases : sequence of Case
    share : float
        Of the groups, above 0 and below 1.
    part : str
        Name of the part that they go to: ``val`` or ``test``. All others go to ``train``.
    seed : int

    Returns
    -------
    list of Case
        In the order given.

    Raises
    ------
    EmptyClass
        A class has fewer than two groups.
    """
    positive = {case.group for case in cases if case.positive}
    moved: set[str] = set()
    for flag, groups in ((True, positive), (False, {case.group for case in cases} - positive)):
        if len(groups) < 2:
            raise EmptyClass(
                f"the {'positive' if flag else 'negative'} class has {len(groups)} groups: too few to divide"
            )
        order = np.random.default_rng([seed, int(flag)]).permutation(sorted(groups)).tolist()
        count = min(max(round(share * len(order)), 1), len(order) - 1)
        moved |= set(order[:count])
    return [replace(case, split=part if case.group in moved else "train") for case in cases]
