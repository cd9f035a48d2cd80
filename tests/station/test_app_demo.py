"""The demonstration: the whole way, and what it leaves behind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pydicom
import pytest
from typer.testing import CliRunner, Result

from node.cli.exits import ExitCode
from node.cli.main import app
from node.infer.bundle import Bundle
from tests.station.app_ground import SLICES, phantom_folder

COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reference" / "demo-summary.md"


def demo(source: Path, out: Path, bundle: Bundle, *more: str) -> Result:
    arguments = ["demo", "--input", str(source), "--out", str(out), "--bundle", str(bundle.folder)]
    return CliRunner().invoke(app, [*arguments, "--quiet-seconds", "0.5", *more])


def summary_of(out: Path) -> Any:
    return json.loads((out / "summary.json").read_text(encoding="utf-8"))


def write_mr(template: Path, path: Path) -> None:
    """An MR object of another study."""
    data_set = pydicom.dcmread(template)
    data_set.SOPClassUID = data_set.file_meta.MediaStorageSOPClassUID = MR_IMAGE
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = "2.25.11"
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID, data_set.Modality = "2.25.12", "2.25.13", "MR"
    data_set.save_as(path)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> tuple[Path, Result]:
    """What a demo of a chest CT, an MR object, a page and a truncated file leaves."""
    root = tmp_path_factory.mktemp("demo")
    source, out = root / "in", root / "out"
    paths = phantom_folder(source)
    (source / "page.dcm").write_text("<html>no image</html>")
    write_mr(paths[0], source / "mr.dcm")
    (source / "truncated.dcm").write_bytes((source / "mr.dcm").read_bytes()[:2000])
    return out, demo(source, out, tiny_bundle)


def test_it_ends_well_and_shows_the_way(left: tuple[Path, Result]) -> None:
    _, answer = left
    assert answer.exit_code == 0, answer.output
    for word in ("received", "complete", "chosen", "selected", "scored", "decision", "delivered"):
        assert re.search(rf"^{word} ", answer.stdout, re.MULTILINE), word


def test_everything_at_the_pacs_is_left_as_files(left: tuple[Path, Result]) -> None:
    out, _ = left
    objects = [pydicom.dcmread(path) for path in (out / "received").glob("*.dcm")]
    assert [item.SOPClassUID for item in objects].count(COMPREHENSIVE_3D_SR) == 1
    summary = summary_of(out)
    delivered = {result["sop_instance_uid"] for study in summary["studies"] for result in study["results"]}
    assert delivered == {item.SOPInstanceUID for item in objects}
    assert (out / "summary.png").read_bytes().startswith(b"\x89PNG")
    assert "Slices received" in (out / "report.txt").read_text(encoding="utf-8")


def test_the_fate_of_every_file_is_told(left: tuple[Path, Result]) -> None:
    out, _ = left
    fates = {Path(item["path"]).name: item["fate"] for item in summary_of(out)["files"]}
    assert fates.pop("page.dcm") == "not-sent"
    assert fates.pop("truncated.dcm") == "refused"
    assert len(fates) == SLICES + 1
    assert set(fates.values()) == {"sent"}


def test_the_summary_holds_the_numbers(left: tuple[Path, Result]) -> None:
    out, _ = left
    summary = summary_of(out)
    assert (summary["schema"], summary["schema_version"]) == ("groundglass.demo-summary", 1)
    assert (summary["finished"], summary["lost"], summary["failures"]) == (True, [], [])
    by_modality = {study["series"][0]["modality"]: study for study in summary["studies"]}
    assert by_modality["MR"]["standing"] == "nothing-to-send"
    assert "no chest CT" in by_modality["MR"]["reason"]
    study = by_modality["CT"]
    (series,) = study["series"]
    assert study["standing"] == "delivered"
    assert (series["verdict"], series["chosen"], series["slices_received"]) == ("geometry", True, SLICES)
    selected = [item for item in series["slices"] if item["selected"]]
    assert [item["sop_instance_uid"] for item in selected] == series["slices_selected"]
    assert all(0 <= item["probability"] <= 1 for item in selected)
    assert study["ratio"] == len(series["slices_positive"]) / len(selected)
    assert {"receive", "complete", "select", "infer", "report", "deliver"} <= study["seconds"].keys()


def test_every_field_of_the_summary_is_documented(left: tuple[Path, Result]) -> None:
    out, _ = left
    documented = set(re.findall(r"`([a-z0-9_]+)`", DOCUMENT.read_text(encoding="utf-8")))
    assert keys(summary_of(out)) - documented == set()


def keys(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set()


def test_the_store_of_the_node_does_not_stay(left: tuple[Path, Result]) -> None:
    out, _ = left
    assert sorted(path.name for path in out.iterdir()) == [
        "node.log",
        "received",
        "report.txt",
        "summary.json",
        "summary.png",
    ]


def test_too_few_slices_are_an_answer_and_the_minimum_can_be_lowered(
    tmp_path: Path, tiny_bundle: Bundle
) -> None:
    source = tmp_path / "in"
    for path in phantom_folder(source)[:11] + phantom_folder(source)[14:]:
        path.unlink()
    assert demo(source, tmp_path / "out", tiny_bundle).exit_code == 0
    (study,) = summary_of(tmp_path / "out")["studies"]
    assert (study["outcome"], study["standing"]) == ("not-analysed", "delivered")
    assert "too few slices: 3" in study["reason"]

    assert demo(source, tmp_path / "out", tiny_bundle, "--min-slices", "2").exit_code == 0
    (study,) = summary_of(tmp_path / "out")["studies"]
    assert study["outcome"] != "not-analysed"
    assert study["series"][0]["slices_received"] == 3


def test_nothing_to_send_is_a_failure(tmp_path: Path, tiny_bundle: Bundle) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "page.dcm").write_text("<html>")
    answer = demo(source, tmp_path / "out", tiny_bundle)
    assert answer.exit_code == ExitCode.FAILED
    assert "nothing was sent" in answer.stderr


def test_a_folder_of_the_user_is_not_overwritten(tmp_path: Path, tiny_bundle: Bundle) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    phantom_folder(source)
    out.mkdir()
    (out / "report.txt").write_text("my thesis")
    assert demo(source, out, tiny_bundle).exit_code == ExitCode.USAGE
    assert (out / "report.txt").read_text() == "my thesis"
