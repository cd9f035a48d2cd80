"""The life of models on a real installation: added, checked, shadowed, compared, promoted, verified."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from sqlalchemy import update

from node.app import Node, build
from node.cli.exits import ExitCode
from node.cli.options import store_of
from node.domain.delivery import DeliveryState
from node.domain.input_spec import SpecModel, WindowSpec
from node.domain.job import ScreeningState
from node.domain.model import ModelStatus
from node.infer.bundle import load_bundle
from node.operate.health import ask
from node.store.schema import slice_scores
from tests.free_ports import free_port
from tests.model_folder import TinyNet, phantom_slices, tiny_spec, write_model_folder, write_version
from tests.station.app_ground import Place, install, phantom_folder, wait_for

AUDIT = ("--by", "tester", "--reason", "test")
BLIND = TinyNet(bias=-40.0)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two versions of the tiny model; the second one is a shadow."""
    folder = write_model_folder(tmp_path / "models", phantom_slices())
    write_version(folder, phantom_slices(), 2, net=BLIND)
    made = install(tmp_path, load_bundle(folder))
    text = made.config.read_text().replace("[infer]", '[infer]\nshadow = ["tiny:2"]')
    made.config.write_text(text)
    return made


@pytest.fixture
def node(place: Place) -> Iterator[Node]:
    made = build(place.settings)
    made.start()
    yield made
    made.stop()


def screened(place: Place, tmp_path: Path) -> str:
    """Send a study, wait until the report and the shadow are there, and return its UID."""
    paths = phantom_folder(tmp_path / "series")
    study = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    place.json("send", str(tmp_path / "series"), "--to", f"GROUNDGLASS@127.0.0.1:{place.port}", "--as", "CT1")
    wait_for(lambda: len(done(place, study)) == 2, "the report and the shadow")
    return study


def done(place: Place, study: str) -> list[dict[str, Any]]:
    found = place.json("studies", "show", study)["screenings"]
    return [item for item in found if item["outcome"] is not None]


def roles(place: Place) -> dict[int, str]:
    return {item["version"]: item["role"] for item in place.json("models", "list")}


def export(folder: Path, version: int, **net: float) -> Path:
    spec = tiny_spec(model=SpecModel(name="tiny", version=version, status=ModelStatus.VALIDATED))
    return write_model_folder(folder, phantom_slices(), net=TinyNet(**net), spec=spec)


def test_an_export_is_added_checked_and_promoted(place: Place, tmp_path: Path) -> None:
    assert roles(place) == {1: "active", 2: "shadow"}
    exported = export(tmp_path / "exported", 3, bias=-7.0)
    answer = place.command("models", "add", str(exported))
    assert answer.exit_code == 0, answer.output
    assert "tiny version 3" in answer.output
    assert sorted(item.name for item in (tmp_path / "models").iterdir()) == ["tiny"], "nothing else is left"
    assert load_bundle(tmp_path / "models" / "tiny", 3).weights_sha256 == load_bundle(exported).weights_sha256
    assert roles(place) == {1: "active", 2: "shadow", 3: "-"}
    again = place.command("models", "add", str(exported))
    assert (again.exit_code, "installed already" in again.stderr) == (ExitCode.NOT_READY, True)

    (checked,) = place.json("models", "check", "tiny:3")
    assert (checked["version"], checked["passed"]) == (3, True)
    assert [item["version"] for item in place.json("models", "check")] == [1, 2], "what studies go to"
    assert place.command("models", "promote", "tiny:3", *AUDIT).exit_code == 0
    assert roles(place) == {1: "-", 2: "shadow", 3: "active"}
    assert [item["version"] for item in place.json("models", "check", "tiny")] == [3]
    (act,) = place.json("audit")
    assert (act["action"], act["subject"]) == ("promote", "tiny:3")
    assert place.command("check").exit_code == ExitCode.NOT_READY, "no destination answers"
    assert "tiny version 3" in place.command("check").output


def test_what_does_not_belong_together_is_neither_added_nor_promoted(place: Place, tmp_path: Path) -> None:
    exported = export(tmp_path / "exported", 3)
    (exported / "3" / "model.onnx").write_bytes(BLIND.onnx())
    assert place.command("models", "add", str(exported)).exit_code == ExitCode.NOT_READY
    usual = tiny_spec()
    wider = dataclasses.replace(usual.input, window=WindowSpec(center=-600, width=1600))
    model = dataclasses.replace(usual.model, version=4)
    other = write_model_folder(tmp_path / "other", phantom_slices(), spec=tiny_spec(model=model, input=wider))
    refused = place.command("models", "add", str(other))
    assert (refused.exit_code, "needs a new name" in refused.stderr) == (ExitCode.NOT_READY, True)
    golden = tmp_path / "models" / "tiny" / "2" / "golden.npz"
    golden.write_bytes((tmp_path / "models" / "tiny" / "1" / "golden.npz").read_bytes())
    refused = place.command("models", "promote", "tiny:2", *AUDIT)
    assert (refused.exit_code, "not promoted" in refused.stderr) == (ExitCode.NOT_READY, True)
    assert place.command("models", "promote", "tiny", *AUDIT).exit_code == ExitCode.USAGE
    assert place.command("models", "promote", "tiny:9", *AUDIT).exit_code == ExitCode.NOT_READY
    assert place.command("models", "check", "../tiny").exit_code == ExitCode.USAGE
    assert roles(place) == {1: "active", 2: "shadow"}
    assert sorted(item.name for item in (tmp_path / "models" / "tiny").iterdir() if item.is_dir()) == [
        "1",
        "2",
    ]


