from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.domain.errors import BundleError, HandshakeFailed, InputSpecError, ModelNotServed
from node.domain.model import ModelStatus, Precision
from node.infer.bundle import Bundle, files_of, installed, load_bundle, versions_of
from node.infer.openvino import ENGINE
from tests.model_folder import Stored, TinyNet, tiny_spec, write_model_folder, write_version

Rewrite = Callable[[Path, str, str], None]


def test_reads_the_whole_folder(bundle: Bundle) -> None:
    assert (bundle.name, bundle.version, bundle.status) == ("tiny", 1, ModelStatus.VALIDATED)
    assert bundle.precisions == {Precision.F32, Precision.BF16}
    assert bundle.golden.tolerances == {Precision.F32: 1e-5, Precision.BF16: 5e-2}
    assert bundle.source_probe == ""
    assert bundle.golden.slices.shape == (3, 128, 128)


@pytest.mark.parametrize(
    "name", ["config.pbtxt", "input_spec.json", "CARD.md", "1/model.onnx", "1/golden.npz"]
)
def test_every_file_is_needed(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=Path(name).name):
        load_bundle(folder)


def test_swapped_weights_are_refused(folder: Path) -> None:
    (folder / "1" / "model.onnx").write_bytes(TinyNet(gain=5).onnx())
    with pytest.raises(HandshakeFailed, match="onnx_sha256"):
        load_bundle(folder)


def test_edited_spec_is_refused(folder: Path, rewrite: Rewrite) -> None:
    rewrite(folder / "input_spec.json", '"slice_threshold": 0.5', '"slice_threshold": 0.4')
    with pytest.raises(HandshakeFailed, match="spec_sha256"):
        load_bundle(folder)


def test_malformed_spec_is_refused(folder: Path, rewrite: Rewrite) -> None:
    rewrite(folder / "input_spec.json", '"active_point": "tiny"', '"active_point": "other"')
    with pytest.raises(InputSpecError):
        load_bundle(folder)


def test_a_renamed_folder_is_refused(folder: Path) -> None:
    with pytest.raises(HandshakeFailed, match="name of config"):
        load_bundle(folder.rename(folder.with_name("other")))


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"status": "demonstration"}, HandshakeFailed),
        ({"precisions": "bf16"}, BundleError),
        ({"precisions": "f32,f64"}, BundleError),
    ],
)
def test_parameters_are_held_against_the_folder(
    tmp_path: Path, golden_slices: list[Any], parameters: dict[str, str], error: type[Exception]
) -> None:
    folder = write_model_folder(tmp_path, golden_slices, parameters=parameters)
    with pytest.raises(error):
        load_bundle(folder)


def test_an_empty_card_is_refused(folder: Path) -> None:
    (folder / "CARD.md").write_text(" \n", encoding="utf-8")
    with pytest.raises(BundleError, match="CARD"):
        load_bundle(folder)


