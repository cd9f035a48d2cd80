"""What a network is fitted to lower: one loss a picture, to be averaged over a step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from node.domain.input_spec import OutputSpec
from trainer.feed.targets import Loss as Kind
from trainer.feed.targets import require_every_output

Loss = Callable[[Tensor, Tensor], Tensor]
"""(scores [n, outputs], targets [n, outputs]) -> losses [n]."""


def loss_of(kind: str, targets: NDArray[np.float32], outputs: OutputSpec, weighted: bool) -> Loss:
    """Return the loss for a training part.

    Parameters
    ----------
    kind : str
        ``softmax`` or ``sigmoid``.
    targets : float32 array, shape (n, outputs)
        Of the whole training part: class distributions, or findings with NaN where unknown.
    outputs : OutputSpec
    weighted : bool
        Weigh classes, or the presence of each finding, by their rarity.

    Raises
    ------
    EmptyClass
        A class or finding has no example in the training part, or a finding no counterexample.
    """
    require_every_output(targets, outputs, Kind(kind))
    present = np.nansum(targets, axis=0)
    if kind == Kind.SIGMOID:
        absent = (~np.isnan(targets)).sum(axis=0) - present
        ratio = torch.from_numpy((absent / present).astype(np.float32)) if weighted else None
        return _Findings(ratio)
    share = present * len(outputs.classes) / present.sum()
    return _Classes(torch.from_numpy((1 / share).astype(np.float32)) if weighted else None)


class _Classes:
    """Cross-entropy of scores against class distributions."""

    def __init__(self, weights: Tensor | None) -> None:
        self.weights = weights

    def __call__(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return one loss a picture."""
        if self.weights is not None:
            targets = targets * self.weights.to(targets.device)
        return -(targets * functional.log_softmax(scores.float(), dim=1)).sum(dim=1)


class _Findings:
    """Binary cross-entropy over the findings that are known, their mean a picture."""

    def __init__(self, present: Tensor | None) -> None:
        self.present = present

    def __call__(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return one loss a picture; 0 where nothing is known."""
        known = ~torch.isnan(targets)
        losses = functional.binary_cross_entropy_with_logits(
            scores.float(),
            torch.where(known, targets, torch.zeros_like(targets)),
            pos_weight=None if self.present is None else self.present.to(scores.device),
            reduction="none",
        )
        return (losses * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)
