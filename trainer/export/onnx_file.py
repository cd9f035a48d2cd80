"""The served network as an ONNX file, its weights in half precision."""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from node.domain.input_spec import InputSpec
from trainer.export.graph import ServedNet

INPUT: Final = "input"
SMALLEST_HALVED: Final = 1024
"""Tensors with fewer elements (biases, batch norms) stay in float32: they cost nothing and matter most."""
LARGEST_HALF: Final = float(np.finfo(np.float16).max)


def onnx_model(net: ServedNet, spec: InputSpec) -> bytes:
    """Export a served network with float32 weights.

    Parameters
    ----------
    net : ServedNet
    spec : InputSpec
        Gives size, channels and the outputs' names.

    Returns
    -------
    bytes
        An ONNX file with dynamic batch, one input ``input`` and the outputs that the specification names.
    """
    example = torch.zeros(2, spec.input.channels, *spec.input.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # from within the exporter itself
        program = torch.onnx.export(
            net,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[spec.outputs.probabilities, spec.outputs.cam],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    model = program.model_proto
    for value in (*model.graph.node, model.graph):
        value.doc_string = ""
        del value.metadata_props[:]
    return _content(model)


def _content(model: onnx.ModelProto) -> bytes:
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def halved(whole: bytes) -> bytes:
    """Return an ONNX file with its large weights as float16 and a cast to float32 in front of their users.

    Parameters
    ----------
    whole : bytes
        An ONNX file with float32 weights.
    """
    model = onnx.load_from_string(whole)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < SMALLEST_HALVED or np.abs(values).max() > LARGEST_HALF:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(
            onnx.helper.make_node(
                "Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT, name=f"widen.{name}"
            )
        )
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)
    kept = [info for info in model.graph.value_info if info.name not in {cast.output[0] for cast in casts}]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    return _content(model)
