"""The input of a network that takes HU + 1024 as it is, taken apart so that bf16 holds it."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import openvino
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from node.imaging.phantom import PhantomSlice, ThoraxPhantom
from node.imaging.prepare import hu_to_stored, prepare_slice
from trainer.cli.fit import RECIPES
from trainer.export.graph import ServedNet
from trainer.export.onnx_file import PARTS, onnx_model, take_input_apart
from trainer.feed.specification import specification
from trainer.fit.recipe import read_recipe
from trainer.nets.catalogue import build_net

SIDE = 32
Real = NDArray[np.float32]


def graph(*, reads: str = "input", group: int = 1, channels: int = 1, again: bool = False) -> onnx.ModelProto:
    """A convolution of 3 x 3, perhaps behind another node, and perhaps with its kernel used a second time."""
    kernel = np.random.default_rng(4).normal(size=(6, channels // group, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Relu", ["input"], ["relu"])] if reads != "input" else []
    nodes.append(helper.make_node("Conv", [reads, "kernel"], ["maps"], group=group))
    if again:
        nodes.append(helper.make_node("ReduceSum", ["kernel"], ["sum"], keepdims=0))
    made = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", channels, SIDE, SIDE])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["n", 6, SIDE - 2, SIDE - 2])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, images: Real, output: str = "maps", precision: str = "f32") -> Real:
    core = openvino.Core()
    net = core.read_model(model.SerializeToString(), b"")
    compiled = core.compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    return np.array(compiled(images)[output], dtype=np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_answer_is_the_same_in_f32(channels: int) -> None:
    whole = graph(channels=channels)
    apart = copy.deepcopy(whole)
    take_input_apart(apart.graph)
    onnx.checker.check_model(apart, full_check=True)
    assert len(apart.graph.node) == len(whole.graph.node) + 5
    images = np.random.default_rng(1).integers(0, 4096, (2, channels, SIDE, SIDE)).astype(np.float32)
    expected = run(whole, images)
    np.testing.assert_allclose(run(apart, images), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_both_parts_of_every_stored_value_are_exact_in_bf16() -> None:
    model = graph()
    take_input_apart(model.graph)
    model.graph.output.append(helper.make_tensor_value_info(PARTS, TensorProto.FLOAT, None))
    values = np.arange(4096, dtype=np.float32).reshape(4, 1, SIDE, SIDE)
    parts = run(model, values, PARTS)
    rounded = torch.from_numpy(parts).to(torch.bfloat16).to(torch.float32).numpy()
    np.testing.assert_array_equal(parts, rounded)
    np.testing.assert_array_equal(parts.sum(axis=1, keepdims=True), values)


@pytest.mark.parametrize(
    "model",
    [graph(reads="relu"), graph(group=3, channels=3), graph(again=True)],
    ids=["another node reads it", "a convolution by channel", "a kernel that is used twice"],
)
def test_other_networks_stay_as_they_are(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    take_input_apart(model.graph)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("name", ["xception", "resnet50v2-fpn"])
def test_the_papers_networks_take_their_input_so(name: str) -> None:
    parts = dict(read_recipe(RECIPES / "ctset-paper.toml").specification)
    parts["input"] = dict(parts["input"]) | {"size": [96, 96]}
    spec = specification(parts, name="net", version=1, status="untrained")
    torch.manual_seed(3)
    net = ServedNet([build_net(name, 1, 2, 0.0, None, size=(96, 96)).eval()], 0)
    model = onnx.load_from_string(onnx_model(net, spec))
    images = np.stack([prepare_slice(hu_to_stored(item.hu), spec).tensor for item in slices()])
    with torch.no_grad():
        expected = net(torch.from_numpy(images))[0].numpy()
    np.testing.assert_allclose(run(model, images, "probabilities"), expected, atol=1e-3)
    (first,) = (node for node in model.graph.node if node.op_type == "Conv" and PARTS in node.input)
    kernel = next(tensor for tensor in model.graph.initializer if tensor.name == first.input[1])
    assert kernel.dims[1] == 2


def slices() -> list[PhantomSlice]:
    phantom = ThoraxPhantom(seed=2, slices=12, rows=96)
    return [phantom.slice_at(index) for index in (4, 6, 8)]
