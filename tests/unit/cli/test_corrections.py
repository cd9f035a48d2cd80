"""``studies withdraw`` and ``studies correct`` on a store with results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from node.cli.exits import ExitCode
from node.cli.main import app
from tests.conftest import ct_header
from tests.unit.store.conftest import Ward, empty_index, store

__all__ = ["empty_index", "store"]
AUDIT = ("--by", "Ada", "--reason", "wrong patient")


@pytest.fixture
def ward(store: Any, clock: Any) -> Ward:
    made = Ward(store, clock, ct_header)
    store.operations.go_live("pacs", "Ada", "test")
    made.add(1)
    made.screened()
    return made


@pytest.fixture
def study(ward: Ward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "groundglass.toml").write_text('[node]\ndata_dir = "data"\n')
    monkeypatch.chdir(tmp_path)
    return str(ward.study.study_instance_uid)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["studies", *arguments])


def shown(study: str) -> Any:
    return json.loads(run("show", study, "--json").stdout)


def test_withdrawing_says_who_is_told(ward: Ward, study: str) -> None:
    ward.store.outbox.claim("pacs", limit=1)
    done = run("withdraw", study, "--title", "patient-safety", *AUDIT)
    assert done.exit_code == 0, done.output
    assert "Withdrawn: 1 version. A running node sends a rejection note to pacs." in done.output
    (item,) = shown(study)["withdrawals"]
    assert (item["version"], item["title"], item["note"]) == (1, "patient-safety", "to be made")
    assert "to be made" in run("show", study).output
    status = CliRunner().invoke(app, ["status", "--json"])
    assert [row["study"] for row in json.loads(status.stdout)["notes_to_be_made"]] == [study]
    again = run("withdraw", study, "--title", "quality", *AUDIT)
    assert again.exit_code == ExitCode.UNKNOWN


def test_withdrawing_what_had_not_left(ward: Ward, study: str) -> None:
    done = run("withdraw", study, "--title", "quality", "--model", "covid", *AUDIT)
    assert "No object of it had left." in done.output


def test_a_title_of_another_kind_is_refused(ward: Ward, study: str) -> None:
    assert run("withdraw", study, "--title", "113037", *AUDIT).exit_code == ExitCode.USAGE


def test_correcting_shows_keywords_and_never_values(ward: Ward, study: str) -> None:
    done = run("correct", study, "--set", "PatientID=P=9", "--set", "PatientName=Doe^Janet", *AUDIT)
    assert done.exit_code == 0, done.output
    assert ward.store.overrides.of(ward.study.id) == {"PatientID": "P=9", "PatientName": "Doe^Janet"}
    text = run("show", study).output + json.dumps(shown(study))
    assert "PatientName" in text
    assert "Janet" not in text
    assert "P=9" not in text
    assert run("correct", study, "--unset", "PatientName", *AUDIT).exit_code == 0
    assert [item["keyword"] for item in shown(study)["overrides"]] == ["PatientID"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--set", "PatientID"),
        ("--set", "PatientID=1", "--set", "PatientID=2"),
        ("--set", "PatientID="),
        ("--set", "Rows=1"),
        ("--unset", "PatientID"),
    ],
)
def test_an_order_that_says_nothing_is_refused(ward: Ward, study: str, arguments: tuple[str, ...]) -> None:
    done = run("correct", study, *arguments, *AUDIT)
    assert done.exit_code == ExitCode.USAGE, done.output
    assert ward.store.overrides.of(ward.study.id) == {}
    assert ward.store.screenings.current_version(ward.study.id, "covid") is not None