def test_the_embedded_engine_says_that_there_is_nothing_to_load(place: Place) -> None:
    for command in ("load", "unload"):
        answer = place.command("models", command, "tiny")
        assert (answer.exit_code, "nothing to load" in answer.output) == (0, True)


def test_a_shadow_is_seen_compared_and_promoted(place: Place, node: Node, tmp_path: Path) -> None:
    study = screened(place, tmp_path)
    assert {(item["version"], item["purpose"]) for item in done(place, study)} == {
        (1, "report"),
        (2, "shadow"),
    }
    shown = place.json("studies", "show", study)
    assert shown["finding"]["model"]["version"] == 1
    before = shown["deliveries"]
    health = ask("127.0.0.1", place.health_port)
    assert health is not None
    told = {(item["version"], item["state"], item["reports"]) for item in health["models"]}
    assert told == {(1, "closed", True), (2, "closed", False)}
    assert {item["canary"] for item in place.json("models", "list")} == {"closed"}

    compared = place.json("models", "compare", "tiny:1", "tiny:2")
    assert compared["studies"] == 1
    assert compared["changed"][0]["study_instance_uid"] == study
    assert (compared["changed"][0]["first"], compared["changed"][0]["second"]) == ("positive", "negative")
    assert compared["score_difference"]["mean"] < 0
    assert len(compared["weeks"]) == 1
    assert place.json("models", "compare", "tiny:1", "tiny:2", "--since", "2100-01-01")["studies"] == 0
    text = place.command("models", "compare", "tiny:1", "tiny:2").output
    assert "Agreement 0 of 1" in text
    assert place.json("studies", "show", study)["deliveries"] == before

    assert place.command("models", "promote", "tiny:2", *AUDIT).exit_code == 0
    assert place.command("reprocess", study, *AUDIT).exit_code == 0
    wait_for(lambda: len(done(place, study)) == 3, "the screening by the promoted version")
    assert place.json("studies", "show", study)["finding"]["model"]["version"] == 2
    assert place.command("reprocess", study, "--model", "tiny:1", *AUDIT).exit_code == 0
    wait_for(lambda: len(done(place, study)) == 4, "the screening by an order for one version")
    assert place.json("studies", "show", study)["finding"]["model"]["version"] == 1


def test_stored_scores_come_out_again_until_one_is_changed(place: Place, node: Node, tmp_path: Path) -> None:
    study = screened(place, tmp_path)
    before = place.json("studies", "show", study)
    verified = place.json("reprocess", study, "--verify", *AUDIT)
    assert (verified["differing"], verified["model"]["version"]) == ([], 1)
    assert (verified["looked_at"], verified["selected_otherwise"]) == (len(before["finding"]["slices"]), [])
    assert verified["compared"] == before["finding"]["slices_selected"]
    assert place.json("reprocess", study, "--verify", "--model", "tiny:2", *AUDIT)["model"]["version"] == 2
    assert place.json("studies", "show", study) == before, "it writes nothing but an audit line"
    assert [act["action"] for act in place.json("audit")] == ["verify", "verify"]

    changed = next(item for item in before["finding"]["slices"] if item["probability"] is not None)
    with store_of(place.settings) as store, store.database.write() as connection:
        connection.execute(
            update(slice_scores)
            .where(slice_scores.c.sop_instance_uid == changed["sop_instance_uid"])
            .values(probability=changed["probability"] / 2)
        )
    answer = place.command("reprocess", study, "--verify", "--json", *AUDIT)
    assert answer.exit_code == ExitCode.FAILED
    assert changed["sop_instance_uid"] in answer.stdout
    assert '"compared"' in answer.stdout
    text = place.command("reprocess", study, "--verify", *AUDIT)
    assert "1 differ by more" in text.output
    assert place.command("reprocess", study, "--verify", "--tolerance", "1", *AUDIT).exit_code == 0

    closed = next(item for item in before["finding"]["slices"] if not item["selected"])
    with store_of(place.settings) as store, store.database.write() as connection:
        connection.execute(
            update(slice_scores)
            .where(slice_scores.c.sop_instance_uid == closed["sop_instance_uid"])
            .values(selected=True, dark_count=slice_scores.c.dark_count + 1)
        )
    answer = place.command("reprocess", study, "--verify", "--tolerance", "1", "--json", *AUDIT)
    assert answer.exit_code == ExitCode.FAILED, "the score lies within, the selection does not"
    [otherwise] = json.loads(answer.stdout)["selected_otherwise"]
    assert otherwise["sop_instance_uid"] == closed["sop_instance_uid"]
    assert (otherwise["selected"], otherwise["now"]) == (True, False)
    assert otherwise["dark_count"] == otherwise["found_count"] + 1
    text = place.command("reprocess", study, "--verify", "--tolerance", "1", *AUDIT).output
    assert f"{len(before['finding']['slices'])} slices selected again, 1 otherwise" in text


