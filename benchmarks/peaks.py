"""What this machine's cores give at most in matrix products, measured, by precision."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import openvino
import torch
from openvino import opset13 as op
from openvino.properties import device

SIDE: Final = 4096
"""Rows and columns of the matrices: large enough for packing to cost nothing."""
LARGEST: Final = np.float32(4)
"""Range of the 8-bit values; those beyond are clipped, which costs no time."""
Product = Callable[[], object]


def peaks(repeat: int, side: int = SIDE) -> dict[str, dict[str, float]]:
    """Return operations a second (multiplications and additions) by precision, then by library.

    Parameters
    ----------
    repeat : int
        Turns of each; the quickest counts, for a peak is what can be reached.
    side : int
        Rows and columns of the matrices.
    """
    products = _products(side)
    quickest = {name: float("inf") for name in products}
    for turn in range(repeat + 1):
        for name, product in products.items():
            began = time.perf_counter()
            product()
            if turn:
                quickest[name] = min(quickest[name], time.perf_counter() - began)
    found: dict[str, dict[str, float]] = {}
    for (precision, library), seconds in quickest.items():
        found.setdefault(precision, {})[library] = 2 * side**3 / seconds
    return found


def _products(side: int) -> dict[tuple[str, str], Product]:
    rng = np.random.default_rng(1)
    one, other = (rng.standard_normal((side, side), dtype=np.float32) for _ in range(2))
    whole = [torch.from_numpy(rng.integers(-127, 128, (side, side), dtype=np.int8)) for _ in range(2)]
    wide = [torch.from_numpy(values) for values in (one, other)]
    half = [values.to(torch.bfloat16) for values in wide]
    products: dict[tuple[str, str], Product] = {
        ("f32", "numpy"): lambda: one @ other,
        ("f32", "torch"): lambda: torch.mm(*wide),
        ("bf16", "torch"): lambda: torch.mm(*half),
        ("int8", "torch"): lambda: torch._int_mm(*whole),
    }
    able = openvino.Core().get_property("CPU", device.capabilities())
    for precision, capability in (("f32", "FP32"), ("bf16", "BF16"), ("int8", "INT8")):
        if capability in able:
            products[precision, "OpenVINO"] = _in_openvino(one, other, precision)
    return products


def _in_openvino(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any], precision: str) -> Product:
    """Return a product with constant weights, as a dense layer has them."""
    left, right = op.parameter(one.shape, np.float32), op.constant(other)
    if precision == "int8":
        activations = op.fake_quantize(
            left, -LARGEST, LARGEST * 127 / 128, -LARGEST, LARGEST * 127 / 128, 256
        )
        weights = op.fake_quantize(right, -LARGEST, LARGEST, -LARGEST, LARGEST, 255)
        model = op.matmul(activations, weights, False, False)
    else:
        model = op.matmul(left, right, False, False)
    hint = "bf16" if precision == "bf16" else "f32"
    options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": os.cpu_count() or 1}
    request = openvino.Core().compile_model(openvino.Model([model], [left]), "CPU", options)
    request = request.create_infer_request()
    request.set_input_tensor(openvino.Tensor(one, shared_memory=True))
    return request.infer
