"""The commands of retention over a real store."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from node.cli.main import app
from node.domain.announcement import Status
from node.domain.errors import SettingsError
from node.domain.expectation import Source
from node.domain.network import WebhookDestination
from node.domain.retention import Answer, Extent
from node.keeping import rules_of
from node.settings.loading import load
from node.store.store import Store
from tests.conftest import ct_header
from tests.unit.store.conftest import Ward, empty_index, store

__all__ = ["empty_index", "store"]

RULES = """
[node]
data_dir = "data"

[[retention.rules]]
name = "crowded"
while_more_studies_than = 0
results = "none"
"""
DESTINATIONS = """
[[destinations]]
kind = "folder"
name = "files"
path = "files"

[[destinations]]
kind = "webhook"
name = "hook"
url = "https://example.org/hook"
secret = "env:SECRET"
"""


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["retention", *words])


@pytest.fixture
def study(store: Store, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the StudyInstanceUID of a settled study without a result, in the store of the settings."""
    (tmp_path / "groundglass.toml").write_text(RULES)
    monkeypatch.chdir(tmp_path)
    ward = Ward(store, clock, ct_header)
    ward.add(1, data=b"an image")
    ward.conclude()
    found = ward.study
    store.studies.settle(found.id, [], last_arrival_at=found.last_arrival_at)
    return str(found.study_instance_uid)


def test_from_the_dry_run_to_the_removal(study: str) -> None:
    (planned,) = json.loads(run("run", "--dry-run", "--json").stdout)
    assert (planned["study_instance_uid"], planned["extent"]) == (study, "study")
    assert "1 study would be removed, 8 bytes" in run("run", "--dry-run").stdout
    assert run("hold", study, "--by", "Ada", "--reason", "teaching").exit_code == 0
    assert json.loads(run("run", "--dry-run", "--json").stdout) == []
    status = json.loads(run("status", "--json").stdout)
    assert status["studies"] == [{"count": 1, "reason": "kept by an operator's order"}]
    assert [item["reason"] for item in status["holds"]] == ["teaching"]
    assert run("release", study, "--by", "Ada", "--reason", "done").exit_code == 0
    assert "1 study removed, 8 bytes" in run("run", "--by", "Ada").stdout
    status = json.loads(run("status", "--json").stdout)
    assert (status["studies"], status["holds"]) == ([], [])
    assert [(item["study_instance_uid"], item["by"]) for item in status["removals"]] == [(study, "Ada")]
    assert "Removed last" in run("status").stdout


def test_a_removal_needs_a_name_and_a_rule(study: str, tmp_path: Path) -> None:
    assert run("run").exit_code == 2
    assert run("run", "--by", " ").exit_code == 2
    (tmp_path / "groundglass.toml").write_text('[node]\ndata_dir = "data"\n')
    answer = run("run", "--by", "Ada")
    assert (answer.exit_code, "there is none" in answer.stderr) == (2, True)
    assert "not applied by themselves" in run("status").stdout
    assert run("release", study, "--by", "Ada", "--reason", "done").exit_code == 4


def test_the_rules_know_which_destinations_keep_objects(tmp_path: Path) -> None:
    file = tmp_path / "groundglass.toml"
    file.write_text(
        RULES.replace('results = "none"', "older_than_days = 2\ndelivered_to = []") + DESTINATIONS
    )
    settings = load(file, {"SECRET": "x"})
    (rule,) = rules_of(settings)
    assert {type(item) for item in settings.destination_records()} >= {WebhookDestination}
    assert (rule.remove, rule.answer, rule.older_than) == (Extent.IMAGES, Answer.DELIVERED, timedelta(days=2))
    assert (rule.archives, rule.delivered_to) == ({"files"}, frozenset())
    file.write_text(file.read_text().replace("delivered_to = []", 'delivered_to = ["hook", "former"]'))
    (rule,) = rules_of(load(file, {}))
    assert (rule.archives, rule.delivered_to) == ({"former"}, {"hook", "former"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[retention.rules]]\nname = "never"\n', "says not when"),
        ("[retention]\nenabled = true\n", "without a rule"),
        ('[[retention.rules]]\nname = "a"\nolder_than_days = 1\n' * 2, "stands twice"),
        ('[[retention.rules]]\nname = "a"\nolder_than_days = 0\n', "older_than_days"),
        ('[[retention.rules]]\nname = "a"\nolder_than_days = 1\nmodalities = ["ct"]\n', "modalities"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "groundglass.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=message):
        load(file, {})


def test_forgetting_is_looked_at_before_it_is_done(study: str, store: Store, clock: Any) -> None:
    assert study
    clock.advance(-200 * 86400)  # the commands go by the clock of the day
    store.announcements.create(Source.AVAILABILITY, "1.5", Status.AVAILABLE, [], calling_ae_title="PACS")
    assert run("forget").exit_code != 0
    kinds = ["announcements", "commitment requests", "pulls", "associations", "questions for proof"]
    for words, counts in (
        (("--dry-run",), [1, 0, 0, 0, 0]),
        (("--by", "Ada"), [1, 0, 0, 0, 0]),
        (("--by", "Ada"), [0] * 5),
    ):
        told = json.loads(run("forget", "--json", *words).stdout)
        assert [(item["what"], item["count"]) for item in told] == list(zip(kinds, counts, strict=True))
    with store.database.read() as connection:
        acts = connection.exec_driver_sql("SELECT \"by\", subject FROM audit WHERE action = 'forget'").all()
    assert [tuple(act) for act in acts] == [("Ada", "1 announcements, 1 rows")]
