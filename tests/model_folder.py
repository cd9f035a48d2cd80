"""A complete, valid, tiny model folder, made on the fly: the fixture of every test that needs a model.

The network is small enough to be written down twice, as ONNX and in numpy, so the golden answer does not come
from the engine under test: an 8 x 8 mean filter with stride 8 gives a map A, the positive logit is
``gain * mean(A) + bias``, the other logit is 0, and the Grad-CAM map of the positive class is
``relu(gain * A / cells)``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from node.domain.input_spec import (
    Equalise,
    FixedNormalise,
    InputKind,
    InputModality,
    InputSpec,
    LungBoxSpec,
    OutputSpec,
    PlausibilitySpec,
    PreparationSpec,
    ScopeSpec,
    SelectionRule,
    SelectionSpec,
    SpecModel,
    WindowSpec,
)
from node.domain.model import ModelStatus
from node.domain.result import OperatingPoint
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import hu_to_stored, prepare_stored
from node.infer.bundle import Bundle, load_bundle

SIDE, CELL = 64, 8
GRID = SIDE // CELL

Stored = NDArray[np.uint16]
Real = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TinyNet:
    """The numbers of the network."""

    gain: float = 40.0
    bias: float = -6.8
    """So that about half of the phantom's lung slices are positive."""

    def __call__(self, batch: Real) -> tuple[Real, Real]:
        """Answer in numpy: probabilities (slices, 2) and maps (slices, 8, 8)."""
        cells = batch.astype(np.float64).reshape(len(batch), GRID, CELL, GRID, CELL).mean(axis=(2, 4))
        positive = 1 / (1 + np.exp(-(self.gain * cells.mean(axis=(1, 2)) + self.bias)))
        probabilities = np.stack([positive, 1 - positive], axis=1)
        cam = np.maximum(self.gain * cells / GRID**2, 0)
        return probabilities.astype(np.float32), cam.astype(np.float32)

    def onnx(self) -> bytes:
        """Return the same network as an ONNX file with a dynamic batch axis."""
        constants = {
            "kernel": np.full((1, 1, CELL, CELL), 1 / CELL**2, dtype=np.float32),
            "gain": np.array([[self.gain, 0.0]], dtype=np.float32),
            "bias": np.array([self.bias, 0.0], dtype=np.float32),
            "scale": np.array(self.gain / GRID**2, dtype=np.float32),
            "channel": np.array([1], dtype=np.int64),
        }
        nodes = [
            helper.make_node("Conv", ["slices", "kernel"], ["cells"], strides=[CELL, CELL]),
            helper.make_node("GlobalAveragePool", ["cells"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("Gemm", ["flat", "gain", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
            helper.make_node("Mul", ["cells", "scale"], ["weighted"]),
            helper.make_node("Relu", ["weighted"], ["rectified"]),
            helper.make_node("Squeeze", ["rectified", "channel"], ["cam"]),
        ]
        graph = helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("slices", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])],
            [
                helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2]),
                helper.make_tensor_value_info("cam", TensorProto.FLOAT, ["n", GRID, GRID]),
            ],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def tiny_spec(**changes: Any) -> InputSpec:
    """Return the specification of the tiny model, with some of its parts changed."""
    spec = InputSpec(
        model=SpecModel(name="tiny", version=1, status=ModelStatus.VALIDATED),
        modality=InputModality.CT,
        ct_selection=SelectionSpec(
            rule=SelectionRule.IN_BODY,
            region_rows=(240, 340),
            region_columns=(120, 370),
            reference_size=512,
            dark_below=300,
            body_above_hu=-500,
            threshold_ratio=Fraction(2, 3),
            minimum_slices=10,
            minimum_selected=3,
            plausibility=PlausibilitySpec(minimum_run_share=0.5, minimum_dark_area_mm2=100.0),
        ),
        input=PreparationSpec(
            kind=InputKind.LUNG_WINDOW_BOX,
            size=(SIDE, SIDE),
            channels=1,
            window=WindowSpec(center=-600, width=1500),
            lung_box=LungBoxSpec(
                margin=0.08, air_below_hu=-500, minimum_area_share=0.005, symmetry=0.5, minimum_aspect=1.0
            ),
            equalise=Equalise.NONE,
            blur=None,
            normalise=FixedNormalise(mean=(0.5,), std=(0.5,)),
        ),
        outputs=OutputSpec(
            probabilities="probabilities",
            cam="cam",
            classes=("covid", "non-covid"),
            positive_class="covid",
        ),
        operating_points=(
            OperatingPoint(
                name="tiny",
                slice_threshold=0.5,
                share=Fraction(3, 10),
                chosen_on="nothing: a network for tests",
                validated=True,
            ),
        ),
        active_point="tiny",
        scope=ScopeSpec(
            minimum_age_years=18,
            slice_thickness_mm=(0.5, 20),
            pixel_spacing_mm=(0.4, 2),
            field_of_view_mm=(200, 550),
        ),
    )
    return dataclasses.replace(spec, **changes)


