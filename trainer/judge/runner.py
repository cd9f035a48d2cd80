"""A bundle's network run with OpenVINO, as the node's embedded engine does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino
from numpy.typing import NDArray

from node.domain.errors import InputSpecError
from node.domain.input_spec import InputSpec
from trainer.errors import BundleError

BATCH: Final = 32
TRAINED_ON: Final = re.compile(r'key: "trained_on" value: \{ string_value: "([^"]+)" \}')


class OpenVinoNet:
    """A compiled ONNX network on the CPU.

    Parameters
    ----------
    model : bytes
        The ONNX file.
    spec : InputSpec
        Names the outputs.
    precision : str
        ``f32`` or ``bf16``.
    weights : bytes
        The weights, where ``model`` is OpenVINO's own description of a network (XML) instead of ONNX.
    """

    def __init__(self, model: bytes, spec: InputSpec, precision: str, weights: bytes = b"") -> None:
        core = openvino.Core()
        try:
            graph = core.read_model(model, weights)
        except RuntimeError as error:
            raise BundleError(f"OpenVINO cannot read the network: {error}") from error
        names = {name for output in graph.outputs for name in output.get_names()}
        if not {spec.outputs.probabilities, spec.outputs.cam} <= names:
            raise BundleError(
                f"the network's outputs are {sorted(names)}, not those that input_spec.json names"
            )
        self._spec = spec
        self._compiled = core.compile_model(
            graph, "CPU", {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        )

    def __call__(self, tensors: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return probabilities [n, classes] and maps [n, grid rows, grid columns] of prepared tensors."""
        parts = [
            self._compiled({0: tensors[start : start + BATCH]}) for start in range(0, len(tensors), BATCH)
        ]
        return (
            np.concatenate([part[self._spec.outputs.probabilities] for part in parts]).astype(np.float32),
            np.concatenate([part[self._spec.outputs.cam] for part in parts]).astype(np.float32),
        )


def newest_version(folder: Path) -> Path:
    """Return the bundle's version directory with the highest number.

    Raises
    ------
    BundleError
        There is none.
    """
    versions = [path for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
    if not versions:
        raise BundleError(f"{folder} holds no version directory; it is no bundle")
    return max(versions, key=lambda path: int(path.name))


@dataclass(frozen=True, kw_only=True)
class ReadBundle:
    """What evaluation needs of a bundle."""

    model: bytes
    """The ONNX file of the newest version."""
    spec: InputSpec
    trained_on: str | None
    """Kind of data set, from ``config.pbtxt``; None where it does not say."""


def read_bundle(folder: Path) -> ReadBundle:
    """Read a bundle for evaluation.

    Raises
    ------
    BundleError
        A file is missing or malformed.
    """
    version = newest_version(folder)
    try:
        model = (version / "model.onnx").read_bytes()
        text = (folder / "input_spec.json").read_text(encoding="utf-8")
        config = (folder / "config.pbtxt").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{folder} is not a whole bundle: {error}") from error
    found = TRAINED_ON.search(config)
    return ReadBundle(model=model, spec=_specification(text), trained_on=found[1] if found else None)


def _specification(text: str) -> InputSpec:
    try:
        return InputSpec.from_json(text)
    except InputSpecError as error:
        raise BundleError(f"input_spec.json: {error}") from error
