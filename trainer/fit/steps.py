"""The pure parts of training: learning rate, targets, mixing."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


def learning_rate(step: int, total: int, warm_up: int, peak: float) -> float:
    """Return the learning rate of a step: linear rise, then half a cosine to zero.

    Parameters
    ----------
    step, total : int
        Zero-based step; steps in all.
    warm_up : int
        Steps of the rise, cut to half of ``total``.
    peak : float
    """
    rise = min(warm_up, total // 2)
    if step < rise:
        return peak * (step + 1) / rise
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def smoothed_targets(classes: Tensor, count: int, smoothing: float) -> Tensor:
    """Return target distributions [n, count] for class indices [n], ``smoothing`` spread over all classes."""
    return functional.one_hot(classes, count).float() * (1 - smoothing) + smoothing / count


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


def soft_cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of scores [n, classes] against target distributions [n, classes]."""
    return -(targets * functional.log_softmax(scores.float(), dim=1)).sum(dim=1).mean()


def optimiser(net: nn.Module, peak: float, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW over the trainable weights; biases and batch norms do not decay."""
    trainable = [weight for weight in net.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in trainable if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in trainable if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=peak)
