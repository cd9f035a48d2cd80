"""One fit beside a validation part: what is kept, when it stops, what is warned of."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.cases.readers import read_cases, training_part
from trainer.cases.splits import grouped_split
from trainer.errors import CheckpointError, DeviceError, DivergedError, OutputError
from trainer.fit.checkpoint import load_checkpoint, write_atomically
from trainer.fit.engine import Engine
from trainer.fit.finished import read_run
from trainer.fit.recipe import Recipe
from trainer.fit.run import fit_run
from trainer.fit.scoring import score_run

Build = Callable[..., Recipe]


def fitted(recipe: Recipe, root: Path, out: Path, resume: bool = False) -> list[str]:
    lines: list[str] = []
    fit_run(recipe, f"sars-cov2-ct:{root}", out, init=None, resume=resume, report=lines.append)
    return lines


def log_of(run: Path) -> list[dict[str, str]]:
    with (run / "split-seed-1" / "log.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_validation_part_shares_no_group_with_the_rest(
    split_recipe: Build, sars_root: Path, tmp_path: Path
) -> None:
    fitted(split_recipe(), sars_root, tmp_path / "run")
    cases = training_part(read_cases(f"sars-cov2-ct:{sars_root}"))
    aside = {case.group for case in grouped_split(cases, 0.25, "val", 0) if case.split == "val"}
    with (tmp_path / "run" / "validation.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["group"] for row in rows} == aside
    assert len(rows) == sum(case.group in aside for case in cases) == 20
    assert json.loads((tmp_path / "run" / "result.json").read_text())["epochs_chosen_on"] == "validation"
    assert (tmp_path / "run" / "split-seed-1" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_best_epoch_is_kept_not_the_last(split_recipe: Build, sars_root: Path, tmp_path: Path) -> None:
    recipe = split_recipe(epochs=5, learning_rate=0.3, rate="constant", warm_up_steps=0, watch="auc")
    lines = fitted(recipe, sars_root, tmp_path / "run")
    figures = [float(row["validation_auc"]) for row in log_of(tmp_path / "run")]
    best = int(np.argmax(figures)) + 1
    state = load_checkpoint(tmp_path / "run" / "split-seed-1" / "checkpoint.pt")
    assert state["best_epoch"] == best
    assert [line.endswith("best so far") for line in lines].count(True) >= 1
    kept = load_checkpoint(tmp_path / "run" / "split-seed-1" / "weights.pt")
    chosen = load_checkpoint(tmp_path / "run" / "split-seed-1" / "best.pt")
    assert all(torch.equal(value, chosen[name]) for name, value in kept.items())


def test_patience_ends_the_run_early_and_a_resumed_run_does_not_go_on(
    split_recipe: Build, sars_root: Path, tmp_path: Path
) -> None:
    recipe = split_recipe(epochs=40, learning_rate=1e-7, patience=2, watch="accuracy", rate="constant")
    fitted(recipe, sars_root, tmp_path / "run")
    epochs = len(log_of(tmp_path / "run"))
    assert epochs == 3
    (tmp_path / "run" / "split-seed-1" / "weights.pt").unlink()
    assert fitted(recipe, sars_root, tmp_path / "run", resume=True) == []
    assert len(log_of(tmp_path / "run")) == epochs


@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_split_run_killed_goes_on_exactly(
    killed_after: int, split_recipe: Build, sars_root: Path, tmp_path: Path
) -> None:
    recipe = split_recipe(epochs=3, optimiser="nadam", dropout=0.3, mixup=0.2)
    fitted(recipe, sars_root, tmp_path / "whole")

    class Killed(BaseException):
        pass

    seen = itertools.count(1)

    def kill(_: str) -> None:
        if next(seen) == killed_after:
            raise Killed

    data, out = f"sars-cov2-ct:{sars_root}", tmp_path / "broken"
    with pytest.raises(Killed):
        fit_run(recipe, data, out, init=None, resume=False, report=kill)
    fitted(recipe, sars_root, out, resume=True)
    (one,), (other,) = read_run(tmp_path / "whole").members, read_run(out).members
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    assert log_of(out) == log_of(tmp_path / "whole")


def test_a_step_is_the_same_however_it_is_cut(split_recipe: Build, sars_root: Path, tmp_path: Path) -> None:
    weights = []
    for pieces in (1, 3):
        recipe = split_recipe(accumulate=pieces, frozen_stages=3, class_weights=True)
        fitted(recipe, sars_root, tmp_path / str(pieces))
        weights.append(read_run(tmp_path / str(pieces)).members[0].state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], msg=name)


def test_a_run_goes_on_with_the_same_labels_and_weights_alone(
    split_recipe: Build, sars_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(sars_root, root)
    fitted(split_recipe(epochs=1), root, tmp_path / "run")
    first, other = root / "train" / "COVID" / "0001.png", root / "train" / "non-COVID" / "0001.png"
    first.rename(root / "swap.png")
    other.rename(other.with_name("0041.png"))
    (root / "swap.png").rename(first.with_name("0042.png"))
    with pytest.raises(CheckpointError, match="other data, other initial weights"):
        fitted(split_recipe(epochs=1), root, tmp_path / "run", resume=True)


def test_a_run_goes_on_with_as_many_devices_alone(
    split_recipe: Build, sars_root: Path, tmp_path: Path
) -> None:
    fitted(split_recipe(epochs=1), sars_root, tmp_path)
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["devices"] == 1
    (tmp_path / "run.json").write_text(json.dumps(record | {"devices": 2}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="another number of devices"):
        fitted(split_recipe(epochs=1), sars_root, tmp_path, resume=True)


def test_a_run_scores_cases_as_its_validation_says(
    split_recipe: Build, sars_root: Path, tmp_path: Path
) -> None:
    fitted(split_recipe(seeds=(1, 2)), sars_root, tmp_path / "run")
    run = read_run(tmp_path / "run")
    spec = run.specification("m", 1, "untrained")
    cases = training_part(read_cases(f"sars-cov2-ct:{sars_root}"))
    aside = [case for case in grouped_split(cases, 0.25, "val", 0) if case.split == "val"]
    scores = score_run(run, spec, aside)[:, spec.outputs.positive_index]
    with (tmp_path / "run" / "validation.csv").open(newline="") as stream:
        assert scores == pytest.approx([float(row["score"]) for row in csv.DictReader(stream)], abs=1e-6)


def test_a_last_step_that_ruins_the_network_is_not_kept(
    split_recipe: Build, sars_root: Path, tmp_path: Path
) -> None:
    recipe = split_recipe(epochs=1, batch=64, learning_rate=3e37, warm_up_steps=0, rate="constant")
    with pytest.raises(DivergedError, match="learning rate"):
        fitted(recipe, sars_root, tmp_path / "run")
    assert not (tmp_path / "run" / "split-seed-1").exists()


def test_more_processes_than_a_step_feeds_are_refused(
    split_recipe: Build, sars_root: Path, tmp_path: Path
) -> None:
    recipe, data = split_recipe(batch=14, accumulate=2), f"sars-cov2-ct:{sars_root}"
    with pytest.raises(DeviceError, match="at most 3"):
        fit_run(
            *(recipe, data, tmp_path / "run"),
            init=None,
            resume=False,
            report=lambda _: None,
            engine=Engine(devices=4),
        )
    assert not (tmp_path / "run").exists()


def test_a_full_disk_stops_the_run_and_the_last_good_checkpoint_stays(
    split_recipe: Build, sars_root: Path, tmp_path: Path
) -> None:
    recipe, data, out = split_recipe(epochs=3), f"sars-cov2-ct:{sars_root}", tmp_path / "run"
    member = out / "split-seed-1"

    def fill_the_disk(line: str) -> None:
        if "epoch 1/" in line:
            (member / "checkpoint.pt.part").symlink_to("/dev/full")

    with pytest.raises(CheckpointError, match=r"No space left.*--resume"):
        fit_run(recipe, data, out, init=None, resume=False, report=fill_the_disk)
    assert load_checkpoint(member / "checkpoint.pt")["epoch"] == 1
    (member / "checkpoint.pt.part").unlink(missing_ok=True)
    fitted(recipe, sars_root, out, resume=True)
    assert len(log_of(out)) == 3


def test_a_result_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    write_atomically(file, b"old")
    file.with_name("result.json.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left"):
        write_atomically(file, b"new" * 4096)
    assert file.read_bytes() == b"old"
