"""Recipes, the learning rate, checkpoints and exact resume."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from node.domain.input_spec import OutputSpec
from trainer.errors import CheckpointError, DivergedError, RecipeError
from trainer.fit.average import MovingAverage, estimate_statistics
from trainer.fit.checkpoint import load_checkpoint, save_checkpoint
from trainer.fit.finished import read_run
from trainer.fit.losses import loss_of
from trainer.fit.recipe import read_recipe
from trainer.fit.run import fit_run
from trainer.fit.steps import learning_rate, mix, smoothed


def quiet(_: str) -> None:
    """Take no notice."""


def test_the_shipped_recipes_are_whole() -> None:
    folder = Path(__file__).parents[4] / "trainer" / "recipes"
    names = {read_recipe(file).name for file in folder.glob("*.toml")}
    assert "default" in names


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("epochs", "0", "at least 1"),
        ("epochs", '"8"', "must be of type int"),
        ("folds", "1", "at least 2"),
        ("precision", '"f16"', "f32 or bf16"),
        ("guard", "-1", "negative"),
        ("epochs", "8\nfrequency = 1", "unknown keys"),
    ],
)
def test_a_wrong_recipe_names_its_key(
    key: str, value: str, message: str, recipe_text: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(recipe_text(**{key: value}), encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        read_recipe(file)


def test_a_recipe_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("<html>", encoding="utf-8")
    for name in ("a.toml", "absent.toml"):
        with pytest.raises(RecipeError, match="cannot be read"):
            read_recipe(tmp_path / name)


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    rates = [learning_rate(step, 100, 10, 1.0) for step in range(100)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert all(one >= other for one, other in pairwise(rates[10:]))
    assert rates[-1] < 0.001
    assert learning_rate(0, 1, 30, 1.0) == 1.0


def test_targets_and_mixtures_stay_distributions() -> None:
    targets = smoothed(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), 0.1)
    assert targets[0].tolist() == pytest.approx([0.95, 0.05])
    values, mixed = mix(torch.eye(3), targets, 0.4, np.random.default_rng(1))
    assert mixed.sum(dim=1).tolist() == pytest.approx([1, 1, 1])
    assert values.sum(dim=1).tolist() == pytest.approx([1, 1, 1])
    assert mix(values, targets, 0.0, np.random.default_rng(1))[0] is values
    scores = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
    hard = torch.nn.functional.cross_entropy(scores, torch.tensor([0, 1, 1]), label_smoothing=0.1)
    outputs = OutputSpec(probabilities="p", cam="c", classes=("a", "b"), positive_class="a")
    loss = loss_of("softmax", np.eye(2, dtype=np.float32), outputs, weighted=False)
    assert loss(scores, targets).mean().item() == pytest.approx(hard.item())


def test_the_average_forgets_its_first_weights() -> None:
    net = torch.nn.Linear(2, 1)
    average = MovingAverage(net, 0.9)
    with torch.no_grad():
        net.weight.fill_(5.0)
    for _ in range(200):
        average.follow(net)
    torch.testing.assert_close(average.net.weight, net.weight)


def test_statistics_are_estimated_anew_and_momentum_kept() -> None:
    norm = torch.nn.BatchNorm2d(2, momentum=0.01)
    stages = torch.nn.Sequential(norm).eval()
    batches = [
        torch.randn(8, 2, 4, 4, generator=torch.Generator().manual_seed(seed)) * 3 + 5 for seed in range(4)
    ]
    estimate_statistics(stages, batches)
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, torch.stack(batches).mean(dim=(0, 1, 3, 4)))
    assert norm.momentum == 0.01
    assert not norm.training


def test_a_killed_run_goes_on_exactly(tiny_recipe: Path, sars_root: Path, tmp_path: Path) -> None:
    recipe, data = read_recipe(tiny_recipe), f"sars-cov2-ct:{sars_root}"
    whole = fit_run(recipe, data, tmp_path / "whole", init=None, resume=False, report=quiet)

    class Killed(BaseException):
        pass

    def kill_after_first_epoch(line: str) -> None:
        if "fold-1" in line and "epoch 1/" in line:
            raise Killed

    broken = tmp_path / "broken"
    with pytest.raises(Killed):
        fit_run(recipe, data, broken, init=None, resume=False, report=kill_after_first_epoch)
    assert not (broken / "result.json").exists()
    resumed = fit_run(recipe, data, broken, init=None, resume=True, report=quiet)
    assert resumed == whole
    for one, other in zip(read_run(tmp_path / "whole").members, read_run(broken).members, strict=True):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


def test_cached_features_of_frozen_stages_learn_too(
    tiny_recipe: Path, sars_root: Path, tmp_path: Path
) -> None:
    text = tiny_recipe.read_text(encoding="utf-8").replace("cached_variants = 0", "cached_variants = 2")
    tiny_recipe.write_text(text, encoding="utf-8")
    result = fit_run(
        read_recipe(tiny_recipe),
        f"sars-cov2-ct:{sars_root}",
        tmp_path / "run",
        init=None,
        resume=False,
        report=quiet,
    )
    assert len(result["fold_auc"]) == 2


def test_a_run_is_not_overwritten_nor_mixed(tiny_recipe: Path, sars_root: Path, tmp_path: Path) -> None:
    recipe, data, out = read_recipe(tiny_recipe), f"sars-cov2-ct:{sars_root}", tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match="--resume"):
        fit_run(recipe, data, out, init=None, resume=False, report=quiet)
    with pytest.raises(CheckpointError, match="another recipe"):
        fit_run(recipe, data, out, init=None, resume=True, report=quiet)
    with pytest.raises(CheckpointError, match="no finished run"):
        read_run(out)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(
    tiny_recipe: Path, sars_root: Path, tmp_path: Path
) -> None:
    text = tiny_recipe.read_text(encoding="utf-8").replace("learning_rate = 0.02", "learning_rate = 1e30")
    tiny_recipe.write_text(text, encoding="utf-8")
    with pytest.raises(DivergedError, match="learning rate"):
        fit_run(
            read_recipe(tiny_recipe),
            f"sars-cov2-ct:{sars_root}",
            tmp_path / "run",
            init=None,
            resume=False,
            report=quiet,
        )


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    save_checkpoint(file, {"epoch": 3})
    assert load_checkpoint(file) == {"epoch": 3}
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(file)
    with pytest.raises(CheckpointError, match="missing"):
        load_checkpoint(tmp_path / "absent.pt")


def test_a_checkpoint_that_cannot_be_written_leaves_the_former_one(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    save_checkpoint(file, {"epoch": 1})
    blocked = file.with_name(file.name + ".part")
    blocked.mkdir()
    with pytest.raises(CheckpointError, match="last good checkpoint stays"):
        save_checkpoint(file, {"epoch": 2})
    shutil.rmtree(blocked)
    assert load_checkpoint(file) == {"epoch": 1}


def test_a_run_killed_before_its_weights_were_kept_keeps_the_same(
    tiny_recipe: Path, sars_root: Path, tmp_path: Path
) -> None:
    recipe, data, out = read_recipe(tiny_recipe), f"sars-cov2-ct:{sars_root}", tmp_path / "run"
    assert recipe.schedule.frozen_stages > 0
    assert recipe.schedule.ema > 0
    fit_run(recipe, data, out, init=None, resume=False, report=quiet)
    file = out / "whole-seed-1" / "weights.pt"
    kept = load_checkpoint(file)
    file.unlink()
    fit_run(recipe, data, out, init=None, resume=True, report=quiet)
    for name, value in load_checkpoint(file).items():
        assert torch.equal(value, kept[name]), name
