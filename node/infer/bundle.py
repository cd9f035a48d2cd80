"""The model folder: everything that makes a network answerable, read once and verified.

::

    <name>/
      config.pbtxt       engine's configuration; its parameters carry the digests, status and precisions
      input_spec.json    every number that selects, prepares and decides
      CARD.md            what the model was trained on, and its limits
      LICENSE            terms of the weights
      <version>/
        model.onnx       the network: class probabilities and Grad-CAM map
        golden.npz       phantom slices, their prepared tensor and the expected answer
        int8.xml, int8.bin   optional: the same network quantised to 8 bits, as OpenVINO keeps it
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from node.domain.errors import BundleError, HandshakeFailed
from node.domain.input_spec import InputSpec
from node.domain.model import ModelIdentity, ModelStatus, Precision
from node.infer.config import ModelConfig, parse_config
from node.infer.golden_record import Golden, load_golden

MAX_TEXT_BYTES = 1 << 20
MAX_ONNX_BYTES = 2 << 30  # a protobuf message cannot be larger

SPEC_SHA256 = "spec_sha256"
ONNX_SHA256 = "onnx_sha256"
INT8_SHA256 = "int8_sha256"
STATUS = "status"
PRECISIONS = "precisions"
SOURCE_PROBE = "source_probe"


class ModelRegistry(Protocol):
    """Where the digests of every model version that ever ran here are kept."""

    def register_model(self, name: str, version: int, spec_sha256: str, weights_sha256: str) -> None:
        """Remember a model version.

        Raises
        ------
        HandshakeFailed
            When the version is known with other digests.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """One verified model folder."""

    folder: Path
    spec: InputSpec
    config: ModelConfig
    spec_sha256: str
    """Digest of input_spec.json."""
    weights_sha256: str
    """Digest of the ONNX file."""
    precisions: frozenset[Precision]
    """Arithmetics in which the export found the decisions unchanged."""
    source_probe: str
    """What the export's source probe says against the model, one sentence; empty when nothing."""
    onnx: Path
    int8: Path | None
    """The quantised network, where the export kept one."""
    int8_sha256: str
    """Digest of both of its files, one after the other; empty without."""
    golden: Golden

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.spec.model.name

    @property
    def version(self) -> int:
        """Version of the weights."""
        return self.spec.model.version

    @property
    def status(self) -> ModelStatus:
        """What the card claims."""
        return self.spec.model.status

    def identity(
        self, *, engine: str, engine_version: str, precision: Precision, device: str
    ) -> ModelIdentity:
        """Return who answers when this engine runs the bundle."""
        quantised = precision is Precision.INT8
        return ModelIdentity(
            name=self.name,
            version=self.version,
            status=self.status,
            spec_sha256=self.spec_sha256,
            weights_sha256=self.int8_sha256 if quantised else self.weights_sha256,
            engine=engine,
            engine_version=engine_version,
            precision=precision,
            device=device,
        )

    def register(self, registry: ModelRegistry) -> None:
        """Make the version known, or refuse other bytes under a known version.

        Raises
        ------
        HandshakeFailed
        """
        registry.register_model(self.name, self.version, self.spec_sha256, self.weights_sha256)


def load_bundle(folder: Path) -> Bundle:
    """Read and verify a model folder.

    Parameters
    ----------
    folder : Path
        The folder that holds ``config.pbtxt``; its name is the model's name.

    Raises
    ------
    BundleError
        A file is missing or malformed.
    InputSpecError
        ``input_spec.json`` is malformed.
    HandshakeFailed
        Files and configuration do not belong together.
    """
    config = parse_config(_text(folder / "config.pbtxt"))
    spec_text = _text(folder / "input_spec.json")
    spec = InputSpec.from_json(spec_text)
    if not _text(folder / "CARD.md").strip():
        raise BundleError(f"{folder / 'CARD.md'} is empty: a model without a card is not run")
    version = folder / str(spec.model.version)
    onnx = version / "model.onnx"
    int8 = version / "int8.xml" if INT8_SHA256 in config.parameters else None
    bundle = Bundle(
        folder=folder,
        spec=spec,
        config=config,
        spec_sha256=hashlib.sha256(spec_text.encode()).hexdigest(),
        weights_sha256=_file_digest(onnx),
        int8=int8,
        int8_sha256="" if int8 is None else _file_digest(int8, int8.with_suffix(".bin")),
        precisions=_precisions(config),
        source_probe=config.parameters.get(SOURCE_PROBE, "").strip(),
        onnx=onnx,
        golden=load_golden(version / "golden.npz", spec),
    )
    _shake_hands(bundle)
    return bundle


def _shake_hands(bundle: Bundle) -> None:
    """Refuse a folder whose parts do not name each other."""
    claims: Mapping[str, tuple[str, str]] = MappingProxyType(
        {
            "name of config.pbtxt": (bundle.config.name, bundle.folder.name),
            "name of input_spec.json": (bundle.name, bundle.folder.name),
            "parameter status": (bundle.config.parameter(STATUS), bundle.status.value),
            "parameter spec_sha256": (bundle.config.parameter(SPEC_SHA256), bundle.spec_sha256),
            "parameter onnx_sha256": (bundle.config.parameter(ONNX_SHA256), bundle.weights_sha256),
            "parameter int8_sha256": (bundle.config.parameters.get(INT8_SHA256, ""), bundle.int8_sha256),
        }
    )
    for what, (claimed, found) in claims.items():
        if claimed != found:
            raise HandshakeFailed(
                f"model folder {bundle.folder.name}: {what} says {claimed!r}, the folder has {found!r}; "
                "put the exported folder back as a whole"
            )


def _precisions(config: ModelConfig) -> frozenset[Precision]:
    recorded = config.parameter(PRECISIONS).replace(",", " ").split()
    try:
        precisions = frozenset(Precision(item) for item in recorded)
    except ValueError as error:
        raise BundleError(f"config.pbtxt of {config.name}: parameter {PRECISIONS}: {error}") from None
    if Precision.F32 not in precisions:
        raise BundleError(f"config.pbtxt of {config.name}: parameter {PRECISIONS} must contain f32")
    if Precision.INT8 in precisions and INT8_SHA256 not in config.parameters:
        raise BundleError(f"config.pbtxt of {config.name}: int8 needs the parameter {INT8_SHA256}")
    return precisions


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_TEXT_BYTES + 1)
        if len(data) > MAX_TEXT_BYTES:
            raise BundleError(f"{path} is larger than {MAX_TEXT_BYTES} bytes")
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read as text: {error}") from error


def _file_digest(*paths: Path) -> str:
    """Return the digest of the files' bytes, one file after the other."""
    found = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as stream:
                if path.stat().st_size > MAX_ONNX_BYTES:
                    raise BundleError(f"{path} is larger than {MAX_ONNX_BYTES} bytes")
                hashlib.file_digest(stream, lambda: found)
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error}") from error
    return found.hexdigest()
