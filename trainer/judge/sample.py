"""Scores with their truth and groups: what every figure and every picture is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.judge.curves import Ranked
from trainer.judge.metrics import Figures, figures


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Judged images."""

    name: str
    """As the legend says it."""
    scores: NDArray[Any]
    """Shape (n,): probability of the positive class."""
    positive: NDArray[np.bool_]
    """Shape (n,)."""
    groups: Sequence[str]
    """Length n: the patients, or the nearest thing to them."""
    threshold: float = 0.5
    """Inclusive."""

    @cached_property
    def ranked(self) -> Ranked:
        """The scores in order."""
        return Ranked(self.scores, self.positive)

    @cached_property
    def figures(self) -> Figures:
        """All figures at the threshold."""
        return figures(self.scores, self.positive, self.groups, self.threshold)

    @property
    def size(self) -> str:
        """How many images of how many groups, in words."""
        return size_in_words(len(self.positive), len(set(self.groups)))


def size_in_words(images: int, groups: int | None = None) -> str:
    """Return how many images of how many groups there are."""
    counted = f"{images} image" + ("" if images == 1 else "s")
    return counted if groups is None else f"{counted}, {groups} group" + ("" if groups == 1 else "s")
