from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2 as schema

from node.domain.errors import BundleError, ModelNotServed, SettingsError
from node.domain.model import Precision
from node.infer.bundle import load_bundle
from node.infer.config import parse_config
from node.infer.golden import normalised
from node.infer.protobuf_text import protobuf_text
from node.infer.repository import STAGE, build_repository
from node.infer.repository_config import RepositoryOptions, Target
from tests.model_folder import TinyNet, phantom_slices, tiny_spec, write_model_folder

SHIPPED = Path(__file__).parents[3] / "triton_models"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model_folder(folder, phantom_slices()[:1])
    return folder


def read(folder: Path) -> schema.ModelConfig:
    """Parse as the server does: a field that its schema has not fails."""
    text = (folder / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, schema.ModelConfig())


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("target", Target)
def test_every_shipped_network_has_every_variant(target: Target, tmp_path: Path) -> None:
    folders = build_repository(SHIPPED, [], target, tmp_path / "out")

    assert [folder.name for folder in folders] == sorted(
        path.name for path in SHIPPED.iterdir() if path.is_dir()
    )
    for folder in folders:
        source = SHIPPED / folder.name
        spec = json.loads((source / "input_spec.json").read_text())
        config, version = read(folder), spec["model"]["version"]
        assert config.name == folder.name
        assert list(config.input[0].dims) == [spec["input"]["channels"], *spec["input"]["size"]]
        assert config.input[0].name == read(source).input[0].name
        assert [(o.name, list(o.dims)) for o in config.output] == [
            (o.name, list(o.dims)) for o in read(source).output
        ]
        assert config.max_batch_size == read(source).max_batch_size
        assert list(config.version_policy.specific.versions) == [version]
        parameters = {key: value.string_value for key, value in config.parameters.items()}
        assert parameters[f"onnx_sha256_{version}"] == digest(source / f"{version}" / "model.onnx")
        assert parameters[f"spec_sha256_{version}"] == digest(source / "input_spec.json")
        assert parameters[f"status_{version}"] == spec["model"]["status"]
        assert (parameters["target"], parameters["precision"]) == (target, "f32")
        labels = (folder / config.output[0].label_filename).read_text().splitlines()
        assert labels == spec["outputs"]["classes"]
        assert digest(folder / f"{version}" / "model.onnx") == parameters[f"onnx_sha256_{version}"]
        assert dict(parse_config((folder / "config.pbtxt").read_text()).parameters) == parameters


@pytest.mark.parametrize("name", sorted(path.parent.name for path in SHIPPED.glob("*/config.pbtxt")))
def test_onnx_runtime_reads_the_file_and_answers_within_the_tolerance(name: str) -> None:
    """On a processor: that is as near to its backend on a GPU as a machine without one comes."""
    bundle = load_bundle(SHIPPED / name)
    session = onnxruntime.InferenceSession(bundle.onnx, providers=["CPUExecutionProvider"])
    names = [bundle.spec.outputs.probabilities, bundle.spec.outputs.cam]
    golden = bundle.golden
    probabilities, cam = session.run(names, {bundle.config.input: golden.prepared})
    tolerance = golden.tolerances[Precision.F32]
    np.testing.assert_allclose(probabilities, golden.probabilities, atol=tolerance)
    np.testing.assert_allclose(normalised(cam), normalised(golden.cam), atol=tolerance)


def test_the_cpu_variant_runs_python_on_processors(models: Path, tmp_path: Path) -> None:
    options = RepositoryOptions(precision=Precision.BF16, threads=3, instances=2, queue_delay_us=500)
    (folder,) = build_repository(models, ["tiny"], "cpu", tmp_path / "out", options)

    config = read(folder)
    assert config.backend == "python"
    assert [(g.kind, g.count) for g in config.instance_group] == [(schema.ModelInstanceGroup.KIND_CPU, 2)]
    assert config.parameters["precision"].string_value == "bf16"
    assert config.parameters["threads"].string_value == "3"
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8, 16]
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert not config.dynamic_batching.HasField("default_queue_policy")
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, 16]
    assert not config.response_cache.enable
    assert "class TritonPythonModel" in (folder / "1" / "model.py").read_text()


