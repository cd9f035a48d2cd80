"""``models accept`` against the real server: what passes, what does not, and what is then recorded."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from node.app import RandomUids, SystemClock
from node.cli.main import app
from node.infer.bundle import load_bundle
from node.store.store import open_store
from tests.model_folder import TinyNet, phantom_slices, tiny_spec, write_model_folder
from tests.triton_server import Site

SIGNED = ("--by", "A. Engineer", "--reason", "new server")


class Place:
    """A node's settings and store, and the networks that are installed there."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.url = site.running.url
        self.data = folder / "data"
        self.models = folder / "models"
        shutil.copytree(site.tiny.folder, self.models / "tiny")
        self.config = folder / "groundglass.toml"
        self.config.write_text(
            f'[node]\ndata_dir = "{self.data}"\n[infer]\nengine = "triton"\nmodel = "tiny"\n'
            f'models_dir = "{self.models}"\n[infer.triton]\nallow_old_server = true\n'
        )

    def accept(self, *arguments: str, url: str | None = None) -> Result:
        words = ["models", "accept", "--config", str(self.config), "--url", url or self.url, *arguments]
        return CliRunner().invoke(app, words)

    def accepted(self) -> bool:
        bundle = load_bundle(self.models / "tiny")
        store = open_store(self.data, url=None, clock=SystemClock(), uids=RandomUids())
        try:
            return store.acceptances.accepted(
                self.url,
                "tiny",
                1,
                spec_sha256=bundle.spec_sha256,
                weights_sha256=bundle.weights_sha256,
                precision="f32",
            )
        finally:
            store.close()


@pytest.fixture
def place(tmp_path: Path, triton: Site) -> Place:
    return Place(tmp_path, triton)


def change_golden(models: Path, change: Callable[[dict[str, Any]], None]) -> None:
    golden = models / "tiny" / "1" / "golden.npz"
    with np.load(golden) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez_compressed(golden, **arrays)


def test_a_server_that_answers_right_is_recorded_under_a_name(place: Place) -> None:
    answer = place.accept(*SIGNED)

    assert answer.exit_code == 0, answer.output
    assert "may answer for patients" in answer.output
    assert place.accepted()


def test_a_trial_without_a_name_records_nothing(place: Place) -> None:
    answer = place.accept("--json")

    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert (found["url"], found["recorded"]) == (place.url, False)
    (model,) = found["models"]
    assert (model["model_name"], model["model_version"], model["passed"]) == ("tiny", 1, True)
    assert model["identity"]["engine"] == "triton"
    assert 0 <= model["differences"]["probabilities"] <= model["differences"]["tolerance"]
    assert not place.data.exists()


def test_answers_beyond_the_tolerance_are_shown_and_not_recorded(place: Place) -> None:
    def shift(arrays: dict[str, Any]) -> None:
        arrays["probabilities"] = (arrays["probabilities"] * 0.5).astype(np.float32)

    change_golden(place.models, shift)
    answer = place.accept(*SIGNED)

    assert answer.exit_code == 3
    assert "NO" in answer.output
    assert "more than is allowed" in answer.output
    assert not place.data.exists()


def test_other_weights_under_the_same_name_do_not_pass(place: Place) -> None:
    shutil.rmtree(place.models)
    write_model_folder(place.models, phantom_slices(), net=TinyNet(bias=0.5))
    answer = place.accept(*SIGNED)

    assert answer.exit_code == 3
    assert "onnx_sha256" in answer.output or "digest" in answer.output
    assert not place.data.exists()


def test_one_network_that_is_not_served_holds_all_of_them_back(place: Place) -> None:
    spec = tiny_spec(model=dataclasses.replace(tiny_spec().model, name="other"))
    write_model_folder(place.models, phantom_slices()[:1], spec=spec)

    answer = place.accept(*SIGNED)
    assert answer.exit_code == 3
    assert "other version 1" in answer.output
    assert not place.data.exists()

    assert place.accept(*SIGNED, "--model", "tiny").exit_code == 0
    assert place.accepted()


def test_an_old_server_is_refused_where_the_settings_do_not_allow_it(place: Place) -> None:
    place.config.write_text(place.config.read_text().replace("allow_old_server = true\n", ""))
    answer = place.accept(*SIGNED)
    assert answer.exit_code == 3
    assert "2.59.1" in answer.output


def test_no_server(place: Place) -> None:
    answer = place.accept(*SIGNED, url="127.0.0.1:9")
    assert answer.exit_code == 3
    assert "Not accepted" in answer.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--by", "A. Engineer"), "given together"),
        (("--by", " ", "--reason", "x"), "given together"),
        (("--model", "absent"), "there are tiny"),
    ],
)
def test_refuses(arguments: tuple[str, ...], says: str, place: Place) -> None:
    answer = place.accept(*arguments)
    assert answer.exit_code != 0
    assert says in " ".join(answer.output.split())


def test_a_url_that_is_none(place: Place) -> None:
    answer = place.accept(url="http://triton:8000/")
    assert answer.exit_code == 2
    assert "infer.triton.url" in answer.output
