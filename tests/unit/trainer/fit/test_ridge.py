"""The dense layer on a frozen trunk: the one answer of a convex problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainer.cases.readers import read_cases, training_part
from trainer.errors import RecipeError
from trainer.feed.batches import load_pictures
from trainer.fit.engine import Engine
from trainer.fit.finished import Member, read_run
from trainer.fit.losses import loss_of
from trainer.fit.member import Setting
from trainer.fit.recipe import Recipe
from trainer.fit.ridge import VariantMaps
from trainer.fit.run import fit_run, no_progress
from trainer.fit.steps import smoothed
from trainer.nets.heads import DenseClassifier

Build = Callable[..., Recipe]
RIDGE = 0.05


@pytest.fixture
def ridge_recipe(split_recipe: Build) -> Build:
    def build(**values: object) -> Recipe:
        usual = {"keep": "average", "optimiser": "lbfgs", "weight_decay": RIDGE, "epochs": 200}
        return split_recipe(**(usual | {"frozen_stages": 3, "cached_variants": 2, "patience": 0} | values))

    return build


def quiet(_: str) -> None:
    """Take no notice."""


def test_the_answer_is_the_minimum_in_units_of_the_features(
    ridge_recipe: Build, sars_root: Path, tmp_path: Path
) -> None:
    recipe, data = ridge_recipe(folds=2, validation_share=0.0, whole_seeds=(1,)), f"sars-cov2-ct:{sars_root}"
    result = fit_run(recipe, data, tmp_path / "run", init=None, resume=False, report=quiet)
    assert len(result["fold_auc"]) == 2
    run = read_run(tmp_path / "run")
    spec = run.specification("m", 1, "untrained")
    net = run.members[0]
    assert isinstance(net, DenseClassifier)
    pictures = load_pictures(training_part(read_cases(data)), spec)
    setting = Setting(
        recipe=recipe, spec=spec, fabric=Engine().open("f32"), workers=1, report=quiet, progress=no_progress
    )
    member = Member(part="whole", seed=1)
    maps = VariantMaps(pictures.cases, setting).of(net, "tiny", pictures.cases, member.seed)
    assert maps.shape[:2] == (len(pictures), 3)
    features = maps.flatten(0, 1)
    targets = smoothed(torch.from_numpy(pictures.targets), 0.0).repeat_interleave(3, dim=0)
    loss = loss_of("softmax", pictures.targets, spec.outputs, weighted=False)
    deviation = features.std(dim=0) + 1e-3
    weight = net.head.weight.detach().clone().requires_grad_(True)
    bias = net.head.bias.detach().clone().requires_grad_(True)
    value = loss(features @ weight.t() + bias, targets).mean()
    value = value + RIDGE / 2 * (weight * deviation).square().sum()
    value.backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert (weight.grad / deviation).abs().max() < 1e-3
    assert bias.grad.abs().max() < 1e-3


def test_the_same_run_gives_the_same_layer(ridge_recipe: Build, sars_root: Path, tmp_path: Path) -> None:
    layers = []
    for name in ("one", "other"):
        fit_run(
            ridge_recipe(),
            f"sars-cov2-ct:{sars_root}",
            tmp_path / name,
            init=None,
            resume=False,
            report=quiet,
        )
        layers.append(read_run(tmp_path / name).members[0].state_dict())
    assert all(torch.equal(value, layers[1][name]) for name, value in layers[0].items())


def test_stages_that_are_not_frozen_or_another_head_are_refused(
    ridge_recipe: Build, sars_root: Path, tmp_path: Path
) -> None:
    data = f"sars-cov2-ct:{sars_root}"
    with pytest.raises(RecipeError, match="frozen_stages must be 3"):
        fit_run(ridge_recipe(frozen_stages=2), data, tmp_path / "a", init=None, resume=False, report=quiet)
    small = ridge_recipe(frozen_stages=10)
    size = {**small.specification, "input": {**small.specification["input"], "size": [256, 256]}}
    deep = replace(small, net="deep-ct-net", specification=size)
    with pytest.raises(RecipeError, match="deep-ct-net has none"):
        fit_run(deep, data, tmp_path / "b", init=None, resume=False, report=quiet)