def accelerators(config: schema.ModelConfig) -> dict[str, dict[str, str]]:
    entries = config.optimization.execution_accelerators.gpu_execution_accelerator
    return {entry.name: dict(entry.parameters) for entry in entries}


def test_the_onnx_variant_hands_over_to_tensorrt_without_reduced_arithmetic(
    models: Path, tmp_path: Path
) -> None:
    (folder,) = build_repository(models, [], Target.ONNX, tmp_path / "out")

    config = read(folder)
    assert (config.backend, config.platform) == ("onnxruntime", "onnxruntime_onnx")
    assert [group.kind for group in config.instance_group] == [schema.ModelInstanceGroup.KIND_GPU]
    found = accelerators(config)
    assert list(found) == ["tensorrt", "cuda"]
    assert found["tensorrt"]["precision_mode"] == "FP32"
    assert found["tensorrt"]["trt_profile_max_shapes"] == "slices:16x1x64x64"
    assert found["cuda"] == {"use_tf32": "0"}
    assert "trt_engine_cache_enable" not in found["tensorrt"]


def test_onnx_at_half_precision_with_a_cache_that_names_the_weights(models: Path, tmp_path: Path) -> None:
    options = RepositoryOptions(precision=Precision.F16, engine_cache="/var/cache/engines")
    (folder,) = build_repository(models, [], Target.ONNX, tmp_path / "out", options)

    config = read(folder)
    tensorrt = accelerators(config)["tensorrt"]
    assert tensorrt["precision_mode"] == "FP16"
    assert tensorrt["trt_engine_cache_path"] == "/var/cache/engines"
    weights = digest(models / "tiny" / "1" / "model.onnx")
    expected = hashlib.sha256(weights.encode()).hexdigest()[:16]
    assert tensorrt["trt_engine_cache_prefix"] == f"tiny-{expected}"


def test_answers_are_kept_only_before_a_backend_that_checks_its_file(models: Path, tmp_path: Path) -> None:
    options = RepositoryOptions(response_cache=True)
    (folder,) = build_repository(models, [], Target.CPU, tmp_path / "cpu", options)
    assert read(folder).response_cache.enable
    for target in (Target.ONNX, Target.TENSORRT):
        with pytest.raises(SettingsError, match="answered from memory"):
            build_repository(models, [], target, tmp_path / target, options)


def test_onnx_without_tensorrt_has_float32_alone(models: Path, tmp_path: Path) -> None:
    options = RepositoryOptions(accelerator=False)
    (folder,) = build_repository(models, [], Target.ONNX, tmp_path / "out", options)
    assert list(accelerators(read(folder))) == ["cuda"]
    with pytest.raises(SettingsError, match="only TensorRT"):
        build_repository(
            models,
            [],
            Target.ONNX,
            tmp_path / "half",
            RepositoryOptions(accelerator=False, precision=Precision.F16),
        )


def test_the_tensorrt_variant_says_how_its_plan_is_made(models: Path, tmp_path: Path) -> None:
    (folder,) = build_repository(models, [], Target.TENSORRT, tmp_path / "out")

    config = read(folder)
    assert (config.platform, config.default_model_filename) == ("tensorrt_plan", "model.plan")
    assert (folder / "1" / "trtexec.args").read_text().splitlines() == [
        "--onnx=model.onnx",
        "--saveEngine=model.plan.part",
        "--minShapes=slices:1x1x64x64",
        "--optShapes=slices:8x1x64x64",
        "--maxShapes=slices:16x1x64x64",
        "--noTF32",
        "--skipInference",
    ]
    checksum, name = (folder / "1" / "SHA256SUMS").read_text().split()
    assert checksum == digest(folder / "1" / name)


def with_second_version(folder: Path, **changes: Any) -> None:
    """Add version 2 of the tiny network, with some of its specification changed."""
    model = dataclasses.replace(tiny_spec().model, version=2)
    spec = tiny_spec(model=model, **changes)
    source = write_model_folder(
        folder.parent / "second", phantom_slices()[:1], net=TinyNet(bias=-6.0), spec=spec
    )
    shutil.copytree(source / "2", folder / "2")
    for name in ("config.pbtxt", "input_spec.json", "CARD.md"):
        shutil.copy(source / name, folder / "2" / name)


