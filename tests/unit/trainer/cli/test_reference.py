"""The trainer's reference in the repository is what the code writes, and leaves nothing out."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest
import typer

from trainer import errors
from trainer.cases.readers import READERS
from trainer.cli.app import app
from trainer.cli.recipe_reference import RECIPES, documented
from trainer.cli.reference import FILE, REMEDIES, trainer_reference
from trainer.fit.recipe import AUGMENTATIONS, read_recipe
from trainer.fit.schedule import Schedule
from trainer.nets.catalogue import NETS


@pytest.fixture(scope="module")
def reference() -> str:
    return trainer_reference()


def test_the_reference_is_current(reference: str) -> None:
    assert FILE.read_text(encoding="utf-8") == reference


def test_every_command_option_kind_network_and_error_is_there(reference: str) -> None:
    commands = typer.main.get_command(app).commands
    assert all(re.search(rf"^### `{name}[` ]", reference, re.MULTILINE) for name in commands)
    options = {option for command in commands.values() for item in command.params for option in item.opts}
    assert all(f"`{option}`" in reference for option in options if option.startswith("--"))
    assert all(f"| `{name}` |" in reference for name in (*READERS, *NETS))
    classes = {
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, errors.TrainerError)
    }
    assert classes - {"TrainerError"} == set(REMEDIES)
    assert all(f"`{name}` |" in reference for name in REMEDIES)


def test_every_key_of_every_shipped_recipe_is_described(reference: str) -> None:
    described = set(re.findall(r"^\| `(\w+)` \|", reference, re.MULTILINE))
    tables = set(re.findall(r"^### `\[(?:[\w.]+\.)?(\w+)\]`", reference, re.MULTILINE))
    further = set(re.findall(r"`(\w+)`", reference.partition("| further keys |")[2].partition("\n###")[0]))
    for file in RECIPES.glob("*.toml"):
        document = read_recipe(file).as_json()
        names = set(keys_of(document["schedule"])) | set(keys_of(document["specification"]))
        names |= set(keys_of(document["augmentation"])) - {"kind"}
        assert names - described - tables - further - {"kind"} == set(), file.name


def keys_of(table: dict[str, object]) -> list[str]:
    inner = [key for value in table.values() if isinstance(value, dict) for key in keys_of(value)]
    return [*table, *inner]


def test_nothing_is_described_by_nothing(reference: str) -> None:
    assert "| None |" not in reference
    assert not re.search(r": None\b", reference)
    assert not re.search(r"\|\s*\|$", reference.replace("| |\n|---", ""), re.MULTILINE)


@pytest.mark.parametrize("record", [Schedule, *AUGMENTATIONS.values()])
def test_what_stands_under_an_attribute_is_found(record: type) -> None:
    assert set(documented(record)) == {field.name for field in fields(record)}