def test_only_results_of_models_that_a_destination_takes_are_released_to_it(
    place: Place, node: Node, tmp_path: Path
) -> None:
    model = SpecModel(name="shown", version=1, status=ModelStatus.DEMONSTRATION)
    write_model_folder(tmp_path / "models", phantom_slices(), spec=tiny_spec(model=model))
    study = screened(place, tmp_path)
    assert place.command("reprocess", study, "--model", "shown", *AUDIT).exit_code == 0
    wait_for(lambda: len(done(place, study)) == 3, "the demonstration")
    answer = place.command("send", "--study", study, "--to", "pacs", *AUDIT)
    assert answer.exit_code == 0, answer.output
    assert "Left out: pacs: results of a demonstration model (shown)" in answer.output
    with store_of(place.settings) as store:
        models = {item.name: item.status for item in store.screenings.models_in_force(1)}
        assert models == {"tiny": ModelStatus.VALIDATED, "shown": ModelStatus.DEMONSTRATION}
        shown = {item.sop_instance_uid for item in store.screenings.results(_newest(place, study, "shown"))}
        sent = {item.sop_instance_uid: item.state for item in store.outbox.for_study(1)}
    assert shown
    assert {sent[uid] for uid in shown} == {DeliveryState.WITHHELD}
    assert {state for uid, state in sent.items() if uid not in shown} == {DeliveryState.PENDING}


def _newest(place: Place, study: str, model: str) -> int:
    found = place.json("studies", "show", study)["screenings"]
    return int(next(item["id"] for item in found if item["model"] == model))


def test_options_that_do_not_go_together_are_refused(place: Place, node: Node, tmp_path: Path) -> None:
    study = screened(place, tmp_path)
    for wrong in (("--shadow",), ("--tolerance", "0.1"), ("--shadow", "--model", "tiny", "--verify")):
        assert place.command("reprocess", study, *wrong, *AUDIT).exit_code == ExitCode.USAGE
    absent = place.command("reprocess", study, "--model", "tiny:9", *AUDIT)
    assert (absent.exit_code, "installed: 1, 2" in absent.stderr) == (ExitCode.NOT_READY, True)
    kept = place.command("reprocess", study, "--model", "tiny:1", "--shadow", *AUDIT)
    assert kept.exit_code == 0
    wait_for(lambda: len(done(place, study)) == 3, "the shadow by hand")
    assert [item["purpose"] for item in done(place, study)].count("shadow") == 2


def test_a_node_whose_server_is_away_receives_and_waits(place: Place, tmp_path: Path) -> None:
    text = place.config.read_text().replace("[infer]\n", '[infer]\nengine = "triton"\n')
    server = f'url = "127.0.0.1:{free_port()}"\ncontrol_seconds = 0.5\nbreaker_seconds = 0.2\n'
    place.config.write_text(f"{text}\n[infer.triton]\n{server}")
    node = build(place.settings)
    node.start()
    try:
        assert not node.health().ready
        told = {(item.version, bool(item.problem)) for item in node.health().facts.models}
        assert told == {(1, True), (2, True)}
        phantom_folder(tmp_path / "series")
        address = f"GROUNDGLASS@127.0.0.1:{place.port}"
        sent = place.json("send", str(tmp_path / "series"), "--to", address, "--as", "CT1")
        assert {item["fate"] for item in sent} == {"sent"}
        wait_for(lambda: node.store.screenings.counts().get(ScreeningState.PARKED), "the screening to wait")
        assert node.store.outbox.counts() == {}
    finally:
        node.stop()


def test_a_shadow_that_cannot_be_opened_keeps_nothing_from_working(place: Place) -> None:
    golden = place.config.parent / "models" / "tiny" / "2" / "golden.npz"
    golden.write_bytes((golden.parents[1] / "1" / "golden.npz").read_bytes())
    node = build(place.settings)
    node.start()
    try:
        assert node.health().ready
        (shadow,) = [item for item in node.health().facts.models if not item.reports]
        assert "differ from the export's" in shadow.problem
    finally:
        node.stop()
