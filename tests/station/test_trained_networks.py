"""The whole way for every network on small data in the true layouts: from the data set to a report."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from node.domain.input_spec import InputModality
from node.domain.model import Precision
from node.domain.result import ResultKind, RunOutcome
from node.infer.bundle import Bundle, load_bundle
from node.infer.golden import replay
from node.infer.openvino import EmbeddedScorer
from tests import small_sets
from tests.model_folder import of_wide_scope
from tests.radiograph_objects import HIGHEST, chest, radiograph_object
from tests.screening_ground import Ends, Ground, phantom_series
from trainer.cli.app import app
from trainer.cli.fit import RECIPES

pytestmark = pytest.mark.heavy
EPOCHS = 2
FEW = 4
"""Patients of a class for the networks whose images cannot be small."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """What is fitted on what."""

    recipe: str
    """That the small one departs from."""
    net: str
    data: Callable[[Path, int], str]
    side: int
    schedule: Mapping[str, Any] = field(default_factory=dict)


SMALL = {"batch": 8, "learning_rate": 1e-3}
WAYS = {
    "resnet50v2": Way(
        recipe="ctset-paper", net="resnet50v2", data=small_sets.covid_ctset, side=96, schedule=SMALL
    ),
    "xception": Way(
        recipe="ctset-paper", net="xception", data=small_sets.covid_ctset, side=96, schedule=SMALL
    ),
    "resnet50v2-fpn": Way(
        recipe="ctset-authors-code",
        net="resnet50v2-fpn",
        data=small_sets.covid_ctset,
        side=96,
        schedule=SMALL,
    ),
    "deep-ct-net": Way(
        recipe="deep-ct-net",
        net="deep-ct-net",
        data=functools.partial(small_sets.covid_ct, each=FEW),
        side=256,
        schedule=SMALL,
    ),
    "efficientnet-lite0": Way(
        recipe="default",
        net="efficientnet-lite0",
        data=small_sets.sars_cov2_ct,
        side=64,
        schedule={"folds": 2, "guard": 0, "whole_seeds": [1], "batch": 8},
    ),
}


def run(*arguments: object) -> str:
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def small_recipe(way: Way, folder: Path) -> Path:
    """Write a recipe of two epochs on small images; everything else is the shipped one's."""
    text = [f'base = "{way.recipe}.toml"', f'name = "small-{way.net}"', f'net = "{way.net}"', "[schedule]"]
    text += [f"{key} = {value}" for key, value in {"epochs": EPOCHS, **way.schedule}.items()]
    text += ["[specification.input]", f"size = [{way.side}, {way.side}]"]
    folder.mkdir(exist_ok=True)
    for file in RECIPES.glob("*.toml"):
        shutil.copy(file, folder)
    small = folder / f"small-{way.net}.toml"
    small.write_text("\n".join(text) + "\n", encoding="utf-8")
    return small


def fitted_and_exported(way: Way, root: Path) -> tuple[Path, dict[str, Any]]:
    """Index, fit, export and evaluate; return the bundle and what evaluate wrote."""
    data, model, report = way.data(root / "data", way.side), root / "models" / way.net, root / "report.json"
    assert json.loads(run("index", data, "--json"))["parts"]
    small = small_recipe(way, root / "recipes")
    run("fit", "--recipe", small, "--data", data, "--out", root / "run", "--threads", 1)
    run("export", "--run", root / "run", "--out", model)
    run("evaluate", "--bundle", model, "--on", data, "--json", report)
    return model, json.loads(report.read_text(encoding="utf-8"))


def answers_its_golden_slices(bundle: Bundle) -> None:
    scorer = EmbeddedScorer(bundle, precision=Precision.F32, threads=1)
    try:
        replay(bundle, scorer)
    finally:
        scorer.close()


@pytest.mark.parametrize("name", WAYS)
def test_a_data_set_becomes_a_report(name: str, tmp_path: Path, ground: Ground, ends: Ends) -> None:
    torch.manual_seed(0)
    model, report = fitted_and_exported(WAYS[name], tmp_path)
    figures = report["sets"][0]
    assert figures["images"] > 0
    assert 0 <= figures["auc"] <= 1
    bundle = of_wide_scope(load_bundle(model))
    answers_its_golden_slices(bundle)

    ground.receive(phantom_series(patches=6))
    ground.settle(name)
    screening = ground.claim()
    ground.pipeline(bundle, ends).run(screening)
    finding = ground.store.screenings.finding(screening.id)
    assert finding.run_outcome is RunOutcome.SUCCEEDED, ends.ends
    assert finding.selected >= bundle.spec.selection.minimum_selected
    scores = [one.probability for one in finding.slices if one.selected]
    assert all(score is not None and np.isfinite(score) for score in scores)
    kinds = [item.kind for item in ground.store.screenings.results(screening.id)]
    assert ResultKind.REPORT in kinds


def test_three_parts_become_a_network_for_radiographs(tmp_path: Path, ground: Ground, ends: Ends) -> None:
    parts = []
    for number, data in ((1, small_sets.chexpert), (2, small_sets.kaggle_pneumonia)):
        way = Way(
            recipe=f"deep-cxr-net-part{number}",
            net=f"deep-cxr-net-part{number}",
            data=data,
            side=256,
            schedule=SMALL | {"epochs": 1},
        )
        small = small_recipe(way, tmp_path / "recipes")
        parts.append(tmp_path / f"part{number}")
        source = data(tmp_path / f"data{number}", 64, each=FEW)
        shown = run("fit", "--recipe", small, "--data", source, "--out", parts[-1], "--threads", 1)
        assert ("Pneumonia: AUC" in shown) == (number == 1)
    way = Way(
        recipe="deep-cxr-net-part3",
        net="deep-cxr-net",
        data=small_sets.covid_chestxray,
        side=256,
        schedule=SMALL | {"epochs": 1},
    )
    small = small_recipe(way, tmp_path / "recipes")
    data = small_sets.covid_chestxray(tmp_path / "data3", 64, each=FEW)
    joined = ["--part", parts[0], "--part", parts[1]]
    run("fit", "--recipe", small, "--data", data, "--out", tmp_path / "run", "--threads", 1, *joined)
    model = tmp_path / "models" / "deep-cxr-net"
    run("export", "--run", tmp_path / "run", "--out", model)
    run("evaluate", "--bundle", model, "--on", data, "--json", tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["sets"][0]["images"] == 2 * FEW
    bundle = load_bundle(model)
    assert bundle.spec.modality is InputModality.CR
    answers_its_golden_slices(bundle)

    # The same chest in both polarities, stored as seen from the front and from behind.
    from_behind = {"PhotometricInterpretation": "MONOCHROME1", "PatientOrientation": ["R", "F"]}
    ground.receive(
        [radiograph_object(), radiograph_object(HIGHEST - chest()[:, ::-1], number=2, **from_behind)]
    )
    ground.settle(bundle.name)
    screening = ground.claim()
    ground.pipeline(bundle, ends).run(screening)
    finding = ground.store.screenings.finding(screening.id)
    assert finding.run_outcome is RunOutcome.SUCCEEDED, ends.ends
    assert finding.scored == 2
    assert finding.slices[0].probability == pytest.approx(finding.slices[1].probability, abs=1e-6)
