"""The commands of the trainer's pages, run as a reader would run them, on small data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs_reading import ROOT, Document
from tests.station.trainer_docs_ground import trainer_walk

HOW_TO = ROOT / "docs" / "how-to"
TRAIN = Document(HOW_TO / "train-a-model.md")
OTHERS = [
    page
    for page in map(Document, sorted(HOW_TO.glob("*.md")))
    if page.tests("python -m trainer") and page.path != TRAIN.path
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader of "Train a model" has in the end; the other pages go on from there."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as monkeypatch:
        trainer_walk(folder, TRAIN, monkeypatch).follow(TRAIN)
    return folder


@pytest.mark.long
def test_the_commands_of_train_a_model_work(trained: Path) -> None:
    assert (trained / "runs" / "lite0" / "result.json").is_file()
    assert (trained / "runs" / "quick" / "result.json").is_file()


@pytest.mark.long
@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.path.stem)
def test_the_commands_of_a_page_work(
    page: Document, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(trained, tmp_path / "walk", ignore=links)
    walk = trainer_walk(folder, page, monkeypatch)
    try:
        assert walk.follow(page) > 0
    finally:
        walk.end()


def links(folder: str, names: list[str]) -> list[str]:
    """Name the links of a walk into the repository; the next walk makes its own."""
    return [name for name in names if (Path(folder) / name).is_symlink()]


def test_every_page_of_the_trainer_is_walked() -> None:
    named = {page.path.stem for page in OTHERS}
    assert named >= {
        "data-sets",
        "export-a-model",
        "import-keras-weights",
        "judge-a-model",
        "reproduce-the-papers",
    }
