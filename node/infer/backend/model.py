"""The network in Triton's python backend: OpenVINO on the server's processors.

`groundglass models build --target cpu` copies this file into each version's folder, where the server's own
Python runs it (numpy 1, no part of the node). The server hands over several requests at once; they are
computed side by side and each gets its own answer, or its own error.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import triton_python_backend_utils as pb_utils
from openvino import properties
from openvino.properties import hint

DEVICE = "CPU"
TYPES = {"f32": openvino.Type.f32, "bf16": openvino.Type.bf16}
CAPABILITIES = {"f32": "FP32", "bf16": "BF16"}
MOST_STREAMS = 2
"""Parts of a batch that are computed at once, as in the node's own engine."""
PART = 4
"""Slices in a part: larger ones leave the processor's cache, and every new size is compiled first."""

Arrays = tuple[np.ndarray[Any, Any], ...]
"""One part's probabilities and maps."""


class TritonPythonModel:
    """One instance of one version; the server calls its methods, one at a time."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the network and compile it.

        Parameters
        ----------
        args : dict
            ``model_config`` as JSON, ``model_version`` and more, as the server gives them.

        Raises
        ------
        TritonModelException
            The file is not the one that the configuration names by its digest, or cannot be run as asked.
        """
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        self._input = config["input"][0]["name"]
        self._outputs = [output["name"] for output in config["output"]]
        self._shape = tuple(int(length) for length in config["input"][0]["dims"])
        onnx = Path(__file__).with_name("model.onnx")
        network = _verified(onnx, parameters.get(f"onnx_sha256_{args['model_version']}", ""))
        try:
            compiled = _compiled(network, parameters)
            streams = compiled.get_property(properties.num_streams())
            self._requests = [compiled.create_infer_request() for _ in range(streams)]
        except RuntimeError as error:
            raise pb_utils.TritonModelException(f"OpenVINO cannot run {onnx.name}: {error}") from error

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests; one response each, in order."""
        responses: list[Any] = [None] * len(requests)
        tensors: dict[int, np.ndarray[Any, Any]] = {}
        for index, request in enumerate(requests):
            if request.is_cancelled():
                responses[index] = _failed("the caller no longer waits", pb_utils.TritonError.CANCELLED)
                continue
            tensor = pb_utils.get_input_tensor_by_name(request, self._input).as_numpy()
            if tensor.dtype == np.float32 and tensor.shape[1:] == self._shape and len(tensor):
                tensors[index] = tensor
            else:
                responses[index] = _failed(
                    f"{self._input} has shape {tensor.shape} of {tensor.dtype}, not slices of {self._shape}",
                    pb_utils.TritonError.INVALID_ARG,
                )
        for index, answer in self._answers(tensors):
            responses[index] = answer
        return responses

    def _answers(self, tensors: dict[int, np.ndarray[Any, Any]]) -> list[tuple[int, Any]]:
        """Compute all tensors together; each gets its own response."""
        try:
            results = self._computed(tensors)
        except RuntimeError as error:
            reason = f"OpenVINO failed: {error}"
            return [(index, _failed(reason, pb_utils.TritonError.INTERNAL)) for index in tensors]
        return [
            (
                index,
                pb_utils.InferenceResponse(
                    [
                        pb_utils.Tensor(name, np.concatenate(parts))
                        for name, parts in zip(self._outputs, zip(*results[index], strict=True), strict=True)
                    ]
                ),
            )
            for index in tensors
        ]

    def _computed(self, tensors: dict[int, np.ndarray[Any, Any]]) -> dict[int, list[Arrays]]:
        """Compute tensors in parts, as many at once as there are streams; return each tensor's answers."""
        found: dict[int, list[Arrays]] = {index: [] for index in tensors}
        waiting: deque[tuple[int, Any]] = deque()
        idle = deque(self._requests)
        # Parts are read in place, so these outlive them.
        whole = {index: np.require(item, requirements=["C", "W"]) for index, item in tensors.items()}
        try:
            for index, tensor in whole.items():
                for start in range(0, len(tensor), PART):
                    if not idle:
                        idle.append(self._collect(waiting, found))
                    request = idle.popleft()
                    part = openvino.Tensor(tensor[start : start + PART], shared_memory=True)
                    request.set_input_tensor(part)
                    request.start_async()
                    waiting.append((index, request))
            while waiting:
                self._collect(waiting, found)
        finally:
            for _, request in waiting:  # after an error, the one that is told: none may still read its part
                with contextlib.suppress(RuntimeError):
                    request.wait()
        return found

    def _collect(self, waiting: deque[tuple[int, Any]], found: dict[int, list[Arrays]]) -> Any:
        """Wait for the oldest part, keep its answer and return its request."""
        index, request = waiting.popleft()
        request.wait()
        found[index].append(tuple(np.array(request.get_tensor(name).data) for name in self._outputs))
        return request


def _verified(onnx: Path, expected: str) -> bytes:
    """Return the file's content; what is run is what was hashed."""
    content = onnx.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise pb_utils.TritonModelException(
            f"{onnx.name} has the digest {found}, the configuration says {expected or 'none'}; "
            "build the model repository again"
        )
    return content


def _compiled(network: bytes, parameters: dict[str, str]) -> openvino.CompiledModel:
    core = openvino.Core()
    precision = parameters["precision"]
    if precision not in TYPES:
        raise pb_utils.TritonModelException(f"precision {precision!r} is none of {', '.join(TYPES)}")
    if CAPABILITIES[precision] not in core.get_property(DEVICE, properties.device.capabilities()):
        raise pb_utils.TritonModelException(f"this processor has no {precision}; choose f32")
    threads = int(parameters.get("threads", "0"))
    options = {
        hint.inference_precision(): TYPES[precision],
        hint.performance_mode(): hint.PerformanceMode.LATENCY,
        properties.num_streams(): min(MOST_STREAMS, threads or os.cpu_count() or 1),
        hint.enable_cpu_pinning(): False,
    }
    if threads:
        options[properties.inference_num_threads()] = threads
    return core.compile_model(core.read_model(network), DEVICE, options)


def _failed(reason: str, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(reason, code))
