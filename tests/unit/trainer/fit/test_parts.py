"""Deep-CXR-Net is made of two fitted parts, which stay as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from node.domain.input_spec import InputSpec
from trainer.cli.fit import recipe_file
from trainer.errors import RecipeError
from trainer.feed.specification import specification
from trainer.fit.checkpoint import save_checkpoint
from trainer.fit.finished import members_of
from trainer.fit.frozen import Fitted
from trainer.fit.parts import digests_of, initial_net
from trainer.fit.recipe import Recipe, read_recipe
from trainer.nets.catalogue import build_net
from trainer.nets.deep_cxr_net import DeepCxrNet

Run = tuple[Path, dict[str, torch.Tensor]]


def spec_of(recipe: Recipe) -> InputSpec:
    return specification(recipe.specification, name=recipe.name, version=1, status="untrained")


def written_run(recipe: Recipe, folder: Path, seed: int) -> Run:
    """Write a finished run as fitting leaves it, its weights drawn at random."""
    spec = spec_of(recipe)
    torch.manual_seed(seed)
    net = build_net(recipe.net, 3, len(spec.outputs.classes), 0.5, None, size=spec.input.size)
    points = {point.name: point.as_json() for point in recipe.points}
    (folder / members_of(recipe)[0].name).mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"recipe": recipe.as_json()}), encoding="utf-8")
    result: dict[str, Any] = {"operating_points": points, "active_point": recipe.active}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    save_checkpoint(folder / members_of(recipe)[0].name / "weights.pt", net.state_dict())
    return folder, net.state_dict()


@pytest.fixture(scope="module")
def recipes() -> list[Recipe]:
    return [read_recipe(recipe_file(f"deep-cxr-net-part{number}")) for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def runs(recipes: list[Recipe], tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    root = tmp_path_factory.mktemp("parts")
    return [written_run(recipes[number], root / f"part{number}", number) for number in (0, 1)]


def test_part_3_begins_with_both_parts_and_never_moves_them(recipes: list[Recipe], runs: list[Run]) -> None:
    (one, first), (two, second) = runs
    net = initial_net(recipes[2], spec_of(recipes[2]), None, [one, two])
    assert isinstance(net, DeepCxrNet)
    fitted = Fitted(net, 0, from_maps=False)
    fitted.begin()
    step = torch.optim.SGD([weight for weight in net.parameters() if weight.requires_grad], lr=1.0)
    fitted(torch.randn(2, 3, 256, 256)).sum().backward()
    step.step()
    for module, began in ((net.likelihoods.part1, first), (net.likelihoods.part2, second)):
        now = module.state_dict()
        assert all(torch.equal(value, now[name]) for name, value in began.items())
    assert any(weight.grad is not None and weight.grad.abs().max() > 0 for weight in net.hidden.parameters())


def test_parts_that_do_not_fit_are_refused(recipes: list[Recipe], runs: list[Run]) -> None:
    spec = spec_of(recipes[2])
    one, two = (folder for folder, _ in runs)
    with pytest.raises(RecipeError, match="--part RUN1 --part RUN2"):
        initial_net(recipes[2], spec, None, [one])
    with pytest.raises(RecipeError, match="is a run of deep-cxr-net-part2, not deep-cxr-net-part1"):
        initial_net(recipes[2], spec, None, [two, one])
    with pytest.raises(RecipeError, match="leave --part out"):
        initial_net(recipes[0], spec_of(recipes[0]), None, [one, two])
    blurred = replace(spec, input=replace(spec.input, blur=5))
    with pytest.raises(RecipeError, match="another input"):
        initial_net(recipes[2], blurred, None, [one, two])


def test_the_parts_are_recorded_by_their_digests(runs: list[Run]) -> None:
    one, two = (folder for folder, _ in runs)
    digests = digests_of([one, two])
    assert sorted(digests) == ["part 1, split-seed-1", "part 2, split-seed-1"]
    assert len(set(digests.values())) == 2
