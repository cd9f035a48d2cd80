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
      <further version>/
        model.onnx, golden.npz, ... as above
        config.pbtxt, input_spec.json, CARD.md   of this version; those above describe the folder's own one
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from node.domain.errors import BundleError, HandshakeFailed, ModelNotServed
from node.domain.input_spec import InputSpec
from node.domain.model import ModelIdentity, ModelStatus, Precision
from node.infer.config import ModelConfig, parse_config
from node.infer.golden_record import Golden, load_golden

MAX_TEXT_BYTES = 1 << 20
MAX_ONNX_BYTES = 2 << 30  # a protobuf message cannot be larger

CONFIG = "config.pbtxt"
SPEC = "input_spec.json"
CARD = "CARD.md"
ONNX = "model.onnx"
GOLDEN = "golden.npz"
_VERSION = re.compile(r"[1-9][0-9]{0,5}")

EMBEDDED = "openvino"
"""Name of the engine within this process."""
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
    """The model's folder; its name is the model's name."""
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
    card: Path
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
        """Return who answers when this engine runs the bundle.

        At int8 the embedded engine runs a file of its own; a server makes its 8 bits from the ONNX file.
        """
        quantised = precision is Precision.INT8 and engine == EMBEDDED
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


def load_bundle(folder: Path, version: int | None = None) -> Bundle:
    """Read and verify one version of a model.

    Parameters
    ----------
    folder : Path
        The model's folder; its name is the model's name.
    version : int, optional
        By default the one that the folder's own ``input_spec.json`` names.

    Raises
    ------
    BundleError
        A file is missing or malformed.
    InputSpecError
        ``input_spec.json`` is malformed.
    HandshakeFailed
        Files and configuration do not belong together.
    ModelNotServed
        There is no such version.
    """
    described = folder if version is None else _described(folder, version)
    config = parse_config(_text(described / CONFIG))
    spec_text = _text(described / SPEC)
    spec = InputSpec.from_json(spec_text)
    card = described / CARD
    if not _text(card).strip():
        raise BundleError(f"{card} is empty: a model without a card is not run")
    weights = folder / str(spec.model.version)
    onnx = weights / ONNX
    int8 = weights / "int8.xml" if INT8_SHA256 in config.parameters else None
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
        card=card,
        onnx=onnx,
        golden=load_golden(weights / GOLDEN, spec),
    )
    _shake_hands(bundle, bundle.version if version is None else version)
    return bundle


def installed(models_dir: Path, name: str) -> Path:
    """Return the folder of a model.

    Raises
    ------
    BundleError
        It is not there.
    """
    folder = models_dir / name
    if not folder.is_dir():
        raise BundleError(
            f"infer.models_dir: there is no model folder {folder}; the package does not contain the weights: "
            "run in a checkout of the repository, or name the folder of its triton_models"
        )
    return folder


def own_version(folder: Path) -> int:
    """Return the version that the folder's own ``input_spec.json`` describes.

    Raises
    ------
    BundleError, InputSpecError
    """
    return read_spec(folder).model.version


def read_spec(folder: Path, version: int | None = None) -> InputSpec:
    """Return the input specification of a version, by default of the folder's own.

    Raises
    ------
    BundleError, InputSpecError, ModelNotServed
    """
    described = folder if version is None else _described(folder, version)
    return InputSpec.from_json(_text(described / SPEC))


def versions_of(folder: Path) -> tuple[int, ...]:
    """Return the versions of a model that lie in its folder, ascending.

    Raises
    ------
    BundleError, InputSpecError
        The folder's own ``input_spec.json`` is absent or malformed.
    """
    further = (
        int(item.name)
        for item in folder.iterdir()
        if _VERSION.fullmatch(item.name) and (item / SPEC).is_file()
    )
    return tuple(sorted({own_version(folder), *further}))


def files_of(bundle: Bundle) -> tuple[Path, ...]:
    """Return the files that decide what the bundle answers."""
    described = bundle.card.parent
    quantised = () if bundle.int8 is None else (bundle.int8, bundle.int8.with_suffix(".bin"))
    return (described / CONFIG, described / SPEC, bundle.onnx, bundle.onnx.with_name(GOLDEN), *quantised)


def _described(folder: Path, version: int) -> Path:
    """Return the folder with the description of a version."""
    if version == own_version(folder):
        return folder
    described = folder / str(version)
    if not (described / SPEC).is_file():
        known = ", ".join(map(str, versions_of(folder)))
        raise ModelNotServed(
            f"model {folder.name} has no version {version} in {folder.parent}; installed: {known}"
        )
    return described


def _shake_hands(bundle: Bundle, version: int) -> None:
    """Refuse a folder whose parts do not name each other."""
    claims: Mapping[str, tuple[str, str]] = MappingProxyType(
        {
            "name of config.pbtxt": (bundle.config.name, bundle.folder.name),
            "name of input_spec.json": (bundle.name, bundle.folder.name),
            "version of input_spec.json": (str(bundle.version), str(version)),
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
