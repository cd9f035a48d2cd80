"""Finished runs and imported networks with random weights: for tests of what comes after fitting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainer.cases.case import GROUPED_BY
from trainer.cli.fit import RECIPES
from trainer.feed.specification import specification
from trainer.fit.checkpoint import save_checkpoint
from trainer.fit.finished import members_of
from trainer.fit.recipe import read_recipe, recipe_from
from trainer.imports.importing import CHANNELS, FORMAT
from trainer.nets.catalogue import build_net

AREA = {"auc": 0.9, "auc_interval": [0.8, 0.95]}


def write_run(
    folder: Path,
    base: str,
    net: str,
    side: int,
    *,
    source: str,
    schedule: Mapping[str, Any] | None = None,
    outputs: Mapping[str, Any] | None = None,
) -> Path:
    """Write the folder of a finished run whose networks were never fitted, and return it.

    Parameters
    ----------
    folder : Path
    base : str
        Name of a shipped recipe.
    net : str
        Name in the catalogue.
    side : int
        Rows and columns of the images.
    source : str
        Kind of the data set that it says to be fitted on.
    schedule, outputs : mapping, optional
        Keys of the recipe's sections that differ.
    """
    document = read_recipe(RECIPES / f"{base}.toml").as_json()
    document |= {"name": f"small-{net}", "net": net}
    document["schedule"] |= {"frozen_stages": 0, "cached_variants": 0, **(schedule or {})}
    document["specification"]["input"]["size"] = [side, side]
    document["specification"]["outputs"] |= outputs or {}
    recipe = recipe_from(document)
    spec = specification(recipe.specification, name=recipe.name, version=1, status="untrained")
    torch.manual_seed(3)
    for member in members_of(recipe):
        made = build_net(net, spec.input.channels, len(spec.outputs.classes), 0.0, None, size=spec.input.size)
        (folder / member.name).mkdir(parents=True)
        save_checkpoint(folder / member.name / "weights.pt", made.state_dict())
    points = {point.name: point.as_json() for point in recipe.points} or {
        "default": {"slice_threshold": 0.4, "share": [3, 10], "chosen_on": "nothing: a run for tests"}
    }
    result: dict[str, Any] = {"operating_points": points, "active_point": next(iter(points))}
    folds = recipe.schedule.folds
    result |= {"out_of_fold": AREA, "fold_auc": [0.9] * folds} if folds else {"validation": AREA}
    record = {
        "recipe": recipe.as_json(),
        "data": f"{source}:somewhere",
        "source": source,
        "cases": 80,
        "positives": 40,
        "grouped_by": GROUPED_BY[source],
        "init": None,
        "parts": [],
    }
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return folder


def write_imported(file: Path, net: str, side: int) -> Path:
    """Write what ``import-keras`` writes, with random weights, and return the file."""
    torch.manual_seed(3)
    made = build_net(net, CHANNELS, 2, 0.0, None, size=(side, side))
    state = {key: value for key, value in made.state_dict().items() if "num_batches" not in key}
    about = {
        "net": net,
        "side": side,
        "tensors": len(state),
        "parameters": sum(value.numel() for value in state.values()),
        "source": "FPN-fold1.hdf5",
        "sha256": "0" * 64,
    }
    save_checkpoint(file, {"format": FORMAT, "imported": about, "state": state})
    return file
