"""The demo's folder: its own files are replaced, nobody else's are touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.cli.demo.folder import DemoFolder
from node.domain.errors import SettingsError


def test_a_new_folder_is_marked_at_once(tmp_path: Path) -> None:
    folder = DemoFolder(tmp_path / "a" / "out")
    content = json.loads(folder.summary.read_text())
    assert content == {"schema": "groundglass.demo-summary", "schema_version": 1, "finished": False}


def test_an_earlier_demo_is_replaced_and_other_files_stay(tmp_path: Path) -> None:
    first = DemoFolder(tmp_path)
    first.received.mkdir()
    (first.received / "2.25.1.dcm").write_bytes(b"old")
    (first.received / "notes.txt").write_text("mine")
    (tmp_path / "thesis.txt").write_text("mine")
    first.report.write_text("old")
    first.data.mkdir()
    second = DemoFolder(tmp_path)
    assert not (second.received / "2.25.1.dcm").exists()
    assert not second.report.exists()
    assert not second.data.exists()
    assert (second.received / "notes.txt").read_text() == "mine"
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["report.txt", "summary.png", "summary.json"])
def test_a_file_that_no_demo_made_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"schema": "something else"}')
    with pytest.raises(SettingsError, match="no earlier demo made it"):
        DemoFolder(tmp_path)
    assert (tmp_path / name).read_text() == '{"schema": "something else"}'


def test_a_folder_of_received_images_is_not_cleared(tmp_path: Path) -> None:
    (tmp_path / "received").mkdir()
    (tmp_path / "received" / "patient.dcm").write_bytes(b"x")
    with pytest.raises(SettingsError):
        DemoFolder(tmp_path)
    assert (tmp_path / "received" / "patient.dcm").exists()


def test_out_may_hold_other_things(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    DemoFolder(tmp_path)
    assert (tmp_path / "series").is_dir()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("x")
    with pytest.raises(SettingsError, match="is a file"):
        DemoFolder(path)
