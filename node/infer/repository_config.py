"""The server's ``config.pbtxt`` for one network, in a variant for each target, from its verified bundles.

Every number comes from the bundle (specification, golden answer, largest batch) and every digest from its
files; the variants differ only in who computes. The fields are those of Triton's ``model_config.proto``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from node.domain.errors import BundleError, SettingsError
from node.domain.model import Precision
from node.infer.bundle import Bundle
from node.infer.protobuf_text import Field, Symbol, protobuf_text

LABELS = "labels.txt"
ONNX_FILE = "model.onnx"
PLAN_FILE = "model.plan"
TARGET = "target"
PRECISION = "precision"
THREADS = "threads"
MEBIBYTE = 1 << 20


class Target(StrEnum):
    """Who computes on the server."""

    CPU = "cpu"
    """OpenVINO in the python backend, on processors."""
    ONNX = "onnx"
    """The ONNX Runtime backend on a GPU, by TensorRT where it can."""
    TENSORRT = "tensorrt"
    """The TensorRT backend on a GPU, with a plan that is made on the site."""


PRECISIONS: Mapping[Target, tuple[Precision, ...]] = MappingProxyType(
    {
        Target.CPU: (Precision.F32, Precision.BF16),
        Target.ONNX: (Precision.F32, Precision.F16),
        Target.TENSORRT: (Precision.F32, Precision.F16, Precision.INT8),
    }
)


@dataclass(frozen=True, kw_only=True)
class RepositoryOptions:
    """What a site chooses for its server."""

    precision: Precision = Precision.F32
    """Arithmetic of the network; another than f32 only where the bundle's export judged it."""
    instances: int = 1
    """Copies of the network on each device."""
    threads: int = 0
    """Threads of OpenVINO in one instance; 0 leaves the number to it."""
    queue_delay_us: int = 0
    """How long a request waits for others to join it, in microseconds; each lone request pays it."""
    response_cache: bool = False
    """Answer repeated requests from memory; only where the backend checks what it loads (target cpu)."""
    accelerator: bool = True
    """Let ONNX Runtime hand the network to TensorRT."""
    engine_cache: str = ""
    """Folder on the server where ONNX Runtime keeps the engines that TensorRT made; empty: none."""

    def __post_init__(self) -> None:
        for name, least in (("instances", 1), ("threads", 0), ("queue_delay_us", 0)):
            if getattr(self, name) < least:
                raise SettingsError(f"{name} must be {least} or more, not {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What every version of a network under one name must have in common: the server has one for all."""

    name: str
    input: str
    """Name of the input."""
    shape: tuple[int, int, int]
    """Channels, rows, columns of one slice."""
    probabilities: str
    """Name of the output of class probabilities."""
    cam: str
    """Name of the output of Grad-CAM maps."""
    classes: tuple[str, ...]
    """The output's meaning, in its order."""
    grid: tuple[int, int]
    """Rows and columns of a map."""
    max_batch: int
    """Slices in one request, at most."""

    @classmethod
    def of(cls, bundle: Bundle) -> Signature:
        """Return the signature of one version."""
        spec, (rows, columns) = bundle.spec, bundle.golden.cam.shape[1:]
        return cls(
            name=bundle.name,
            input=bundle.config.input,
            shape=(spec.input.channels, *spec.input.size),
            probabilities=spec.outputs.probabilities,
            cam=spec.outputs.cam,
            classes=spec.outputs.classes,
            grid=(rows, columns),
            max_batch=bundle.config.max_batch_size,
        )

    @property
    def preferred(self) -> tuple[int, ...]:
        """Batch sizes at which the server stops collecting: the quarter, the half and the whole."""
        sizes = {self.max_batch // 4, self.max_batch // 2, self.max_batch}
        return tuple(sorted(size for size in sizes if size > 1))


def signature_of(bundles: Sequence[Bundle]) -> Signature:
    """Return what the versions of one network have in common.

    Raises
    ------
    BundleError
        Two versions differ in it.
    """
    first, *others = map(Signature.of, bundles)
    for bundle, other in zip(bundles[1:], others, strict=True):
        if other != first:
            raise BundleError(
                f"{first.name}: versions {bundles[0].version} and {bundle.version} differ in their input, "
                "outputs or largest batch; a server needs another name for such a network: export it again"
            )
    return first


def allow(bundle: Bundle, target: Target, precision: Precision) -> None:
    """Refuse a precision that the target does not have or that was not judged for the bundle.

    Half precision has three bits more than bf16, so a bundle whose decisions bf16 left unchanged may run in
    it; whether its smaller range suffices is found by `groundglass models accept` on the server.

    Raises
    ------
    SettingsError
    """
    if precision not in PRECISIONS[target]:
        known = ", ".join(PRECISIONS[target])
        raise SettingsError(f"target {target} has no precision {precision}; choose one of {known}")
    judged = Precision.BF16 if precision is Precision.F16 else precision
    if judged not in bundle.precisions or judged not in bundle.golden.tolerances:
        raise SettingsError(
            f"{bundle.name} version {bundle.version}: its export did not find the decisions unchanged at "
            f"{judged}, so it cannot be served at {precision}; choose f32"
        )


def config_text(bundles: Sequence[Bundle], target: Target, options: RepositoryOptions) -> str:
    """Return the server's configuration of one network.

    Parameters
    ----------
    bundles : sequence of Bundle
        Its versions, at least one, ascending.
    target : Target
    options : RepositoryOptions

    Raises
    ------
    BundleError, SettingsError
    """
    signature = signature_of(bundles)
    for bundle in bundles:
        allow(bundle, target, options.precision)
    if options.response_cache and target is not Target.CPU:
        raise SettingsError(
            f"response_cache: a golden replay would be answered from memory, whatever target {target} loaded "
            "since; only the backend of target cpu checks its file by itself. Leave the cache off"
        )
    common: dict[str, Field] = {
        "max_batch_size": signature.max_batch,
        "input": {
            "name": signature.input,
            "data_type": Symbol("TYPE_FP32"),
            "dims": signature.shape,
        },
        "output": [
            {
                "name": signature.probabilities,
                "data_type": Symbol("TYPE_FP32"),
                "dims": [len(signature.classes)],
                "label_filename": LABELS,
            },
            {"name": signature.cam, "data_type": Symbol("TYPE_FP32"), "dims": signature.grid},
        ],
        "version_policy": {"specific": {"versions": [bundle.version for bundle in bundles]}},
        # No queue policy: with one, a server (2.51) leaves a waiting request lying for half a second when
        # the network becomes free at that moment. What waits is bounded by the batches that each node sends.
        "dynamic_batching": {
            "preferred_batch_size": signature.preferred,
            "max_queue_delay_microseconds": options.queue_delay_us,
        },
        "instance_group": {
            "count": options.instances,
            "kind": Symbol("KIND_CPU" if target is Target.CPU else "KIND_GPU"),
        },
        "model_warmup": [_warmup(signature, size) for size in sorted({1, signature.max_batch})],
        "response_cache": {"enable": options.response_cache},
        "parameters": _entries(_parameters(bundles, target, options)),
    }
    text = protobuf_text(
        {"name": signature.name, **_engine(target), **common, **_optimization(bundles, target, options)}
    )
    return f"# Written by `groundglass models build`; change the options there, not this file.\n{text}"


def _engine(target: Target) -> Mapping[str, Field]:
    if target is Target.CPU:
        return {"backend": "python"}
    if target is Target.ONNX:
        return {
            "platform": "onnxruntime_onnx",
            "backend": "onnxruntime",
            "default_model_filename": ONNX_FILE,
        }
    return {"platform": "tensorrt_plan", "backend": "tensorrt", "default_model_filename": PLAN_FILE}


def _warmup(signature: Signature, size: int) -> Mapping[str, Field]:
    """Return a request of zeros that the server answers to itself before it calls itself ready."""
    tensor: Mapping[str, Field] = {
        "data_type": Symbol("TYPE_FP32"),
        "dims": signature.shape,
        "zero_data": True,
    }
    return {
        "name": f"{size} of zeros",
        "batch_size": size,
        "inputs": {"key": signature.input, "value": tensor},
    }


def _parameters(bundles: Sequence[Bundle], target: Target, options: RepositoryOptions) -> Mapping[str, str]:
    """Return what the node's handshake compares, and what the backend is told."""
    parameters = {TARGET: target.value, PRECISION: options.precision.value}
    for bundle in bundles:
        parameters |= version_parameters(bundle)
    if target is Target.CPU:
        parameters[THREADS] = str(options.threads)
    return parameters


def version_parameters(bundle: Bundle) -> dict[str, str]:
    """Return what a configuration says of one version; the handshake expects the same of the server's."""
    return {
        f"onnx_sha256_{bundle.version}": bundle.weights_sha256,
        f"spec_sha256_{bundle.version}": bundle.spec_sha256,
        f"status_{bundle.version}": bundle.status.value,
    }


def _entries(parameters: Mapping[str, str]) -> list[Field]:
    return [{"key": key, "value": {"string_value": value}} for key, value in sorted(parameters.items())]


def _optimization(
    bundles: Sequence[Bundle], target: Target, options: RepositoryOptions
) -> Mapping[str, Field]:
    """Return who computes for ONNX Runtime: TensorRT where it can, CUDA the rest, neither in TF32."""
    if target is not Target.ONNX:
        return {}
    cuda: Mapping[str, Field] = {"name": "cuda", "parameters": [_pair("use_tf32", "0")]}
    accelerators: list[Field] = [cuda]
    if options.accelerator:
        accelerators.insert(0, _tensorrt(bundles, options))
    elif options.precision is not Precision.F32:
        raise SettingsError(
            f"{options.precision}: only TensorRT computes in it; leave the accelerator on, or choose f32"
        )
    return {"optimization": {"execution_accelerators": {"gpu_execution_accelerator": accelerators}}}


def _tensorrt(bundles: Sequence[Bundle], options: RepositoryOptions) -> Mapping[str, Field]:
    signature = Signature.of(bundles[0])
    mode = "FP16" if options.precision is Precision.F16 else "FP32"
    least, usual, most = (shape_text(signature, size) for size in profile(signature))
    pairs = [
        _pair("precision_mode", mode),
        _pair("max_workspace_size_bytes", str(1024 * MEBIBYTE)),
        _pair("trt_profile_min_shapes", least),
        _pair("trt_profile_opt_shapes", usual),
        _pair("trt_profile_max_shapes", most),
    ]
    if options.engine_cache:
        # ONNX Runtime names a cached engine after the graph, not after its weights.
        weights = hashlib.sha256("".join(bundle.weights_sha256 for bundle in bundles).encode())
        pairs += [
            _pair("trt_engine_cache_enable", "1"),
            _pair("trt_engine_cache_path", options.engine_cache),
            _pair("trt_engine_cache_prefix", f"{signature.name}-{weights.hexdigest()[:16]}"),
        ]
    return {"name": "tensorrt", "parameters": pairs}


def _pair(key: str, value: str) -> Field:
    return {"key": key, "value": value}


def profile(signature: Signature) -> tuple[int, int, int]:
    """Return the batch sizes of TensorRT's optimisation profile: least, usual, most."""
    return 1, max(1, signature.max_batch // 2), signature.max_batch


def shape_text(signature: Signature, size: int) -> str:
    """Return the input's shape as TensorRT's programs write it."""
    return f"{signature.input}:{'x'.join(map(str, (size, *signature.shape)))}"
