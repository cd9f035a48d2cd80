"""One training step and one evaluation of a network, by the trainer's engine and by plain eager PyTorch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from node.domain.input_spec import InputSpec
from trainer.export.graph import ServedNet
from trainer.export.onnx_file import onnx_model
from trainer.feed.specification import specification
from trainer.fit.average import MovingAverage
from trainer.fit.engine import Engine
from trainer.fit.frozen import Fitted
from trainer.fit.losses import loss_of
from trainer.fit.recipe import Recipe, read_recipe
from trainer.fit.steps import optimiser, smoothed
from trainer.judge.runner import OpenVinoNet
from trainer.nets.catalogue import build_net
from trainer.nets.same_padding import SameConv2d

RECIPES: Final = Path(__file__).parents[1] / "trainer" / "recipes"

Work = Callable[[], object]
"""Does one batch."""


class PlainConv2d(SameConv2d):
    """The same convolution with PyTorch's own backward pass."""

    def forward(self, images: Tensor) -> Tensor:
        """Convolve as ``SameConv2d`` does."""
        images, border = self.bordered(images)
        return functional.conv2d(images, self.weight, None, self.step, border, 1, self.groups)


def recipe_for(name: str, net: str) -> Recipe:
    """Return a recipe of the repository with one of its networks."""
    return replace(read_recipe(RECIPES / f"{name}.toml"), net=net)


def specification_of(recipe: Recipe) -> InputSpec:
    """Return the input that a recipe's network takes."""
    return specification(recipe.specification, name=recipe.name, version=1, status="untrained")


def fresh(recipe: Recipe) -> nn.Module:
    """Build a recipe's network with random weights, the same ones each time."""
    spec = specification_of(recipe)
    torch.manual_seed(1)
    classes, dropout = len(spec.outputs.classes), recipe.schedule.dropout
    return build_net(recipe.net, spec.input.channels, classes, dropout, None, size=spec.input.size)


def batch_for(recipe: Recipe, count: int) -> tuple[Tensor, Tensor]:
    """Return images as the feed hands them on (channels last), and targets."""
    spec = specification_of(recipe)
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, (count, *spec.input.size, spec.input.channels)).astype(np.float32)
    classes = len(spec.outputs.classes)
    targets = torch.from_numpy(np.eye(classes, dtype=np.float32)[np.arange(count) % classes])
    return torch.from_numpy(values).permute(0, 3, 1, 2), targets


def plain_training(recipe: Recipe, count: int) -> Work:
    """Return a step in eager PyTorch: float32, contiguous, its own gradients of depthwise convolutions."""
    net = fresh(recipe)
    for layer in net.modules():
        if isinstance(layer, SameConv2d):
            layer.__class__ = PlainConv2d
    fitted = Fitted(net, recipe.schedule.frozen_stages, False)
    fitted.begin()
    schedule = recipe.schedule
    made = optimiser(net, schedule.optimiser, schedule.learning_rate, schedule.weight_decay)
    images, targets = batch_for(recipe, count)
    images = images.contiguous()

    def step() -> None:
        made.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(fitted(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        made.step()

    return step


def own_training(recipe: Recipe, count: int, precision: str) -> Work:
    """Return a step as ``trainer.fit.member`` goes it: Fabric, channels last, the recipe's loss."""
    schedule = recipe.schedule
    fabric = Engine().open(precision)
    net: Any = fresh(recipe).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lacks this overload
    rate, decay = schedule.learning_rate, schedule.weight_decay
    fitted = Fitted(net, schedule.frozen_stages, False)
    module, made = fabric.setup(fitted, optimiser(net, schedule.optimiser, rate, decay))
    fitted.begin()
    average = MovingAverage(net, schedule.ema)
    images, targets = batch_for(recipe, count)
    outputs = specification_of(recipe).outputs
    loss_by = loss_of(schedule.loss, targets.numpy(), outputs, schedule.class_weights)

    def step() -> None:
        made.zero_grad(set_to_none=True)
        loss = loss_by(module(images), smoothed(targets, schedule.label_smoothing)).sum() / count
        fabric.backward(loss)
        made.step()
        average.follow(net)

    return step


def plain_evaluation(recipe: Recipe, count: int) -> Work:
    """Return a batch's scores in eager PyTorch: float32, contiguous."""
    net, images = fresh(recipe).eval(), batch_for(recipe, count)[0].contiguous()

    def score() -> Tensor:
        with torch.no_grad():
            result: Tensor = net(images)
        return result

    return score


def own_evaluation(recipe: Recipe, count: int, precision: str) -> Work:
    """Return a batch's scores as ``trainer.fit.scoring`` makes them: channels last, in a precision."""
    net: Any = fresh(recipe).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lacks this overload
    images = batch_for(recipe, count)[0]

    def score() -> Tensor:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            result: Tensor = net(images)
        return result

    return score


def served_evaluation(recipe: Recipe, count: int) -> dict[str, Work]:
    """Return a batch's probabilities and maps by OpenVINO from the exported graph, by precision."""
    spec = specification_of(recipe)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is not there
    model = onnx_model(ServedNet([fresh(recipe).eval()], spec.outputs.positive_index), spec)
    tensors = np.ascontiguousarray(batch_for(recipe, count)[0].numpy())

    def score_by(net: OpenVinoNet) -> Work:
        return lambda: net(tensors)

    return {
        f"OpenVINO {precision}": score_by(OpenVinoNet(model, spec, precision))
        for precision in ("f32", "bf16")
    }
