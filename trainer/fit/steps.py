"""The pure parts of training: learning rate, targets, mixing."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn


def learning_rate(step: int, total: int, warm_up: int, peak: float, shape: str = "cosine") -> float:
    """Return the learning rate of a step: linear rise, then half a cosine to zero or the peak.

    Parameters
    ----------
    step, total : int
        Zero-based step; steps in all.
    warm_up : int
        Steps of the rise, cut to half of ``total``.
    peak : float
    shape : str
        ``cosine`` or ``constant``.
    """
    rise = min(warm_up, total // 2)
    if step < rise:
        return peak * (step + 1) / rise
    if shape == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def smoothed(targets: Tensor, smoothing: float) -> Tensor:
    """Return target distributions [n, classes] with ``smoothing`` spread over all classes."""
    return targets * (1 - smoothing) + smoothing / targets.shape[1]


def mix(values: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mix a batch with itself in another order (Zhang et al., mixup, ICLR 2018).

    Parameters
    ----------
    values : Tensor, shape (n, ...)
        Pictures or feature maps.
    targets : Tensor, shape (n, classes)
    alpha : float
        Both parameters of the Beta distribution; 0 leaves the batch alone.
    rng : numpy.random.Generator
    """
    if alpha == 0:
        return values, targets
    share = float(rng.beta(alpha, alpha))
    order = torch.from_numpy(rng.permutation(len(values)))
    return values.lerp(values[order], 1 - share), targets.lerp(targets[order], 1 - share)


def optimiser(net: nn.Module, kind: str, peak: float, weight_decay: float) -> torch.optim.Optimizer:
    """Return the optimiser over the trainable weights; biases and batch norms do not decay.

    Parameters
    ----------
    net : nn.Module
    kind : str
        ``adamw``; ``adam`` (Deep-CT-Net paper, section 4.2); ``nadam`` as Keras 2.3 has it, which
        Rahimzadeh et al. 2021 fitted with: epsilon 1e-7, momentum decay 0.004.
    peak : float
        Learning rate.
    weight_decay : float
        For ``adamw`` alone.
    """
    trainable = [weight for weight in net.parameters() if weight.requires_grad]
    if kind == "nadam":
        return torch.optim.NAdam(trainable, lr=peak, betas=(0.9, 0.999), eps=1e-7, momentum_decay=4e-3)
    if kind == "adam":
        return torch.optim.Adam(trainable, lr=peak)
    groups = [
        {"params": [weight for weight in trainable if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in trainable if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=peak)
