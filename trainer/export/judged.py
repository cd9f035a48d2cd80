"""Whether another form of a network decides as the first one does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from node.domain.input_spec import InputSpec
from trainer.judge.evaluate import Scored


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What becomes of the decisions on single images when a network is stored or computed otherwise."""

    form: str
    """``float16`` weights, or the precision ``bf16`` or ``int8``."""
    images: int
    """Held-out images that were compared."""
    changed: int
    """Images that fall on the other side of the slice threshold of any operating point."""
    largest: float
    """Largest change of the positive class' probability; 0 without images."""

    @property
    def unchanged(self) -> bool:
        """Whether there were images and no decision changed."""
        return self.images > 0 and self.changed == 0

    @property
    def sentence(self) -> str:
        """The outcome in words, without a full stop."""
        if not self.images:
            return f"{self.form}: compared on no images"
        return (
            f"{self.form}: {self.changed} of {self.images} decisions changed, probabilities by up to "
            f"{self.largest:.2g}"
        )


def judged(form: str, truth: Sequence[Scored], other: Sequence[Scored], spec: InputSpec) -> Judgement:
    """Compare the scores of the same sets.

    Parameters
    ----------
    form : str
        What ``other`` was made with.
    truth, other : sequence of Scored
        The same images in the same order.
    spec : InputSpec
        Has the thresholds.
    """
    mine = np.concatenate([np.empty(0), *(one.scores for one in truth)])
    theirs = np.concatenate([np.empty(0), *(one.scores for one in other)])
    thresholds = np.array([point.slice_threshold for point in spec.operating_points])[:, None]
    changed = ((mine >= thresholds) != (theirs >= thresholds)).any(axis=0)
    return Judgement(
        form=form,
        images=len(mine),
        changed=int(changed.sum()),
        largest=float(np.abs(mine - theirs).max(initial=0.0)),
    )
