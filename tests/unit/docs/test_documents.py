"""Every command, setting and link in the documents exists."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from node.cli.main import app
from node.domain.errors import SettingsError
from node.settings.loading import load
from tests.docs_reading import ROOT, Block, Document, documents, words_of
from trainer.cli.app import app as trainer_app
from trainer.cli.fit import RECIPES
from trainer.fit.recipe import read_recipe

DOCUMENTS = documents()
PROGRAMS = {"groundglass": app, "python -m trainer": trainer_app}
EVERYDAY = {"--help"}
PLACEHOLDER = "COMMAND"
REMARK = re.compile(r"<[^>]+>|\.\.\.|\[--debug\]")


@pytest.fixture(params=DOCUMENTS, ids=lambda document: document.name)
def document(request: pytest.FixtureRequest) -> Document:
    return request.param


def wrong_in(words: list[str], program: typer.Typer, *, whole: bool) -> list[str]:
    """Return what is wrong with a call; ``whole`` when it stands there to be run."""
    command: Any = typer.main.get_command(program)
    rest = list(words)
    given: set[str] = set()
    while hasattr(command, "commands"):
        while rest and rest[0].startswith("-"):
            given.add(rest.pop(0))
        known = {option for item in command.params for option in item.opts} | EVERYDAY | {"--version"}
        if given - known or not rest:
            return sorted(given - known)
        if rest[0] == PLACEHOLDER:
            return []
        if rest[0] not in command.commands:
            return [rest[0]]
        command, given = command.commands[rest.pop(0)], set()
    options = {option: item for item in command.params for option in item.opts if option.startswith("-")}
    given = {word.partition("=")[0] for word in rest if word.startswith("-")}
    wrong = sorted(given - options.keys() - EVERYDAY)
    if whole:
        required = {item.opts[0] for item in options.values() if item.required}
        wrong += sorted(f"{option} is missing" for option in required - given)
    return wrong


def test_every_command_and_option_exists(document: Document) -> None:
    wrong = []
    for line, whole in document.commands():
        for name, program in PROGRAMS.items():
            for words in words_of(REMARK.sub("", line), name):
                wrong += [f"{line}: {item}" for item in wrong_in(words, program, whole=whole)]
    assert wrong == []


def test_every_make_target_exists(document: Document) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for line, _ in document.commands():
        if line.startswith("make "):
            assert line.split()[1] in targets, line


def test_every_link_leads_somewhere(document: Document) -> None:
    broken = []
    for link in document.links:
        name, _, anchor = link.partition("#")
        path = (document.path.parent / name).resolve() if name else document.path
        if not path.exists() or (anchor and anchor not in Document(path).anchors):
            broken.append(link)
    assert broken == []


def test_every_settings_file_is_accepted(document: Document, tmp_path: Path) -> None:
    for block in settings_blocks(document):
        path = tmp_path / "groundglass.toml"
        path.write_text(block.body)
        assert load(path, {}).node.ae_title


def settings_blocks(document: Document) -> Iterator[Block]:
    return (block for block in document.blocks if block.language == "toml" and not block.recipe)


def test_every_recipe_is_accepted(document: Document, tmp_path: Path) -> None:
    shutil.copytree(RECIPES, tmp_path, dirs_exist_ok=True)
    for block in document.blocks:
        if block.recipe:
            path = tmp_path / block.options["file"]
            path.write_text(block.body)
            assert read_recipe(path).name == path.stem


def test_every_document_is_in_the_index() -> None:
    index = Document(ROOT / "docs" / "README.md")
    linked = {(index.path.parent / link.partition("#")[0]).resolve() for link in index.links}
    there = {item.path for item in DOCUMENTS if item.path.is_relative_to(ROOT / "docs")} - {index.path}
    decisions = Document(ROOT / "docs" / "decisions" / "README.md")
    linked |= {(decisions.path.parent / link).resolve() for link in decisions.links}
    assert there - linked == set()


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "docs" / "pictures").glob("*"))
    assert pictures
    assert [path.name for path in pictures if path.stat().st_size > 300_000] == []


def test_the_checks_are_able_to_fail(tmp_path: Path) -> None:
    assert wrong_in(["fly"], app, whole=True) == ["fly"]
    assert wrong_in(["go-live", "pacs", "--by", "A"], app, whole=True) == ["--reason is missing"]
    assert wrong_in(["studies", "list", "--colour"], app, whole=True) == ["--colour"]
    assert wrong_in(["studies", "list", "--json"], app, whole=True) == []
    assert words_of("X=$(groundglass status | cat)", "groundglass") == [["status"]]
    page = tmp_path / "page.md"
    page.write_text('# A [b](gone.md)\n\n```toml tested file="x y"\n[peers]\n```\n')
    (block,) = Document(page).blocks
    assert (Document(page).links, block.tested, block.options) == (["gone.md"], True, {"file": "x y"})
    with pytest.raises(SettingsError):
        load(write(tmp_path / "x.toml", "[node]\ncolour = 1\n"), {})


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
