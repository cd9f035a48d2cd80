"""Reading: both forms, split attributes, and everything a hostile or damaged file could try."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer.errors import WeightsError
from trainer.imports import keras_file as module
from trainer.imports.keras_file import keras_file

Writer = Callable[..., Path]
KERNEL = np.arange(12, dtype=np.float32).reshape(2, 2, 3, 1)
LAYERS = [("input_1", []), ("conv1/conv", [("kernel", KERNEL), ("bias", np.float32([0.5]))]), ("relu", [])]


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("split", [True, False])
def test_layers_are_read_through_their_lists(
    write: Writer, tmp_path: Path, whole: bool, split: bool, kind: str
) -> None:
    file = write(tmp_path / "m.h5", LAYERS, whole=whole, suffix="_1", split=split, kind=kind)
    with keras_file(file) as found:
        (layer,) = found.layers
        assert layer.name == "conv1/conv"
        assert [(one.name, one.shape) for one in layer.tensors] == [("kernel", (2, 2, 3, 1)), ("bias", (1,))]
        values = found.read(layer.tensors[0])
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, KERNEL)


def spoilt(file: Path, change: Callable[[h5py.Group], None]) -> Path:
    with h5py.File(file, "r+") as root:
        change(root["model_weights"])
    return file


def _to_link(group: h5py.Group) -> None:
    del group["conv1/conv/conv1/conv/kernel:0"]
    group["conv1/conv/conv1/conv/kernel:0"] = h5py.ExternalLink("/etc/other.h5", "/kernel")


def _to_soft_link(group: h5py.Group) -> None:
    del group["conv1/conv/conv1/conv/kernel:0"]
    group["conv1/conv/conv1/conv/kernel:0"] = h5py.SoftLink("/model_weights/conv1/conv/conv1/conv/bias:0")


def _replaced(**values: object) -> Callable[[h5py.Group], None]:
    def change(group: h5py.Group) -> None:
        del group["conv1/conv/conv1/conv/kernel:0"]
        group["conv1/conv/conv1/conv"].create_dataset("kernel:0", **values)

    return change


def _external(group: h5py.Group) -> None:
    del group["conv1/conv/conv1/conv/kernel:0"]
    outside = [("outside.bin", 0, h5py.h5f.UNLIMITED)]
    group["conv1/conv/conv1/conv"].create_dataset("kernel:0", (3,), "f4", external=outside)


def _attribute(name: str, value: object) -> Callable[[h5py.Group], None]:
    def change(group: h5py.Group) -> None:
        group.attrs[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_to_link, "is a link"),
        (_to_soft_link, "is a link"),
        (_external, "outside the file"),
        (_replaced(data=np.zeros(3, "i4")), "not a floating-point"),
        (_replaced(data=[b"pickle"]), "not a floating-point"),
        (_replaced(shape=(2**20, 2**12), dtype="f4"), "more than"),
        (lambda group: group["conv1/conv"].__delitem__("conv1"), "does not hold it"),
        (lambda group: group.attrs.__delitem__("layer_names"), "no attribute 'layer_names'"),
        (_attribute("layer_names", [b"conv1/conv", b"conv1/conv"]), "twice"),
        (_attribute("layer_names", [b"../optimizer_weights"]), "does not hold it"),
        (_attribute("layer_names", [1, 2]), "no text"),
        (_attribute("layer_names", np.array([b"x"] * 5000)), "more than 4096"),
    ],
)
def test_what_is_not_a_plain_file_of_its_own_arrays_is_refused(
    write: Writer, tmp_path: Path, change: Callable[[h5py.Group], None], message: str
) -> None:
    file = spoilt(write(tmp_path / "m.h5", LAYERS), change)
    with pytest.raises(WeightsError, match=message), keras_file(file):
        pass


def test_values_that_are_no_numbers_are_refused(write: Writer, tmp_path: Path) -> None:
    file = spoilt(write(tmp_path / "m.h5", LAYERS), _replaced(data=np.float32([1, np.nan])))
    with keras_file(file) as found, pytest.raises(WeightsError, match="no finite numbers"):
        found.read(found.layers[0].tensors[0])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(at=st.integers(0, 4000), value=st.integers(0, 255), end=st.integers(1, 20000))
def test_a_damaged_file_is_read_or_refused_never_a_crash(
    write: Writer, tmp_path: Path, at: int, value: int, end: int
) -> None:
    content = bytearray(write(tmp_path / "m.h5", LAYERS).read_bytes())
    content[at % len(content)] = value
    (tmp_path / "cut.h5").write_bytes(content[:end])
    try:
        with keras_file(tmp_path / "cut.h5") as found:
            for layer in found.layers:
                for tensor in layer.tensors:
                    found.read(tensor)
    except WeightsError:
        pass


def zipped(file: Path, config: object, names: list[str]) -> Path:
    content = BytesIO()
    with h5py.File(content, "w") as root:
        for name in names:
            root[f"{name}/vars/0"] = KERNEL
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", content.getvalue())
    return file


def model(name: str, layers: list[object]) -> dict[str, object]:
    return {"class_name": "Functional", "config": {"name": name, "layers": layers}}


def test_keras_3_names_are_found_by_counting_classes(tmp_path: Path) -> None:
    convs = [{"class_name": "Conv2D", "config": {"name": name}} for name in ("block1_conv1", "block1_conv2")]
    relu = {"class_name": "ReLU", "config": {"name": "relu"}}
    inner = model("xception", [convs[0], relu, convs[1]])
    base = "layers/functional/layers"
    nested = zipped(tmp_path / "a.keras", model("all", [inner, relu]), [f"{base}/conv2d", f"{base}/conv2d_1"])
    plain = zipped(tmp_path / "b.keras", inner, ["layers/conv2d", "layers/conv2d_1"])
    for file in (nested, plain):
        with keras_file(file) as found:
            assert [layer.name for layer in found.layers] == ["block1_conv1", "block1_conv2"]
            np.testing.assert_array_equal(found.read(found.layers[1].tensors[0]), KERNEL)


@pytest.mark.parametrize("config", [[], {}, {"config": {"layers": [3]}}, model("a", [model("b", [])] * 2)])
def test_a_configuration_of_another_form_is_refused(tmp_path: Path, config: object) -> None:
    file = zipped(tmp_path / "a.keras", config, [])
    with pytest.raises(WeightsError, match="configuration"), keras_file(file):
        pass


def test_a_zip_that_unpacks_beyond_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_CONFIG", 10)
    file = zipped(tmp_path / "a.keras", model("a", []), [])
    with pytest.raises(WeightsError, match="more than 10 bytes"), keras_file(file):
        pass
