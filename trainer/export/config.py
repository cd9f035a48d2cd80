"""``config.pbtxt``: the engine's configuration, whose parameters bind the bundle's files together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from node.domain.input_spec import InputSpec
from trainer.export.onnx_file import INPUT

MAX_BATCH: Final = 32


def config_text(spec: InputSpec, grid: tuple[int, int], parameters: Mapping[str, str]) -> str:
    """Return the configuration for the ONNX Runtime backend.

    Parameters
    ----------
    spec : InputSpec
    grid : (rows, columns)
        Of the Grad-CAM map.
    parameters : mapping of str to str
        Digests, status, precisions, source probe.
    """
    rows, columns = spec.input.size
    size = f"{spec.input.channels}, {rows}, {columns}"
    names, classes = spec.outputs, len(spec.outputs.classes)
    lines = [
        f'name: "{spec.model.name}"',
        'platform: "onnxruntime_onnx"',
        'backend: "onnxruntime"',
        'default_model_filename: "model.onnx"',
        f"max_batch_size: {MAX_BATCH}",
        f'input [ {{ name: "{INPUT}" data_type: TYPE_FP32 dims: [ {size} ] }} ]',
        "output [",
        f'  {{ name: "{names.probabilities}" data_type: TYPE_FP32 dims: [ {classes} ] }},',
        f'  {{ name: "{names.cam}" data_type: TYPE_FP32 dims: [ {grid[0]}, {grid[1]} ] }}',
        "]",
        f"version_policy: {{ specific: {{ versions: [ {spec.model.version} ] }} }}",
    ]
    for key, value in sorted(parameters.items()):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'parameters {{ key: "{key}" value: {{ string_value: "{quoted}" }} }}')
    return "\n".join(lines) + "\n"
