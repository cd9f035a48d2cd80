"""What a model is to the rest of the node."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ModelStatus(StrEnum):
    """What a model's card claims; decides where its results may go."""

    UNTRAINED = "untrained"
    DEMONSTRATION = "demonstration"
    VALIDATED = "validated"


class Precision(StrEnum):
    """In which arithmetic an engine runs a model."""

    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    INT8 = "int8"


@dataclass(frozen=True, kw_only=True)
class ModelIdentity:
    """Which model answered, down to its bytes and the engine that ran it."""

    name: str
    """Name of the model's folder."""
    version: int
    """Version directory within the folder."""
    status: ModelStatus
    """The card's claim."""
    spec_sha256: str
    """Digest of input_spec.json."""
    weights_sha256: str
    """Digest of the ONNX file."""
    engine: str
    """Either ``openvino`` or ``triton``."""
    engine_version: str
    """Version of the engine's library or server."""
    precision: Precision
    """Arithmetic in use."""
    device: str
    """Device that ran it, for example "CPU"."""


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """One model version on one inference server that has answered its golden slices as the export did."""

    url: str
    """Of the server, as the settings name it."""
    server_version: str
    model_name: str
    model_version: int
    spec_sha256: str
    weights_sha256: str
    precision: str
    """Arithmetic in which the server runs it."""
