"""The handshake with a server: that what answers there is what lies here, before a batch is sent."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from node.domain.errors import HandshakeFailed, ModelNotServed, ServerTooOld
from node.domain.model import ModelIdentity, Precision
from node.infer.bundle import Bundle
from node.infer.repository_config import PRECISION, TARGET, Target, version_parameters
from node.infer.triton_connection import CallFailed, Code, Connection

ENGINE = "triton"
LEAST_VERSION = (2, 59, 1)
"""The first release without CVE-2025-23319, CVE-2025-23320 and CVE-2025-23334."""
FLOAT = "FP32"
STATISTICS = "statistics"
SHARED_MEMORY = "system_shared_memory"
KIND_GPU = "KIND_GPU"

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})")


@dataclass(frozen=True, kw_only=True)
class Served:
    """A version of a network as a server serves it."""

    identity: ModelIdentity
    """Who answers."""
    input: str
    """Name of the input."""
    max_batch: int
    """Slices in one request, at most."""


def shake_hands(
    connection: Connection, bundle: Bundle, *, allow_old_server: bool, shared_memory: bool = False
) -> Served:
    """Hold the server's network against the bundle.

    Parameters
    ----------
    connection : Connection
    bundle : Bundle
    allow_old_server : bool
        Whether a server older than ``LEAST_VERSION`` may answer.
    shared_memory : bool
        Whether the server must offer it.

    Raises
    ------
    EngineUnavailable
        The server does not answer, or is starting.
    ServerTooOld
        It lacks security fixes.
    ModelNotServed
        It does not serve this version of this network.
    HandshakeFailed
        It serves other weights, another specification, other inputs and outputs, or answers from memory.
    """
    if not connection.is_live():
        raise CallFailed(Code.UNAVAILABLE, "the inference server is not live")
    server = connection.server()
    _check_server(server, allow_old_server=allow_old_server, shared_memory=shared_memory)
    _check_served(connection, bundle)
    config = connection.config(bundle.name, bundle.version)
    metadata = connection.model(bundle.name, bundle.version)
    for what, (found, expected) in {
        **dict(_digests(bundle, config)),
        **dict(_tensors(bundle, metadata)),
    }.items():
        if found != expected:
            raise HandshakeFailed(
                f"{bundle.name} version {bundle.version}: the server's {what} is {found!r}, here it is "
                f"{expected!r}; build the server's model repository again and load it"
            )
    _check_cache(bundle, config)
    identity = bundle.identity(
        engine=ENGINE,
        engine_version=server.version,
        precision=_precision(bundle, config),
        device="GPU" if _runs_on_gpu(config) else "CPU",
    )
    # Whatever the server makes of it, what it was given is the ONNX file.
    return Served(
        identity=dataclasses.replace(identity, weights_sha256=bundle.weights_sha256),
        input=metadata.inputs[0].name,
        max_batch=max(int(config.max_batch_size), 1),
    )


def version_of(text: str) -> tuple[int, int, int] | None:
    """Return a server's version as numbers; None when it is none."""
    match = _VERSION.match(text)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


def _check_server(server: Any, *, allow_old_server: bool, shared_memory: bool) -> None:
    version = version_of(server.version)
    if not allow_old_server and (version is None or version < LEAST_VERSION):
        least = ".".join(map(str, LEAST_VERSION))
        raise ServerTooOld(
            f"the inference server is version {server.version!r} and lacks security fixes; install {least} "
            "or later there; infer.triton.allow_old_server is for development on loopback"
        )
    needed = [STATISTICS, *([SHARED_MEMORY] if shared_memory else [])]
    missing = [name for name in needed if name not in server.extensions]
    if missing:
        raise HandshakeFailed(f"the inference server offers no {', '.join(missing)}; start it with it")


def _check_served(connection: Connection, bundle: Bundle) -> None:
    """Ask for this network alone: another one that fails to load must not stop this one."""
    if connection.has_model(bundle.name, bundle.version):
        return
    raise ModelNotServed(
        f"the inference server does not serve {bundle.name} version {bundle.version}; load it there"
    )


def _check_cache(bundle: Bundle, config: Any) -> None:
    """Refuse a cache before a backend that takes any file: it would hide what was loaded from the replay.

    The backend of target cpu refuses a file that has not the digest of the configuration.
    """
    if config.response_cache.enable and _parameter(config, TARGET) != Target.CPU:
        raise HandshakeFailed(
            f"{bundle.name}: the server answers from a response cache, so that a golden replay proves "
            "nothing of what it loaded; build its model repository again without one"
        )


def _digests(bundle: Bundle, config: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    for name, value in version_parameters(bundle).items():
        yield f"parameter {name}", (_parameter(config, name), value)


def _tensors(
    bundle: Bundle, metadata: Any
) -> Iterator[tuple[str, tuple[Sequence[object], Sequence[object]]]]:
    """Compare types and shapes; the batch axis, which comes first, is open."""
    spec = bundle.spec
    grid = bundle.golden.cam.shape[1:]
    inputs = [(FLOAT, (-1, spec.input.channels, *spec.input.size))]
    outputs = sorted(
        [
            (spec.outputs.probabilities, FLOAT, (-1, len(spec.outputs.classes))),
            (spec.outputs.cam, FLOAT, (-1, *grid)),
        ]
    )
    yield "input", ([(item.datatype, tuple(item.shape)) for item in metadata.inputs], inputs)
    yield (
        "output",
        (sorted((item.name, item.datatype, tuple(item.shape)) for item in metadata.outputs), outputs),
    )


def _precision(bundle: Bundle, config: Any) -> Precision:
    text = _parameter(config, PRECISION) or Precision.F32.value
    try:
        return Precision(text)
    except ValueError:
        raise HandshakeFailed(
            f"{bundle.name}: the server computes in {text!r}, which this node does not know; update the node"
        ) from None


def _parameter(config: Any, name: str) -> str:
    return str(config.parameters[name].string_value) if name in config.parameters else ""


def _runs_on_gpu(config: Any) -> bool:
    kinds = type(config.instance_group[0]).Kind if config.instance_group else None
    return kinds is not None and any(kinds.Name(item.kind) == KIND_GPU for item in config.instance_group)
