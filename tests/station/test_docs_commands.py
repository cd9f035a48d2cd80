"""The commands of the documents, run as a reader would run them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.dicom.write import write_phantom
from node.imaging.phantom import ThoraxPhantom
from tests.docs_reading import ROOT, Document
from tests.station.docs_ground import Walk, first_missing, prepare

TUTORIAL = Document(ROOT / "docs" / "tutorial.md")
HOW_TO = [
    page
    for page in map(Document, sorted((ROOT / "docs" / "how-to").glob("*.md")))
    if any(block.tested for block in page.blocks) and not page.tests("python -m trainer")
]


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    made = prepare(tmp_path, monkeypatch)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def hospital(walk: Walk) -> Walk:
    """What the tutorial leaves: settings, a PACS, a node, and one study that was screened."""
    write_phantom(walk.folder / "my-study", ThoraxPhantom(slices=60))
    (walk.folder / "pacs").mkdir()
    for block in TUTORIAL.blocks:
        if not block.options.keys().isdisjoint({"file", "background"}):
            walk.do(block)
    sent = walk.run("groundglass send my-study --to GROUNDGLASS@127.0.0.1:11112 --as CT1")
    assert sent.code == 0, sent.output
    console = [block for block in TUTORIAL.blocks if block.language == "console"]
    (variable,) = (
        step.command for block in console for step in block.steps if step.command.startswith("STUDY=")
    )
    walk.run(variable)
    walk.run("groundglass studies show $STUDY", until="withheld")
    return walk


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md"])
def test_the_commands_work(name: str, walk: Walk) -> None:
    assert walk.follow(Document(ROOT / name)) > 0


@pytest.mark.long
@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.path.stem)
def test_the_commands_of_a_how_to_work(page: Document, hospital: Walk) -> None:
    hospital.follow(page)


def test_what_is_shown_is_looked_for_in_its_order() -> None:
    output = "one\ntwo   three\nfour\n"
    assert first_missing(["one", "two three", "four"], output) is None
    assert first_missing(["t... three", "...", "four"], output) is None
    assert first_missing(["four", "one"], output) == "one"
    assert first_missing(["two"], output) == "two"
