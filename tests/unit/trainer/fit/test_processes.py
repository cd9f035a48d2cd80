"""Two processes fit as one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trainer.errors import DeviceError
from trainer.fit.engine import Engine
from trainer.fit.finished import read_run
from trainer.fit.recipe import read_recipe
from trainer.fit.run import fit_run

ROOT = Path(__file__).parents[4]
SPLIT = {
    "folds = 2": "folds = 0",
    "guard = 1": "guard = 0",
    "whole_seeds = [1, 2]": "whole_seeds = []",
    "validation_share = 0.0": "validation_share = 0.25",
    'keep = "average"': 'keep = "best"',
    "ema = 0.5": "ema = 0.0",
    "mixup = 0.2": "mixup = 0.0",
    "dropout = 0.2": "dropout = 0.0",
    "frozen_stages = 1": "frozen_stages = 3",
}
"""No batch norm is fitted and nothing is drawn a process: then both ways must end in the same weights."""


def fit(recipe: Path, root: Path, out: Path, devices: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainer", "fit", "--recipe", recipe, "--out", out, "--threads", "1"]
    data = ["--data", f"sars-cov2-ct:{root}", "--devices", devices]
    return subprocess.run(
        list(map(str, [*command, *data])),
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.heavy
def test_two_processes_end_in_the_weights_of_one(tiny_recipe: Path, sars_root: Path, tmp_path: Path) -> None:
    text = tiny_recipe.read_text(encoding="utf-8")
    for old, new in SPLIT.items():
        assert old in text
        text = text.replace(old, new)
    tiny_recipe.write_text(text, encoding="utf-8")
    data = f"sars-cov2-ct:{sars_root}"
    fit_run(read_recipe(tiny_recipe), data, tmp_path / "1", init=None, resume=False, report=lambda _: None)
    ended = fit(tiny_recipe, sars_root, tmp_path / "2", 2)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("epoch 2/2") == 1
    one, two = (read_run(tmp_path / name).members[0].state_dict() for name in ("1", "2"))
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], msg=name)
    again = fit(tiny_recipe, sars_root, tmp_path / "2", 2)
    assert again.returncode != 0
    assert "go on with --resume" in again.stderr


def test_devices_that_are_not_there_are_refused() -> None:
    with pytest.raises(DeviceError, match="--accelerator cpu"):
        Engine(accelerator="cuda", devices=1).open("f32")
