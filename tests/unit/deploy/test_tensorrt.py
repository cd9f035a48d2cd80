"""The script that makes TensorRT plans, as far as it goes without a GPU: checked, dry, and with a stand-in.

``trtexec`` and ``polygraphy`` need a GPU and are not here. The stand-in only answers ``--help`` with the
options of TensorRT 10 and writes a file, to see what the script does with it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from node.domain.model import Precision
from node.infer.repository import build_repository, trtexec_arguments
from node.infer.repository_config import Signature, Target
from tests.model_folder import phantom_slices, write_model_folder

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "deploy" / "tensorrt" / "build_engine.sh"
OPTIONS = (
    "--onnx --saveEngine --minShapes --optShapes --maxShapes --fp16 --noTF32 --int8 --calib --skipInference"
)
TRTEXEC = """#!/usr/bin/env bash
if [ "$1" = --help ]; then echo "{options}"; exit 0; fi
[ -z "${{FAIL:-}}" ] || exit 3
echo "made with $*" >model.plan.part
"""
POLYGRAPHY = """#!/usr/bin/env bash
echo "$*" >polygraphy.called
touch calibration.cache.part calibrated.part
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model_folder(tmp_path / "models", phantom_slices()[:1])
    build_repository(tmp_path / "models", [], Target.TENSORRT, tmp_path / "repository")
    return tmp_path / "repository"


def run(*arguments: str | Path, path: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    places = ["/usr/bin", "/bin"] if path is None else [str(path), "/usr/bin", "/bin"]
    return subprocess.run(
        [str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.pathsep.join(places), **environ},
    )


def stand_in(folder: Path, options: str = OPTIONS) -> Path:
    folder.mkdir()
    for name, text in (("trtexec", TRTEXEC.format(options=options)), ("polygraphy", POLYGRAPHY)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def test_shellcheck_finds_nothing(program):
    scripts = [*(ROOT / "deploy").rglob("*.sh"), ROOT / "tests" / "system-packages.sh"]
    answer = program("shellcheck", "--enable=all", "--exclude=SC2250,SC2312,SC2292", *scripts)
    assert answer.returncode == 0, answer.stdout


def test_ruff_finds_nothing_in_what_the_script_hands_over(program):
    folder = ROOT / "deploy"
    answer = program("ruff", "check", folder)
    assert answer.returncode == 0, answer.stdout
    assert program("ruff", "format", "--check", folder).returncode == 0


def test_a_dry_run_prints_the_command_and_does_nothing(repository):
    before = sorted(repository.rglob("*"))
    answer = run("--dry-run", repository)
    assert answer.returncode == 0, answer.stderr
    assert (
        "trtexec --onnx=model.onnx --saveEngine=model.plan.part --minShapes=slices:1x1x64x64 "
        "--optShapes=slices:8x1x64x64 --maxShapes=slices:16x1x64x64 --noTF32 --skipInference"
    ) in answer.stdout.splitlines()
    assert sorted(repository.rglob("*")) == before


def test_a_plan_is_made_once_and_again_only_by_force(repository, tmp_path):
    path = stand_in(tmp_path / "bin")
    plan = repository / "tiny" / "1" / "model.plan"
    assert run(repository, path=path).returncode == 0
    assert "--noTF32" in plan.read_text()
    plan.write_text("kept")
    assert "already there" in run(repository, "tiny", path=path).stdout
    assert plan.read_text() == "kept"
    assert run("--force", repository, "tiny", path=path).returncode == 0
    assert plan.read_text() != "kept"
    assert not list(repository.rglob("*.part"))


def test_a_failure_leaves_the_plan_that_was_there(repository, tmp_path):
    path = stand_in(tmp_path / "bin")
    plan = repository / "tiny" / "1" / "model.plan"
    plan.write_text("kept")
    assert run("--force", repository, path=path, FAIL="1").returncode != 0
    assert plan.read_text() == "kept"


def test_another_network_under_the_same_name_is_refused(repository, tmp_path):
    with (repository / "tiny" / "1" / "model.onnx").open("ab") as stream:
        stream.write(b"x")
    answer = run(repository, path=stand_in(tmp_path / "bin"))
    assert answer.returncode == 1
    assert "is not the file that was built" in answer.stderr


def test_a_trtexec_that_dropped_an_option_is_refused(repository, tmp_path):
    path = stand_in(tmp_path / "bin", OPTIONS.replace("--noTF32 ", ""))
    answer = run(repository, path=path)
    assert answer.returncode == 1
    assert "has no --noTF32; use TensorRT 10" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "usage"),
        (["--fast", "x"], 2, "usage"),
        (["absent"], 1, "no folder"),
        (["{repository}"], 1, "trtexec is not installed"),
        (["--dry-run", "{repository}", "absent"], 1, "has no version for TensorRT"),
        (["--dry-run", "{empty}"], 1, "no model in"),
    ],
)
def test_refuses(arguments, code, says, repository, tmp_path):
    (tmp_path / "empty").mkdir()
    words = [word.format(repository=repository, empty=tmp_path / "empty") for word in arguments]
    answer = run(*words)
    assert answer.returncode == code
    assert says in answer.stderr