def test_every_installed_version_is_served_under_one_name(tmp_path: Path) -> None:
    tiny = write_model_folder(tmp_path / "models", phantom_slices()[:1])
    with_second_version(tiny)

    (folder,) = build_repository(tiny.parent, [], Target.CPU, tmp_path / "out")

    config = read(folder)
    assert list(config.version_policy.specific.versions) == [1, 2]
    for version in ("1", "2"):
        network = tiny / version / "model.onnx"
        assert config.parameters[f"onnx_sha256_{version}"].string_value == digest(network)
        assert digest(folder / version / "model.onnx") == digest(network)
        assert (folder / version / "model.py").is_file()
    assert config.parameters["spec_sha256_2"].string_value == digest(tiny / "2" / "input_spec.json")


def test_versions_that_one_server_cannot_hold_under_one_name(tmp_path: Path) -> None:
    tiny = write_model_folder(tmp_path / "models", phantom_slices()[:1])
    with_second_version(tiny, outputs=dataclasses.replace(tiny_spec().outputs, classes=("covid", "other")))
    with pytest.raises(BundleError, match="another name"):
        build_repository(tiny.parent, [], Target.CPU, tmp_path / "out")


def int8_models(tmp_path: Path) -> Path:
    """A folder with the tiny network, of which the export kept an 8-bit form (its bytes do not matter)."""
    folder = write_model_folder(
        tmp_path / "models",
        phantom_slices()[:1],
        parameters={
            "precisions": "f32,bf16,int8",
            "int8_sha256": hashlib.sha256(b"<net/>weights").hexdigest(),
        },
    )
    (folder / "1" / "int8.xml").write_bytes(b"<net/>")
    (folder / "1" / "int8.bin").write_bytes(b"weights")
    golden = folder / "1" / "golden.npz"
    with np.load(golden) as archive:
        arrays = dict(archive)
    np.savez_compressed(golden, **arrays, tolerance_int8=np.float64(0.1))
    return folder.parent


def test_int8_comes_with_phantom_slices_to_calibrate_on(tmp_path: Path) -> None:
    options = RepositoryOptions(precision=Precision.INT8)
    (folder,) = build_repository(int8_models(tmp_path), [], Target.TENSORRT, tmp_path / "out", options)

    arguments = (folder / "1" / "trtexec.args").read_text().splitlines()
    assert {"--int8", "--fp16", "--calib=calibration.cache"} <= set(arguments)
    tensors = np.load(folder / "1" / "calibration.npy", allow_pickle=False)
    assert tensors.dtype == np.float32
    assert tensors.shape[1:] == (1, 64, 64)
    assert len(tensors) >= 20
    assert np.isfinite(tensors).all()


@pytest.mark.parametrize(
    ("target", "precision"),
    [("cpu", Precision.F16), ("cpu", Precision.INT8), ("onnx", Precision.INT8), ("tensorrt", Precision.BF16)],
)
def test_a_precision_that_the_target_has_not(
    target: str, precision: Precision, models: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="choose one of f32"):
        build_repository(models, [], target, tmp_path / "out", RepositoryOptions(precision=precision))
    assert not (tmp_path / "out").exists()


def test_a_precision_that_was_not_judged(tmp_path: Path) -> None:
    write_model_folder(tmp_path / "models", phantom_slices()[:1], parameters={"precisions": "f32"})
    for target, precision in (("cpu", Precision.BF16), ("onnx", Precision.F16)):
        with pytest.raises(SettingsError, match="unchanged at bf16"):
            build_repository(
                tmp_path / "models", [], target, tmp_path / "out", RepositoryOptions(precision=precision)
            )