def write_model_folder(
    models_dir: Path,
    slices: Sequence[Stored],
    *,
    net: TinyNet | None = None,
    spec: InputSpec | None = None,
    parameters: dict[str, str] | None = None,
) -> Path:
    """Write a model folder as the trainer's export does and return it.

    Parameters
    ----------
    models_dir : Path
        The folder is made in it, under the name in the specification.
    slices : sequence of uint16 arrays, shape (rows, columns)
        HU + 1024 of phantom slices, or grey levels of its radiographs, for the golden answer.
    net, spec : optional
        Instead of the default network and specification.
    parameters : dict, optional
        Parameters of ``config.pbtxt`` that shall differ from the true ones.
    """
    net, spec = net or TinyNet(), spec or tiny_spec()
    folder = models_dir / spec.model.name
    version = folder / str(spec.model.version)
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(net.onnx())
    (folder / "input_spec.json").write_text(spec.to_json(), encoding="utf-8")
    (folder / "CARD.md").write_text(
        "# tiny\n\nA network for tests. Its scores mean nothing.\n", encoding="utf-8"
    )
    (folder / "LICENSE").write_text("MIT\n", encoding="utf-8")
    stack = np.stack(slices)
    prepared = np.stack([prepare_stored(v, spec).tensor for v in stack])
    probabilities, cam = net(prepared)
    np.savez_compressed(
        version / "golden.npz",
        slices=stack,
        prepared=prepared,
        probabilities=probabilities,
        cam=cam,
        tolerance_f32=np.float64(1e-5),
        tolerance_bf16=np.float64(5e-2),
    )
    true = {
        "spec_sha256": hashlib.sha256((folder / "input_spec.json").read_bytes()).hexdigest(),
        "onnx_sha256": hashlib.sha256((version / "model.onnx").read_bytes()).hexdigest(),
        "status": spec.model.status.value,
        "precisions": "f32,bf16",
    }
    (folder / "config.pbtxt").write_text(config_text(spec, {**true, **(parameters or {})}), encoding="utf-8")
    return folder


def write_version(
    folder: Path, slices: Sequence[Stored], number: int, *, net: TinyNet | None = None, **changes: Any
) -> None:
    """Write a further version of a model into its folder, described within its own version's folder."""
    spec = tiny_spec(**changes)
    model = dataclasses.replace(spec.model, name=folder.name, version=number)
    made = write_model_folder(
        folder.parent / f"making-{number}", slices, net=net, spec=dataclasses.replace(spec, model=model)
    )
    for name in ("config.pbtxt", "input_spec.json", "CARD.md"):
        (made / name).rename(made / str(number) / name)
    (made / str(number)).rename(folder / str(number))
    shutil.rmtree(made.parent)


def config_text(spec: InputSpec, parameters: dict[str, str]) -> str:
    """Return a ``config.pbtxt``."""
    rows, columns = spec.input.size
    entries = "".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'
        for key, value in parameters.items()
    )
    return (
        f'name: "{spec.model.name}"\n'
        'backend: "onnxruntime"\n'
        "max_batch_size: 16\n"
        f'input [ {{ name: "slices" data_type: TYPE_FP32 dims: [ 1, {rows}, {columns} ] }} ]\n'
        f'output [ {{ name: "probabilities" data_type: TYPE_FP32 dims: [ 2 ] }},\n'
        f'         {{ name: "cam" data_type: TYPE_FP32 dims: [ {GRID}, {GRID} ] }} ]\n'
        "instance_group [ { kind: KIND_CPU } ]\n" + entries
    )


def phantom_slices() -> list[Stored]:
    """Return three slices through the phantom's lungs, for the golden answer."""
    phantom = ThoraxPhantom(slices=24, rows=256)
    return [hu_to_stored(phantom.slice_at(index).hu) for index in (8, 12, 16)]


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The default tiny model, loaded from a folder ``tiny``."""
    return load_bundle(write_model_folder(tmp_path_factory.mktemp("models"), phantom_slices()))


def of_wide_scope(bundle: Bundle) -> Bundle:
    """Return the bundle for the small phantom's thick slices and coarse pixels as well."""
    return dataclasses.replace(bundle, spec=dataclasses.replace(bundle.spec, scope=tiny_spec().scope))
