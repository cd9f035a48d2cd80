"""The command line on a real installation, with and without its node running."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from typer.testing import CliRunner

from node.app import Node, SystemClock, build
from node.cli.exits import ExitCode
from node.cli.main import app
from node.domain.input_spec import SpecModel
from node.domain.model import ModelStatus
from node.infer.bundle import Bundle, load_bundle
from node.receive.sink import FolderSink
from tests.model_folder import phantom_slices, tiny_spec, write_model_folder
from tests.station.app_ground import SLICES, Place, install, phantom_folder, wait_for

AUDIT = ("--by", "tester", "--reason", "test")


@pytest.fixture
def place(tmp_path: Path, tiny_bundle: Bundle) -> Place:
    return install(tmp_path, tiny_bundle)


@pytest.fixture
def node(place: Place) -> Iterator[Node]:
    made = build(place.settings)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def pacs(place: Place) -> Iterator[FolderSink]:
    sink = FolderSink("PACS", "127.0.0.1", place.pacs_port, place.folder / "pacs", clock=SystemClock())
    sink.start()
    yield sink
    sink.stop()


def address(place: Place) -> str:
    return f"GROUNDGLASS@127.0.0.1:{place.port}"


def test_the_way_of_an_operator(place: Place, node: Node, pacs: FolderSink, tmp_path: Path) -> None:
    """Send, look, go live, release what was withheld, read the report, hold and release."""
    paths = phantom_folder(tmp_path / "series")
    study = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    (tmp_path / "series" / "page.dcm").write_text("<html>")
    sent = place.json("send", str(tmp_path / "series"), "--to", address(place), "--as", "CT1")
    assert [item["fate"] for item in sent].count("sent") == SLICES
    assert [Path(item["path"]).name for item in sent if item["fate"] == "not-sent"] == ["page.dcm"]
    wait_for(lambda: place.json("studies", "show", study)["deliveries"], "the results")

    (listed,) = place.json("studies", "list")
    assert (listed["study_instance_uid"], listed["instances"]) == (study, SLICES)
    assert place.json("status")["mode"] == "silent"
    shown = place.json("studies", "show", study)
    assert shown["series"][0]["verdict"] == "geometry"
    assert "Phantom^Thorax" not in json.dumps(shown)
    assert {item["state"] for item in shown["deliveries"]} == {"withheld"}

    assert place.command("go-live", "pacs", *AUDIT).exit_code == 0
    released = place.command("send", "--study", study, "--to", "pacs", *AUDIT)
    assert released.exit_code == 0, released.output
    count = len(shown["deliveries"])
    wait_for(lambda: len(pacs.files()) == count, "the released results at the PACS")
    status = place.json("status")
    assert (status["mode"], status["node"]["running"], status["node"]["ready"]) == ("live", True, True)
    (destination,) = status["destinations"]
    assert (destination["name"], destination["live"], destination["breaker"]) == ("pacs", True, "closed")

    def taken() -> bool:
        (now,) = place.json("status")["destinations"]
        return bool(now["sent"] + now["delivered"] == count)

    wait_for(taken, "the answers of the PACS to be noted")

    (report,) = (path for path in pacs.files() if pydicom.dcmread(path).Modality == "SR")
    text = CliRunner().invoke(app, ["report", str(report)])
    assert text.exit_code == 0
    assert "Slices received" in text.output

    assert place.command("studies", "hold", study, *AUDIT).exit_code == 0
    assert place.json("studies", "show", study)["state"] == "held"
    assert place.json("status")["held_studies"][0]["study_instance_uid"] == study
    assert place.command("studies", "release", study, *AUDIT).exit_code == 0
    assert place.command("stop", *AUDIT).exit_code == 0
    assert place.json("status")["mode"] == "halted"


def test_a_study_is_completed_and_screened_again_by_hand(place: Place, node: Node, tmp_path: Path) -> None:
    paths = phantom_folder(tmp_path / "series")
    study = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    assert (
        place.command("send", str(tmp_path / "series"), "--to", address(place), "--as", "CT1").exit_code == 0
    )
    assert place.command("studies", "complete", study, *AUDIT).exit_code == 0
    wait_for(lambda: place.json("studies", "show", study)["finding"], "the screening")
    assert place.command("reprocess", study, *AUDIT).exit_code == 0
    wait_for(
        lambda: (
            [item["state"] for item in place.json("studies", "show", study)["screenings"]].count("done") == 2
        ),
        "the second screening",
    )
    assert {item["cause"] for item in place.json("studies", "show", study)["screenings"]} == {
        "settled",
        "reprocess",
    }


def test_status_shows_a_refused_caller_with_the_lines_to_paste(
    place: Place, node: Node, tmp_path: Path
) -> None:
    phantom_folder(tmp_path / "series")
    refused = place.command("send", str(tmp_path / "series"), "--to", address(place), "--as", "STRANGER")
    assert refused.exit_code == ExitCode.FAILED
    wait_for(lambda: place.json("status")["refused_callers"], "the refused caller")
    answer = place.command("status")
    assert "[[peers]]" in answer.output
    assert 'ae_title = "STRANGER"' in answer.output


def test_echo(place: Place, node: Node, pacs: FolderSink) -> None:
    assert place.command("echo", "--to", address(place), "--as", "CT1").exit_code == 0
    assert place.command("echo", "--to", "pacs").exit_code == 0
    assert place.command("echo", "--to", address(place), "--as", "STRANGER").exit_code == ExitCode.UNREACHABLE


def test_check_finds_what_is_well_and_what_is_not(place: Place, pacs: FolderSink) -> None:
    checks = place.json("check")
    assert {item["subject"] for item in checks if item["passed"]} == {
        "settings",
        "node.port",
        "health.port",
        "model",
        "destination pacs",
    }
    pacs.stop()
    text = place.config.read_text()
    place.config.write_text(text.replace("[[destinations]]", '[[destinations]]\nproof = "commitment"', 1))
    answer = place.command("check")
    assert answer.exit_code == ExitCode.NOT_READY
    assert "destination pacs" in answer.output
    assert "warning" in answer.output
    assert "proof of pacs" in answer.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("status",), ExitCode.UNKNOWN, "no store is there"),
        (("go-live", "elsewhere", *AUDIT), ExitCode.UNKNOWN, "no such destination"),
        (("go-live", "pacs"), ExitCode.USAGE, "--by"),
        (("echo", "--to", "PACS@nowhere"), ExitCode.USAGE, "AET@HOST:PORT"),
        (("echo", "--to", "pacs"), ExitCode.UNREACHABLE, "does not answer"),
        (("send", "--to", "pacs"), ExitCode.USAGE, "either a folder or --study"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    place: Place, arguments: tuple[str, ...], code: ExitCode, message: str
) -> None:
    answer = place.command(*arguments)
    assert answer.exit_code == code
    assert message in answer.stderr
    assert "Traceback" not in answer.output


def test_an_unknown_study_is_told(place: Place) -> None:
    assert place.command("go-live", "pacs", *AUDIT).exit_code == 0
    answer = place.command("studies", "show", "1.2.3")
    assert answer.exit_code == ExitCode.UNKNOWN
    assert "no such study" in answer.stderr


def test_wrong_settings_name_the_key(place: Place) -> None:
    place.config.write_text("[node]\nprot = 1\n")
    answer = place.command("check")
    assert answer.exit_code == ExitCode.USAGE
    assert "node.prot: unknown key; did you mean 'port'?" in answer.stderr


def test_a_model_that_is_not_there_is_not_ready(place: Place) -> None:
    place.config.write_text(place.config.read_text().replace('model = "tiny"', 'model = "absent"'))
    answer = place.command("serve")
    assert answer.exit_code == ExitCode.NOT_READY
    assert "triton_models" in answer.stderr


def test_debug_shows_the_traceback(place: Place) -> None:
    answer = CliRunner().invoke(app, ["--debug", "status", "--config", str(place.config)])
    assert answer.exception is not None
    assert type(answer.exception).__name__ == "UnknownSubject"


def test_files_for_a_peer_that_is_away_are_told_one_by_one(place: Place, tmp_path: Path) -> None:
    phantom_folder(tmp_path / "series")
    answer = place.command("send", str(tmp_path / "series"), "--to", "pacs", "--json")
    assert answer.exit_code == ExitCode.FAILED
    fates = json.loads(answer.stdout)
    assert len(fates) == SLICES
    assert {item["fate"] for item in fates} == {"failed"}
    assert "does not answer" in fates[0]["detail"]


def test_the_store_is_checked_and_every_decision_is_kept(place: Place, node: Node, tmp_path: Path) -> None:
    """An untouched store has no problem; a damaged object is found and ends with 1."""
    phantom_folder(tmp_path / "series")
    place.json("send", str(tmp_path / "series"), "--to", address(place), "--as", "CT1")
    assert place.command("go-live", "pacs", *AUDIT).exit_code == 0
    (act,) = place.json("audit")
    assert (act["by"], act["action"], act["subject"], act["reason"]) == ("tester", "go-live", "pacs", "test")
    assert [problem for problem in place.json("integrity") if problem["kind"] != "orphan"] == []

    damaged = next((place.folder / "data" / "objects").rglob("*.dcm"))
    damaged.write_bytes(b"not what was received")
    found = CliRunner().invoke(app, ["integrity", "--json", "--store", str(place.folder / "data")])
    assert found.exit_code == ExitCode.FAILED
    problems = [(item["kind"], item["key"]) for item in json.loads(found.stdout)]
    # The node is making results meanwhile: their files are there before their rows.
    assert [problem for problem in problems if problem[0] != "orphan"] == [("damaged", damaged.stem)]
    nothing = CliRunner().invoke(app, ["integrity", "--store", str(tmp_path)])
    assert nothing.exit_code == ExitCode.UNKNOWN


def test_a_demonstration_is_released_only_to_who_accepts_it(tmp_path: Path) -> None:
    """What silent mode withheld of a demonstration model stays, also by hand."""
    model = SpecModel(name="shown", version=1, status=ModelStatus.DEMONSTRATION)
    folder = write_model_folder(tmp_path / "models", phantom_slices(), spec=tiny_spec(model=model))
    place = install(tmp_path, load_bundle(folder))
    study = str(pydicom.dcmread(phantom_folder(tmp_path / "series")[0]).StudyInstanceUID)
    node = build(place.settings)
    node.start()
    try:
        place.json("send", str(tmp_path / "series"), "--to", address(place), "--as", "CT1")
        wait_for(lambda: place.json("studies", "show", study)["deliveries"], "the results")
        answer = place.command("send", "--study", study, "--to", "pacs", *AUDIT)
        assert answer.exit_code == ExitCode.USAGE
        assert "accept_demonstration" in answer.stderr
        shown = place.json("studies", "show", study)
        assert {item["state"] for item in shown["deliveries"]} == {"withheld"}
    finally:
        node.stop()


@pytest.mark.parametrize("blank", [("--by", " ", "--reason", "why"), ("--by", "who", "--reason", "")])
def test_an_act_without_a_name_or_a_reason_is_a_wrong_command_line(
    place: Place, blank: tuple[str, ...]
) -> None:
    assert place.command("go-live", "pacs", *blank).exit_code == ExitCode.USAGE
    assert place.command("stop", *blank).exit_code == ExitCode.USAGE
