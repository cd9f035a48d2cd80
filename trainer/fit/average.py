"""The exponential moving average of a network's weights, and batch-norm statistics that belong to it.

Averaged weights see other activations than any of the weights averaged (Izmailov et al., UAI 2018, section
3.2), and statistics that follow slowly still hold a share of ImageNet after a short run. They are estimated
anew at the end, in float32, as the network will be served.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class MovingAverage:
    """A copy of a network that follows it slowly.

    Parameters
    ----------
    net : nn.Module
    decay : float
        Share of the old average kept a step. In the first steps less is kept, (1 + step) / (10 + step), so
        that the random head is forgotten.

    Attributes
    ----------
    net : nn.Module
        The average, in evaluation mode.
    steps : int
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def follow(self, net: nn.Module) -> None:
        """Move one step towards ``net``."""
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for own, other in zip(self.net.state_dict().values(), net.state_dict().values(), strict=True):
            if own.is_floating_point():
                own.lerp_(other, 1 - keep)
            else:
                own.copy_(other)


@torch.no_grad()
def estimate_statistics(stages: nn.Module, batches: Iterable[Tensor]) -> None:
    """Estimate the batch norms' mean and variance anew, as plain means over batches.

    Parameters
    ----------
    stages : nn.Module
        Left in evaluation mode.
    batches : iterable of Tensor
        What the stages take, float32; labels play no part.
    """
    norms = [layer for layer in stages.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    for batch in batches:
        stages(batch)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    stages.eval()
