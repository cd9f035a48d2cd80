"""What an engine's answer must be, whichever engine gave it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import ScoresInvalid

ROUNDING = 1e-3
"""How far an answer may leave its range by rounding; it is clipped."""

Scores = NDArray[np.float32]


def verified(model: str, classes: int, count: int, answer: tuple[Scores, Scores]) -> tuple[Scores, Scores]:
    """Return an engine's answer within its range, or refuse it.

    Parameters
    ----------
    model : str
        Name of the model, for the message.
    classes : int
        Classes of the model.
    count : int
        Slices of the batch.
    answer : tuple of float32 arrays
        Probabilities of shape (slices, classes), maps of shape (slices, grid rows, grid columns).

    Raises
    ------
    ScoresInvalid
        The answer has another shape, is not finite, or leaves its range by more than rounding.
    """
    probabilities, cam = answer
    if probabilities.shape != (count, classes) or cam.ndim != 3 or len(cam) != count:
        raise ScoresInvalid(
            f"{model} answered shapes {probabilities.shape} and {cam.shape} to {count} slices"
        )
    if not (np.isfinite(probabilities).all() and np.isfinite(cam).all()):
        raise ScoresInvalid(f"{model} answered values that are not finite")
    excess = max(-probabilities.min(initial=0), probabilities.max(initial=0) - 1, -cam.min(initial=0))
    if excess > ROUNDING:
        raise ScoresInvalid(f"{model} answered values outside their range")
    return probabilities.clip(0, 1), cam.clip(0, None)