def test_a_card_that_is_not_text_is_refused(folder: Path) -> None:
    (folder / "CARD.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match="CARD"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"slices": np.zeros((3, 8, 8), dtype=np.int16)},
        {"slices": np.zeros((0, 8, 8), dtype=np.uint16)},
        {"prepared": np.zeros((3, 1, 32, 32), dtype=np.float32)},
        {"probabilities": np.zeros((3, 3), dtype=np.float32)},
        {"probabilities": np.full((3, 2), np.nan, dtype=np.float32)},
        {"cam": np.zeros((2, 8, 8), dtype=np.float32)},
        {"tolerance_f32": np.zeros(2)},
        {"tolerance_f32": None},
        {"cam": None},
        {"cam": np.array([object()], dtype=object)},
    ],
)
def test_malformed_golden_is_refused(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "1" / "golden.npz"
    with np.load(path) as archive:
        arrays = {**{name: archive[name] for name in archive.files}, **change}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(BundleError, match="golden"):
        load_bundle(folder)


def test_a_golden_that_is_no_archive_is_refused(folder: Path) -> None:
    (folder / "1" / "golden.npz").write_bytes(b"<html>not here</html>")
    with pytest.raises(BundleError, match="golden"):
        load_bundle(folder)


def test_what_the_source_probe_says_is_kept(tmp_path: Path, golden_slices: list[Any]) -> None:
    folder = write_model_folder(tmp_path, golden_slices, parameters={"source_probe": "tells sources apart"})
    assert load_bundle(folder).source_probe == "tells sources apart"


def test_registers_its_digests(bundle: Bundle) -> None:
    class Registry:
        def __init__(self) -> None:
            self.rows: list[tuple[str, int, str, str]] = []

        def register_model(self, name: str, version: int, spec_sha256: str, weights_sha256: str) -> None:
            self.rows.append((name, version, spec_sha256, weights_sha256))

    registry = Registry()
    bundle.register(registry)
    assert registry.rows == [("tiny", 1, bundle.spec_sha256, bundle.weights_sha256)]


def test_spec_helper_writes_what_it_reads(tmp_path: Path, golden_slices: list[Any]) -> None:
    spec = tiny_spec()
    assert load_bundle(write_model_folder(tmp_path, golden_slices, spec=spec)).spec == spec


def test_int8_of_a_server_is_made_from_the_onnx_file(bundle: Bundle) -> None:
    kept = dataclasses.replace(bundle, int8_sha256="0" * 64)

    def weights(engine: str, precision: Precision) -> str:
        identity = kept.identity(engine=engine, engine_version="1", precision=precision, device="CPU")
        return identity.weights_sha256

    assert weights(ENGINE, Precision.INT8) == "0" * 64
    assert weights(ENGINE, Precision.F32) == bundle.weights_sha256
    assert weights("triton", Precision.INT8) == bundle.weights_sha256


def test_a_further_version_describes_itself(tmp_path: Path, golden_slices: list[Stored]) -> None:
    folder = write_model_folder(tmp_path, golden_slices)
    assert versions_of(folder) == (1,)
    write_version(folder, golden_slices, 2, net=TinyNet(gain=3.0))
    write_version(folder, golden_slices, 12)
    for name in ("notes", "0", "003", "7"):  # no versions: other names, and one without a description
        (folder / name).mkdir()
    assert versions_of(folder) == (1, 2, 12)
    second = load_bundle(folder, 2)
    assert (second.name, second.version, second.folder) == ("tiny", 2, folder)
    assert second.onnx == folder / "2" / "model.onnx"
    assert second.weights_sha256 != load_bundle(folder).weights_sha256
    assert load_bundle(folder, 1).onnx == load_bundle(folder).onnx
    assert {path.parent for path in files_of(second)} == {folder / "2"}


def test_a_version_that_is_not_there_is_named_with_those_that_are(
    tmp_path: Path, golden_slices: list[Stored]
) -> None:
    folder = write_model_folder(tmp_path, golden_slices)
    with pytest.raises(ModelNotServed, match=r"no version 3 .* installed: 1"):
        load_bundle(folder, 3)
    with pytest.raises(BundleError, match="no model folder"):
        installed(tmp_path, "absent")


def test_a_description_of_another_version_is_refused(tmp_path: Path, golden_slices: list[Stored]) -> None:
    folder = write_model_folder(tmp_path, golden_slices)
    write_version(folder, golden_slices, 2)
    (folder / "2" / "input_spec.json").rename(folder / "spec")
    (folder / "3").mkdir()
    (folder / "spec").rename(folder / "3" / "input_spec.json")
    for name in ("config.pbtxt", "CARD.md"):
        (folder / "2" / name).rename(folder / "3" / name)
    with pytest.raises(HandshakeFailed, match=r"version of input_spec\.json says '2', the folder has '3'"):
        load_bundle(folder, 3)
