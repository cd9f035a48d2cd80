"""``models build``: what it says, and that its options reach the repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.cli.main import app
from node.infer.config import parse_config
from tests.model_folder import phantom_slices, write_model_folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_model_folder(tmp_path / "models", phantom_slices()[:1])
    file = tmp_path / "groundglass.toml"
    file.write_text(f'[infer]\nmodel = "tiny"\nmodels_dir = "{tmp_path / "models"}"\n')
    return file


def build(config: Path, *arguments: str):
    words = ["models", "build", "--config", str(config), "--out", str(config.parent / "out"), *arguments]
    return CliRunner().invoke(app, words)


def test_a_table_and_what_comes_next(config: Path) -> None:
    answer = build(config, "--target", "cpu", "--threads", "3", "--precision", "bf16")
    assert answer.exit_code == 0, answer.output
    assert "groundglass models accept" in answer.output
    written = parse_config((config.parent / "out" / "tiny" / "config.pbtxt").read_text())
    assert (written.parameters["threads"], written.parameters["precision"]) == ("3", "bf16")


def test_json(config: Path) -> None:
    answer = build(config, "--target", "tensorrt", "--model", "tiny", "--json")
    folder = config.parent / "out" / "tiny"
    assert json.loads(answer.stdout) == [
        {"model": "tiny", "versions": [1], "target": "tensorrt", "precision": "f32", "folder": str(folder)}
    ]


def test_the_next_step_of_tensorrt_is_the_plan(config: Path) -> None:
    assert "deploy/tensorrt/build_engine.sh" in build(config, "--target", "tensorrt").output


def test_every_option_reaches_the_repository(config: Path) -> None:
    options = ["--instances", "2", "--queue-delay-us", "7"]
    answer = build(config, "--target", "onnx", *options, "--engine-cache", "/var/cache/engines")
    assert answer.exit_code == 0, answer.output
    text = (config.parent / "out" / "tiny" / "config.pbtxt").read_text()
    for line in ("count: 2", "max_queue_delay_microseconds: 7"):
        assert line in text
    assert 'value: "/var/cache/engines"' in text
    build(config, "--target", "onnx", "--no-accelerator")
    assert "tensorrt" not in (config.parent / "out" / "tiny" / "config.pbtxt").read_text()
    build(config, "--target", "cpu", "--response-cache")
    assert "enable: true" in (config.parent / "out" / "tiny" / "config.pbtxt").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--target", "cpu", "--precision", "int8"], 2, "target cpu has no precision int8"),
        (["--target", "cpu", "--instances", "0"], 2, "instances must be 1"),
        (["--target", "onnx", "--response-cache"], 2, "Leave the cache off"),
        (["--target", "cpu", "--model", "absent"], 3, "there are tiny"),
        (["--target", "gpu"], 2, "gpu"),
    ],
)
def test_refuses(arguments: list[str], code: int, says: str, config: Path) -> None:
    answer = build(config, *arguments)
    assert answer.exit_code == code
    assert says in answer.output