def test_a_folder_of_somebody_else_is_left_alone(models: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="was not written by"):
        build_repository(models, [], Target.CPU, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_repository(models: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(BundleError, match="was not written by"):
        build_repository(models, [], Target.CPU, tmp_path / "out")


def test_a_second_build_replaces_one_network_and_keeps_the_others(models: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tiny,) = build_repository(models, ["tiny"], Target.CPU, out)
    build_repository(SHIPPED, ["covid-ct-lite0"], Target.CPU, out)
    (tiny / "1" / "model.py").write_text("changed by hand")

    build_repository(models, ["tiny"], Target.ONNX, out)

    assert read(tiny).backend == "onnxruntime"
    assert sorted(path.name for path in (tiny / "1").iterdir()) == ["model.onnx"]
    assert sorted(path.name for path in out.iterdir()) == [".groundglass-models", "covid-ct-lite0", "tiny"]


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("renames", [0, 1])
def test_a_killed_build_leaves_nothing_that_a_server_would_load(
    renames: int, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that loads all takes every folder of its repository for a network, hidden ones too."""
    out = tmp_path / "repository"
    build_repository(models, ["tiny"], "cpu", out)
    left, rename = renames, Path.rename

    def killed(path: Path, target: Path) -> Path:
        nonlocal left
        if not left:
            raise Killed
        left -= 1
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        patch.setattr(shutil, "rmtree", lambda *_args, **_options: None)  # nor does anything tidy up
        with pytest.raises(Killed):
            build_repository(models, ["tiny"], "cpu", out)
    assert {path.name for path in out.iterdir() if path.is_dir()} <= {"tiny"}
    assert {path.name for path in tmp_path.iterdir()} > {"repository"}, "it was killed in the middle"
    build_repository(models, ["tiny"], "cpu", out)
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]
    assert (out / "tiny" / "1" / "model.onnx").is_file()


@pytest.mark.parametrize("place", ["within", "beside"])
def test_what_a_killed_build_took_away_comes_back(place: str, models: Path, tmp_path: Path) -> None:
    """Within the repository it lies where that is a volume of its own."""
    out = tmp_path / "out"
    build_repository(models, ["tiny"], "cpu", out)
    stage = out / STAGE if place == "within" else tmp_path / f".out{STAGE}"
    (stage / "new").mkdir(parents=True)
    (out / "tiny").rename(stage / "tiny.former")
    build_repository(SHIPPED, ["covid-ct-lite0"], "onnx", out)
    assert sorted(path.name for path in out.iterdir()) == [".groundglass-models", "covid-ct-lite0", "tiny"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_change_in_the_repository_does_not_reach_the_model_folder(models: Path, tmp_path: Path) -> None:
    (tiny,) = build_repository(models, ["tiny"], Target.CPU, tmp_path / "out")
    before = digest(models / "tiny" / "1" / "model.onnx")
    with (tiny / "1" / "model.onnx").open("ab") as stream:
        stream.write(b"more")
    assert digest(models / "tiny" / "1" / "model.onnx") == before


@pytest.mark.parametrize("name", ["../models/tiny", "absent", ""])
def test_a_name_is_one_of_those_installed(name: str, models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotServed, match="there are tiny"):
        build_repository(models, [name], Target.CPU, tmp_path / "out")


def test_nothing_installed(tmp_path: Path) -> None:
    with pytest.raises(ModelNotServed, match="no model folder"):
        build_repository(tmp_path, [], Target.CPU, tmp_path / "out")


def test_a_folder_that_cannot_be_written(models: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="could not be written"):
        build_repository(models, [], Target.CPU, tmp_path / "file" / "out")


@pytest.mark.parametrize("field", ["instances", "threads", "queue_delay_us"])
def test_options_have_limits(field: str) -> None:
    with pytest.raises(SettingsError, match=field):
        RepositoryOptions(**{field: -1})


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])), st.text(), max_size=4)
)
def test_any_parameter_survives_the_servers_parser(parameters: dict[str, str]) -> None:
    entries = [{"key": key, "value": {"string_value": value}} for key, value in parameters.items()]
    text = protobuf_text({"name": "m", "max_batch_size": 8, "parameters": entries})
    found = text_format.Parse(text, schema.ModelConfig()).parameters
    assert {key: value.string_value for key, value in found.items()} == parameters
