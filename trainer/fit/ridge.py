"""Fitting the dense layer alone: logistic regression with a ridge, on pooled maps of a frozen trunk.

Few pictures and a trunk that stays: a convex problem with one answer, which L-BFGS finds in seconds; steps of
gradient descent would have to be tuned.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from trainer.errors import RecipeError
from trainer.feed.batches import Pictures, Varying, batches
from trainer.fit.finished import Member
from trainer.fit.losses import loss_of
from trainer.fit.member import Setting
from trainer.fit.steps import smoothed
from trainer.nets.heads import DenseClassifier, explained

BATCH: Final = 32
SMALLEST_DEVIATION: Final = 1e-3
"""Added to each feature's standard deviation: a feature that hardly varies is not blown up."""


def fit_dense_layer(
    net: nn.Module, setting: Setting, train: Pictures, member: Member
) -> DenseClassifier:
    """Fit the dense layer of a pooled network to every picture and its variants, the trunk as it is.

    Each feature is divided by its standard deviation; ``weight_decay`` is the ridge's factor in those units,
    ``epochs`` the most iterations. The centre and the scale are then drawn into the layer's weights.

    Parameters
    ----------
    net : nn.Module
        A `DenseClassifier` with a pooled head.
    setting : Setting
    train : Pictures
    member : Member

    Returns
    -------
    DenseClassifier
        ``net``, in evaluation mode.

    Raises
    ------
    RecipeError
        The network has another head, or stages that are not frozen.
    PictureError
    """
    schedule = setting.recipe.schedule
    if not isinstance(net, DenseClassifier) or net.grid is not None:
        raise RecipeError(
            f"optimiser 'lbfgs' fits one dense layer behind pooled maps; {setting.recipe.net} has none"
        )
    if schedule.frozen_stages != len(net.stages):
        raise RecipeError(f"lbfgs fits no stage: frozen_stages must be {len(net.stages)}")
    net.eval().requires_grad_(False).to(setting.fabric.device)
    variants: list[Varying | None] = [None, *[setting.recipe.augmentation] * schedule.cached_variants]
    features = torch.cat(
        [pooled_maps(net, train, setting, how, (member.seed, number)) for number, how in enumerate(variants)]
    )
    targets = smoothed(torch.from_numpy(train.targets), schedule.label_smoothing).repeat(len(variants), 1)
    loss = loss_of("softmax", train.targets, setting.spec.outputs, schedule.class_weights)
    mean, deviation = features.mean(dim=0), features.std(dim=0) + SMALLEST_DEVIATION
    values = (features - mean) / deviation
    weight = torch.zeros(targets.shape[1], features.shape[1], requires_grad=True)
    bias = torch.zeros(targets.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=schedule.epochs, line_search_fn="strong_wolfe")

    def lost() -> Tensor:
        solver.zero_grad()
        ridge = schedule.weight_decay / 2 * weight.square().sum()
        value: Tensor = loss(values @ weight.t() + bias, targets).mean() + ridge
        value.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        return value

    solver.step(lost)  # type: ignore[no-untyped-call]  # torch has no types here
    with torch.no_grad():
        net.head.weight.copy_(weight / deviation)
        net.head.bias.copy_(bias - net.head.weight.cpu() @ mean)
    setting.report(f"{member.name}: dense layer fitted on {len(features)} variants of {len(train)} pictures")
    return net.cpu()


@torch.no_grad()
def pooled_maps(
    net: DenseClassifier, pictures: Pictures, setting: Setting, how: Varying | None, seed: tuple[int, ...]
) -> Tensor:
    """Return what the dense layer takes, float32 [n, features], of one variant of every picture."""
    fabric = setting.fabric
    chunks = [np.arange(start, min(start + BATCH, len(pictures))) for start in range(0, len(pictures), BATCH)]
    parts = []
    for number, (images, _) in enumerate(
        batches(pictures, setting.spec, how, chunks, seed, workers=setting.workers), start=1
    ):
        with fabric.autocast():
            maps = explained(net.features(images.to(fabric.device)))
        parts.append(maps.float().mean(dim=(2, 3)).cpu())
        setting.progress(f"maps of variant {seed[-1]}", number, len(chunks))
    return torch.cat(parts)
