"""Recipes of the papers, what they depart from, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from trainer.cli.fit import RECIPES, recipe_file
from trainer.errors import RecipeError
from trainer.feed.deep_ct_augment import DeepCtAugmentation
from trainer.feed.keras_augment import KerasAugmentation
from trainer.fit.recipe import read_recipe, recipe_from
from trainer.nets.catalogue import NETS

Text = Callable[..., str]


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.toml")), ids=lambda file: file.stem)
def test_every_shipped_recipe_is_whole_and_its_record_reads_back(file: Path) -> None:
    recipe = read_recipe(file)
    assert recipe.name == file.stem
    assert recipe.net in NETS
    assert recipe_from(recipe.as_json()) == recipe


def test_the_papers_numbers() -> None:
    paper, code = (read_recipe(recipe_file(f"ctset-{name}")) for name in ("paper", "authors-code"))
    schedule = paper.schedule
    assert (schedule.epochs, code.schedule.epochs) == (50, 20)
    assert (schedule.batch, schedule.learning_rate, schedule.optimiser) == (14, 1e-4, "nadam")
    assert (schedule.stem, schedule.watch, schedule.keep, schedule.precision) == (
        "random",
        "accuracy",
        "best",
        "f32",
    )
    assert paper.augmentation == KerasAugmentation()
    assert {point.name: point.share for point in code.points} == {
        "paper": Fraction(3, 10),
        "authors-code": Fraction(1, 10),
    }
    assert (paper.active, code.active) == ("paper", "authors-code")
    deep = read_recipe(recipe_file("deep-ct-net"))
    assert deep.augmentation == DeepCtAugmentation()
    assert (deep.schedule.optimiser, deep.schedule.learning_rate) == ("adam", 1e-5)
    assert deep.specification["input"]["size"] == [256, 256]


def test_a_base_may_not_lead_away_nor_round(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    for base in ('"../other.toml"', "3", '"/etc/passwd"'):
        file.write_text(f"base = {base}", encoding="utf-8")
        with pytest.raises(RecipeError, match="same folder"):
            read_recipe(file)
    file.write_text('base = "b.toml"', encoding="utf-8")
    (tmp_path / "b.toml").write_text('base = "a.toml"', encoding="utf-8")
    with pytest.raises(RecipeError, match="must stand alone"):
        read_recipe(file)


def test_a_recipe_departs_from_its_bases_key_by_key(recipe_text: Text, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(recipe_text(), encoding="utf-8")
    (tmp_path / "b.toml").write_text('base = "a.toml"\nname = "b"\n[schedule]\nepochs = 3', encoding="utf-8")
    (tmp_path / "c.toml").write_text('base = "b.toml"\n[schedule]\nbatch = 6', encoding="utf-8")
    first, last = read_recipe(tmp_path / "a.toml"), read_recipe(tmp_path / "c.toml")
    assert (last.name, last.schedule.epochs, last.schedule.batch) == ("b", 3, 6)
    assert last.specification == first.specification


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ('[points]\nactive = "x"', "active names no point"),
        ("[points.x]\nslice_threshold = 0.5", "needs the text 'active'"),
        ('[points]\nactive = "x"\n[points.x]\nslice_threshold = 0.5\nshare = [4, 3]', "two whole numbers"),
        ('[points]\nactive = "x"\n[points.x]\nshare = [1, 3]', "missing keys"),
        ('[points]\nactive = "x"\nx = 3', "must be a table"),
        ("[more]\na = 1", "unknown sections"),
    ],
)
def test_wrong_points_are_refused(added: str, message: str, recipe_text: Text, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(f"{recipe_text()}\n{added}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        read_recipe(file)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimiser": '"sgd"'}, "optimiser must be adamw or adam or nadam"),
        ({"kind": '"none"'}, "kind must be one of"),
        ({"folds": "0"}, "whole_seeds need folds"),
        ({"folds": "0", "whole_seeds": "[]"}, "validation_share must be above 0"),
        ({"keep": '"best"'}, "set folds = 0"),
        ({"patience": "3"}, "patience needs keep"),
        ({"loss": '"sigmoid"'}, "takes no folds"),
        ({"accumulate": "17"}, "at least 2 a piece"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    values: dict[str, str], message: str, recipe_text: Text, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.toml"
    lines = recipe_text(**{key: value for key, value in values.items() if key != "kind"})
    if "kind" in values:
        lines = lines.replace('kind = "lung-box"', f"kind = {values['kind']}")
    file.write_text(lines, encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        read_recipe(file)


def test_findings_of_several_seeds_are_not_averaged_as_classes() -> None:
    values = read_recipe(recipe_file("deep-cxr-net-part1")).as_json()
    values["schedule"]["seeds"] = [1, 2]
    with pytest.raises(RecipeError, match="one seed"):
        recipe_from(values)
