"""Images of which it is not known what they show are neither fitted nor judged, and that is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import hu_to_stored
from tests.model_folder import TinyNet, tiny_spec, write_model_folder
from tests.small_sets import chexpert
from trainer.cli.app import app
from trainer.fit.recipe import read_recipe
from trainer.fit.run import fit_run


@pytest.fixture
def uncertain(tmp_path: Path) -> str:
    """CheXpert's layout; pneumonia is uncertain in two images and not mentioned in a third."""
    argument = chexpert(tmp_path / "set", 64)
    table = tmp_path / "set" / "train.csv"
    header, *rows = table.read_text(encoding="utf-8").splitlines()
    column = header.split(",").index("Pneumonia")
    for row, cell in ((0, "-1.0"), (1, ""), (2, "-1.0")):
        cells = rows[row].split(",")
        rows[row] = ",".join([*cells[:column], cell, *cells[column + 1 :]])
    table.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return argument


def test_evaluate_leaves_out_what_is_not_known_and_says_so(uncertain: str, tmp_path: Path) -> None:
    slice_ = ThoraxPhantom(seed=3, slices=16, rows=128).slice_at(8)
    bundle = write_model_folder(tmp_path, [hu_to_stored(slice_.hu)], net=TinyNet(), spec=tiny_spec())
    found = {}
    for kind in ("chexpert", "chexpert-zeros"):
        file = tmp_path / "figures.json"
        on = uncertain.replace("chexpert:", f"{kind}:")
        order = ["evaluate", "--bundle", str(bundle), "--everything", "--json", str(file), "--on", on]
        CliRunner().invoke(app, order, catch_exceptions=False)
        found[kind] = json.loads(file.read_text(encoding="utf-8"))["sets"][0]
    policy, zeros = found.values()
    assert (policy["left_out"], zeros["left_out"]) == (3, 1)
    assert policy["images"] == zeros["images"] - 2
    assert policy["positives"] == zeros["positives"]
    assert "3 of " in policy["warnings"][0]
    assert "pneumonia is uncertain or not mentioned" in policy["warnings"][0]


def test_two_classes_are_fitted_to_what_is_known(uncertain: str, tiny_recipe: Path, tmp_path: Path) -> None:
    said: list[str] = []
    text = tiny_recipe.read_text(encoding="utf-8").replace("epochs = 2", "epochs = 1")
    tiny_recipe.write_text(text.replace("guard = 1", "guard = 0"), encoding="utf-8")
    recipe = read_recipe(tiny_recipe)
    fit_run(recipe, uncertain, tmp_path / "run", init=None, resume=False, report=said.append)
    assert said[0].startswith("3 of ")
    fitted = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["cases"]
    assert f"{fitted + 3} images are left out" in said[0]
