"""The list of pulls, one of them series by series, and how one is ended and goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from node.cli.exits import ExitCode
from node.cli.main import app
from node.domain.archives import ArchivedSeries, PullCause, PullRequest, Sought
from node.store.store import Store
from tests.unit.store.conftest import empty_index, store

__all__ = ["empty_index", "store"]


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["pulls", *words])


@pytest.fixture
def number(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the number of a pull of two series, of which one fell short."""
    (tmp_path / "groundglass.toml").write_text('[node]\ndata_dir = "data"\n')
    monkeypatch.chdir(tmp_path)
    found = [
        ArchivedSeries(
            study_instance_uid="1.2",
            series_instance_uid=f"1.2.{number}",
            modality="CT",
            body_part_examined="",
            series_description="",
            instance_count=None,
        )
        for number in (1, 2)
    ]
    sought = Sought(accession_number="A1")
    made = store.pulls.ask(PullRequest(archive="pacs", cause=PullCause.ASKED, sought=sought))
    store.pulls.found(made, found)
    fetch = store.pulls.due_fetch("pacs")
    assert fetch is not None
    store.pulls.fell_short(fetch.id, "2 of 3 instances did not come")
    return made


def test_a_pull_is_shown_series_by_series(number: int) -> None:
    (listed,) = json.loads(run("--json").stdout)
    shown = json.loads(run(str(number), "--json").stdout)
    assert {key: shown[key] for key in listed} == listed
    assert listed["next_at"] == shown["of_series"][1]["next_at"] is not None
    told = [(item["series_instance_uid"], item["state"], item["detail"]) for item in shown["of_series"]]
    assert told == [("1.2.1", "short", "2 of 3 instances did not come"), ("1.2.2", "waiting", "")]
    text = run(str(number)).stdout
    assert "2 series" in text
    assert "0 of ?" in text
    assert "1 pull" in run().stdout


def test_a_pull_is_ended_and_goes_on(number: int) -> None:
    (cancelled,) = json.loads(run("--cancel", str(number), "--json").stdout)
    assert (cancelled["state"], cancelled["next_at"]) == ("cancelled", None)
    assert run("--cancel", str(number)).exit_code == ExitCode.FAILED
    (going,) = json.loads(run("--resume", str(number), "--json").stdout)
    assert (going["state"], going["ended_at"], going["series_ended"]) == ("fetching", None, 0)
    assert run("--resume", str(number)).exit_code == ExitCode.FAILED
    assert run("77").exit_code == ExitCode.UNKNOWN
