"""The exponential moving average of a network's weights and batch-norm statistics."""

from __future__ import annotations

import copy

import torch
from torch import nn


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