@pytest.fixture
def int8(repository: Path) -> Path:
    """A version that is to be made at int8, as `models build` leaves one."""
    folder = repository / "tiny" / "1"
    arguments = (folder / "trtexec.args").read_text()
    (folder / "trtexec.args").write_text(
        arguments.replace("--noTF32", "--fp16\n--int8\n--calib=calibration.cache")
    )
    np.save(folder / "calibration.npy", np.zeros((20, 1, 64, 64), np.float32))
    return folder


def test_int8_is_calibrated_first_and_once(int8, repository, tmp_path):
    path = stand_in(tmp_path / "bin")
    answer = run(repository, path=path)
    assert answer.returncode == 0, answer.stderr
    called = (int8 / "polygraphy.called").read_text()
    assert "--int8 --fp16 --calibration-cache calibration.cache.part" in called
    assert "--trt-opt-shapes slices:[8,1,64,64]" in called
    script = called.split("--data-loader-script ")[1].split()[0]
    assert Path(script) == SCRIPT.with_name("calibration_data.py")
    assert (int8 / "calibration.cache").is_file()
    (int8 / "polygraphy.called").unlink()
    assert run("--force", repository, path=path).returncode == 0
    assert not (int8 / "polygraphy.called").exists()


def test_the_arguments_of_int8_are_those_of_the_repository():
    signature = Signature(
        name="n",
        input="x",
        shape=(1, 2, 3),
        probabilities="p",
        cam="c",
        classes=("a", "b"),
        grid=(1, 1),
        max_batch=4,
    )
    known = OPTIONS.split()
    for precision in (Precision.F32, Precision.F16, Precision.INT8):
        given = [argument.split("=")[0] for argument in trtexec_arguments(signature, precision)]
        assert set(given) <= set(known)


def loader(folder: Path, monkeypatch: pytest.MonkeyPatch):
    spec = importlib.util.spec_from_file_location("calibration_data", SCRIPT.with_name("calibration_data.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(folder)
    return module.load_data


def test_calibration_feeds_full_batches(int8, monkeypatch):
    batches = list(loader(int8, monkeypatch)())
    assert [batch["slices"].shape for batch in batches] == [(8, 1, 64, 64)] * 2


@pytest.mark.parametrize("shape", [(20, 3, 64, 64), (4, 1, 64, 64)])
def test_calibration_refuses_other_tensors(shape, int8, monkeypatch):
    np.save(int8 / "calibration.npy", np.zeros(shape, np.float32))
    with pytest.raises(SystemExit, match="needed are 8 or more"):
        list(loader(int8, monkeypatch)())
