"""The golden answer of a bundle, and the round trip that it rests on.

In bf16 a whole network is computed in bf16, its first layer included; only the input is kept from rounding
(``trainer.export.onnx_file``), for HU + 1024 has 12 bits. Keeping more in float32 was measured and is not
done: with random weights a first convolution in float32 halved what was left of ResNet50V2's change and
nothing of Xception's, but it needs a second engine; and on pictures a fitted EfficientNet-Lite0 of which one
half stayed in float32 still changed a decision. So bf16 is recorded where no decision changes, and nowhere
else.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino.properties import device

from node.domain.input_spec import InputSpec
from node.imaging.prepare import prepare_stored
from trainer.errors import RoundTripError
from trainer.export.graph import ServedNet, gradcam_by_autograd
from trainer.export.quantised import Quantised
from trainer.judge.runner import OpenVinoNet

GRAPH_TOLERANCE: Final = 1e-3
"""torch against ONNX with whole weights in OpenVINO f32: probabilities, and maps over their maximum."""
CAM_TOLERANCE: Final = 1e-4
"""Closed form against autograd, maps over their maximum."""
HALF_TOLERANCE: Final = 0.02
"""Half-precision weights against whole ones, probabilities."""
F32_TOLERANCE: Final = 1e-3
"""Golden tolerance: the same file in f32 on another processor."""
ROUNDED_FLOOR: Final = 0.02
"""Smallest golden tolerance in bf16 and int8; more where three times the difference seen here is more."""
ROUNDED_CEILING: Final = 0.1
"""Above this a precision is not recorded as usable: a map may not differ that much."""

Real = NDArray[np.float32]
Answer = tuple[Real, Real]


@dataclass(frozen=True, kw_only=True)
class Golden:
    """What ``golden.npz`` holds."""

    slices: NDArray[np.uint16]
    """Shape (slices, rows, columns), of a generated phantom: HU + 1024, or grey levels of radiographs."""
    prepared: Real
    """Shape (slices, channels, rows, columns)."""
    answer: Answer
    """Probabilities and maps of the exported file in OpenVINO f32."""
    tolerances: Mapping[str, float]
    """Precision -> largest difference of probabilities and of maps over their maximum."""

    def content(self) -> bytes:
        """Return the file."""
        stream = io.BytesIO()
        arrays: dict[str, Any] = {
            "slices": self.slices,
            "prepared": self.prepared,
            "probabilities": self.answer[0],
            "cam": self.answer[1],
        }
        arrays |= {f"tolerance_{name}": np.float64(value) for name, value in self.tolerances.items()}
        np.savez_compressed(stream, allow_pickle=False, **arrays)
        return stream.getvalue()


@dataclass(frozen=True, kw_only=True)
class RoundTrip:
    """How far the stages of export lie apart, on the golden slices."""

    autograd: float
    """Closed-form map against autograd."""
    graph: float
    """torch against OpenVINO f32 with whole weights."""
    half: float
    """Weights as stored against whole ones."""
    bf16: float | None
    """OpenVINO bf16 against f32; None where this processor has no bf16."""
    int8: float | None
    """The quantised network against f32; None without one."""


def difference(one: Answer, other: Answer) -> float:
    """Return the largest difference of two answers: of probabilities, and of maps over their maximum."""
    return float(
        max(np.abs(one[0] - other[0]).max(), np.abs(_over_maximum(one[1]) - _over_maximum(other[1])).max())
    )


def _over_maximum(maps: Real) -> Real:
    peak = maps.max(axis=(1, 2), keepdims=True)
    scaled: Real = np.divide(maps, peak, out=np.zeros_like(maps), where=peak > 0)
    return scaled


@dataclass(frozen=True, kw_only=True)
class Files:
    """One network in all the forms that are compared."""

    whole: bytes
    """ONNX with float32 weights."""
    stored: bytes
    """ONNX as it will be served."""
    int8: Quantised | None = None
    """The quantised network."""


def golden_and_round_trip(
    net: ServedNet, files: Files, slices: NDArray[np.uint16], spec: InputSpec
) -> tuple[Golden, RoundTrip]:
    """Run the golden slices through every stage.

    Parameters
    ----------
    net : ServedNet
    files : Files
    slices : uint16 array, shape (slices, rows, columns)
        HU + 1024, or grey levels of radiographs.
    spec : InputSpec

    Raises
    ------
    RoundTripError
        A stage differs from the one before by more than its tolerance.
    """
    prepared = np.stack([prepare_stored(v, spec).tensor for v in slices])
    images = torch.from_numpy(prepared)
    with torch.no_grad():
        in_torch = tuple(part.numpy() for part in net(images))
    whole = OpenVinoNet(files.whole, spec, "f32")(prepared)
    f32 = OpenVinoNet(files.stored, spec, "f32")(prepared)
    bf16 = OpenVinoNet(files.stored, spec, "bf16")(prepared) if has_bf16() else None
    int8 = files.int8.on(spec)(prepared) if files.int8 else None
    by_autograd = gradcam_by_autograd(net, images).numpy()
    trip = RoundTrip(
        autograd=float(np.abs(_over_maximum(by_autograd) - _over_maximum(in_torch[1])).max()),
        graph=difference((in_torch[0], in_torch[1]), whole),
        half=difference(whole, f32),
        bf16=None if bf16 is None else difference(f32, bf16),
        int8=None if int8 is None else difference(f32, int8),
    )
    for name, found, allowed in (
        ("closed-form Grad-CAM and autograd", trip.autograd, CAM_TOLERANCE),
        ("torch and OpenVINO f32", trip.graph, GRAPH_TOLERANCE),
        ("whole and stored weights", float(np.abs(whole[0] - f32[0]).max()), HALF_TOLERANCE),
    ):
        if not found <= allowed:
            raise RoundTripError(
                f"{name} differ by {found:.2g}, allowed is {allowed:.2g}: nothing is exported"
            )
    return Golden(slices=slices, prepared=prepared, answer=f32, tolerances=tolerances(trip)), trip


def tolerances(trip: RoundTrip) -> dict[str, float]:
    """Return the golden tolerance of each precision that differs little enough to be used."""
    rounded = {"bf16": trip.bf16, "int8": trip.int8}
    return {"f32": F32_TOLERANCE} | {
        precision: max(ROUNDED_FLOOR, 3 * found)
        for precision, found in rounded.items()
        if found is not None and found <= ROUNDED_CEILING
    }


def has_bf16() -> bool:
    """Return whether this processor computes in bf16; OpenVINO emulates nothing."""
    return "BF16" in openvino.Core().get_property("CPU", device.capabilities())
