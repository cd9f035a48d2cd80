"""The golden answer of a bundle, and the round trip that it rests on."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from node.domain.input_spec import InputSpec
from node.imaging.prepare import prepare_slice
from trainer.errors import RoundTripError
from trainer.export.graph import ServedNet, gradcam_by_autograd
from trainer.judge.runner import OpenVinoNet

GRAPH_TOLERANCE: Final = 1e-3
"""torch against ONNX with whole weights in OpenVINO f32: probabilities, and maps over their maximum."""
CAM_TOLERANCE: Final = 1e-4
"""Closed form against autograd, maps over their maximum."""
HALF_TOLERANCE: Final = 0.02
"""Half-precision weights against whole ones, probabilities."""
F32_TOLERANCE: Final = 1e-3
"""Golden tolerance: the same file in f32 on another processor."""
BF16_FLOOR: Final = 0.02
"""Smallest golden tolerance in bf16; more where three times the difference seen here is more."""
BF16_CEILING: Final = 0.1
"""Above this bf16 is not recorded as usable: a map may not differ that much."""

Real = NDArray[np.float32]
Answer = tuple[Real, Real]


@dataclass(frozen=True, kw_only=True)
class Golden:
    """What ``golden.npz`` holds."""

    slices: NDArray[np.uint16]
    """Shape (slices, rows, columns), HU + 1024, of a generated phantom."""
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
    """Half-precision weights against whole ones."""
    bf16: float
    """OpenVINO bf16 against f32."""


def difference(one: Answer, other: Answer) -> float:
    """Return the largest difference of two answers: of probabilities, and of maps over their maximum."""
    return float(
        max(np.abs(one[0] - other[0]).max(), np.abs(_over_maximum(one[1]) - _over_maximum(other[1])).max())
    )


def _over_maximum(maps: Real) -> Real:
    peak = maps.max(axis=(1, 2), keepdims=True)
    scaled: Real = np.divide(maps, peak, out=np.zeros_like(maps), where=peak > 0)
    return scaled


def golden_and_round_trip(
    net: ServedNet, whole: bytes, stored: bytes, slices: NDArray[np.uint16], spec: InputSpec
) -> tuple[Golden, RoundTrip]:
    """Run the golden slices through every stage.

    Parameters
    ----------
    net : ServedNet
    whole, stored : bytes
        ONNX with float32 weights, and as it will be served.
    slices : uint16 array, shape (slices, rows, columns)
    spec : InputSpec

    Raises
    ------
    RoundTripError
        A stage differs from the one before by more than its tolerance.
    """
    prepared = np.stack([prepare_slice(v, spec).tensor for v in slices])
    images = torch.from_numpy(prepared)
    torch_answer = tuple(part.numpy() for part in net(images))
    answers = {
        "torch": (torch_answer[0], torch_answer[1]),
        "whole": OpenVinoNet(whole, spec, "f32")(prepared),
        "f32": OpenVinoNet(stored, spec, "f32")(prepared),
        "bf16": OpenVinoNet(stored, spec, "bf16")(prepared),
    }
    by_autograd = gradcam_by_autograd(net, images).numpy()
    trip = RoundTrip(
        autograd=float(np.abs(_over_maximum(by_autograd) - _over_maximum(answers["torch"][1])).max()),
        graph=difference(answers["torch"], answers["whole"]),
        half=difference(answers["whole"], answers["f32"]),
        bf16=difference(answers["f32"], answers["bf16"]),
    )
    half_probability = float(np.abs(answers["whole"][0] - answers["f32"][0]).max())
    for name, found, allowed in (
        ("closed-form Grad-CAM and autograd", trip.autograd, CAM_TOLERANCE),
        ("torch and OpenVINO f32", trip.graph, GRAPH_TOLERANCE),
        ("whole and half-precision weights", half_probability, HALF_TOLERANCE),
    ):
        if not found <= allowed:
            raise RoundTripError(
                f"{name} differ by {found:.2g}, allowed is {allowed:.2g}: nothing is exported"
            )
    tolerances = {"f32": F32_TOLERANCE}
    if trip.bf16 <= BF16_CEILING:
        tolerances["bf16"] = max(BF16_FLOOR, 3 * trip.bf16)
    return Golden(slices=slices, prepared=prepared, answer=answers["f32"], tolerances=tolerances), trip
