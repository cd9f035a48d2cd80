"""Fitting the dense layer alone: logistic regression with a ridge, on pooled maps of a frozen trunk.

Few pictures and a trunk that stays: a convex problem with one answer, which L-BFGS finds in seconds; steps of
gradient descent would have to be tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from trainer.cases.case import Case
from trainer.errors import RecipeError
from trainer.feed.batches import Pictures, Varying, batches, load_pictures
from trainer.fit.finished import Member
from trainer.fit.losses import Loss, loss_of
from trainer.fit.member import Setting
from trainer.fit.schedule import Schedule
from trainer.fit.steps import smoothed
from trainer.nets.heads import DenseClassifier, explained

BATCH: Final = 32
SMALLEST_DEVIATION: Final = 1e-3
"""Added to each feature's standard deviation: a feature that hardly varies is not blown up."""


class VariantMaps:
    """Pooled maps of every case of a run and of its variants, made once for all folds.

    Parameters
    ----------
    cases : sequence of Case
        Of the run, all folds together.
    setting : Setting
    """

    def __init__(self, cases: Sequence[Case], setting: Setting) -> None:
        self.setting = setting
        self._cases = cases
        self._rows = {case.image: row for row, case in enumerate(cases)}
        self._made: dict[str, Tensor] = {}

    def of(self, net: DenseClassifier, trunk: str, cases: Sequence[Case], seed: int) -> Tensor:
        """Return maps, float32 [cases, variants, features]; the first variant is the image as it is.

        Parameters
        ----------
        net : DenseClassifier
        trunk : str
            The same for the same weights of the stages.
        cases : sequence of Case
        seed : int
        """
        key = f"{trunk} {seed}"
        if key not in self._made:
            schedule, how = self.setting.recipe.schedule, self.setting.recipe.augmentation
            pictures = load_pictures(self._cases, self.setting.spec)
            hows: list[Varying | None] = [None, *[how] * schedule.cached_variants]
            self._made[key] = torch.stack(
                [
                    pooled_maps(net, pictures, self.setting, one, (seed, number))
                    for number, one in enumerate(hows)
                ],
                dim=1,
            )
        return self._made[key][[self._rows[case.image] for case in cases]]


def fit_dense_layer(
    net: nn.Module, maps: VariantMaps, trunk: str, train: Pictures, member: Member
) -> DenseClassifier:
    """Fit the dense layer of a pooled network to every picture and its variants, the trunk as it is.

    Each feature is divided by its standard deviation; ``weight_decay`` is the ridge's factor in those units,
    ``epochs`` the most iterations. The centre and the scale are then drawn into the layer's weights.

    Parameters
    ----------
    net : nn.Module
        A `DenseClassifier` with a pooled head.
    maps : VariantMaps
    trunk : str
        The same for the same weights of the stages.
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
    setting = maps.setting
    schedule = setting.recipe.schedule
    if not isinstance(net, DenseClassifier) or net.grid is not None:
        raise RecipeError(
            f"optimiser 'lbfgs' fits one dense layer behind pooled maps; {setting.recipe.net} has none"
        )
    if schedule.frozen_stages != len(net.stages):
        raise RecipeError(f"lbfgs fits no stage: frozen_stages must be {len(net.stages)}")
    net.eval().requires_grad_(False).to(setting.fabric.device)
    per_case = maps.of(net, trunk, train.cases, member.seed)
    features = per_case.flatten(0, 1)
    targets = torch.from_numpy(train.targets).repeat_interleave(per_case.shape[1], dim=0)
    targets = smoothed(targets, schedule.label_smoothing)
    loss = loss_of("softmax", train.targets, setting.spec.outputs, schedule.class_weights)
    mean, deviation = features.mean(dim=0), features.std(dim=0) + SMALLEST_DEVIATION
    values = (features - mean) / deviation
    weight, bias = _solved(values, targets, loss, schedule)
    with torch.no_grad():
        net.head.weight.copy_(weight / deviation)
        net.head.bias.copy_(bias - net.head.weight.cpu() @ mean)
    setting.report(f"{member.name}: dense layer fitted to {len(features)} variants of {len(train)} pictures")
    return net.cpu()


def _solved(values: Tensor, targets: Tensor, loss: Loss, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """Return the weights [classes, features] and the bias [classes] of the least loss with the ridge."""
    weight = torch.zeros(targets.shape[1], values.shape[1], requires_grad=True)
    bias = torch.zeros(targets.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=schedule.epochs, line_search_fn="strong_wolfe")

    def lost() -> Tensor:
        solver.zero_grad()
        ridge = schedule.weight_decay / 2 * weight.square().sum()
        value: Tensor = loss(values @ weight.t() + bias, targets).mean() + ridge
        value.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        return value

    solver.step(lost)  # type: ignore[no-untyped-call]  # torch has no types here
    return weight.detach(), bias.detach()


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
