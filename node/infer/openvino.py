"""The embedded engine: OpenVINO in this process, on the CPU."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import properties
from openvino.properties import hint

from node.domain.errors import BundleError, EngineUnavailable, ScoresInvalid, SettingsError
from node.domain.model import ModelIdentity, Precision
from node.infer.bundle import Bundle

log = logging.getLogger(__name__)

ENGINE = "openvino"
DEVICE = "CPU"
ROUNDING = 1e-3
"""How far an answer may leave its range by rounding; it is clipped."""
_TYPES = {
    Precision.F32: openvino.Type.f32,
    Precision.BF16: openvino.Type.bf16,
    Precision.INT8: openvino.Type.f32,  # of what the quantised network leaves in floating point
}
_CAPABILITIES = {Precision.F32: "FP32", Precision.BF16: "BF16", Precision.INT8: "INT8"}

Scores = NDArray[np.float32]


class EmbeddedScorer:
    """Scores slices with OpenVINO. Implements ``Scorer``; may be called from several threads.

    Parameters
    ----------
    bundle : Bundle
    precision : Precision
        f32, or bf16 or int8 where the bundle's export found the decisions unchanged by it.
    threads : int
        Threads of the engine; 0 leaves the number to it.
    cache_dir : Path or None
        Where compiled models are kept between starts.

    Raises
    ------
    SettingsError
        The precision is not one that this bundle, engine and processor may use.
    BundleError
        The network cannot be read, or has other inputs or outputs than its specification says.
    EngineUnavailable
        The engine does not start.
    """

    def __init__(
        self, bundle: Bundle, *, precision: Precision, threads: int, cache_dir: Path | None = None
    ) -> None:
        core = openvino.Core()
        _allow(core, bundle, precision)
        model = _read(core, bundle, precision)
        options: dict[str, Any] = {
            hint.inference_precision(): _TYPES[precision],
            hint.performance_mode(): hint.PerformanceMode.LATENCY,
            properties.num_streams(): 1,
        }
        if threads:
            options[properties.inference_num_threads()] = threads
        if cache_dir is not None:
            options[properties.cache_dir()] = str(cache_dir)
        try:
            compiled = core.compile_model(model, DEVICE, options)
            self._request = compiled.create_infer_request()
        except RuntimeError as error:
            raise EngineUnavailable(f"OpenVINO cannot compile {bundle.name}: {error}") from error
        self._lock = threading.Lock()
        self._closed = False
        self._classes = len(bundle.spec.outputs.classes)
        self._outputs = (bundle.spec.outputs.probabilities, bundle.spec.outputs.cam)
        self._identity = bundle.identity(
            engine=ENGINE, engine_version=openvino.get_version(), precision=precision, device=DEVICE
        )
        log.info("model %s version %d compiled at %s", bundle.name, bundle.version, precision.value)

    @property
    def identity(self) -> ModelIdentity:
        """Which model, weights, engine and precision answer."""
        return self._identity

    def score(self, batch: NDArray[np.float32]) -> tuple[Scores, Scores]:
        """Score a batch.

        Parameters
        ----------
        batch : float32 array, shape (slices, channels, rows, columns)

        Returns
        -------
        probabilities : float32 array, shape (slices, classes)
        cam : float32 array, shape (slices, grid rows, grid columns)

        Raises
        ------
        EngineUnavailable
            The engine is closed or fails.
        ScoresInvalid
            The answer is not a set of scores.
        """
        with self._lock:
            if self._closed:
                raise EngineUnavailable("the engine is closed")
            try:
                self._request.infer({0: np.ascontiguousarray(batch, dtype=np.float32)}, share_inputs=True)
                probabilities, cam = (
                    np.array(self._request.get_tensor(name).data, dtype=np.float32) for name in self._outputs
                )
            except RuntimeError as error:
                raise EngineUnavailable(f"OpenVINO failed: {error}") from error
        self._verify(len(batch), probabilities, cam)
        return probabilities.clip(0, 1), cam.clip(0, None)

    def close(self) -> None:
        """Refuse further batches; the engine's memory goes with this object."""
        with self._lock:
            self._closed = True

    def _verify(self, count: int, probabilities: Scores, cam: Scores) -> None:
        if probabilities.shape != (count, self._classes) or cam.ndim != 3 or len(cam) != count:
            raise ScoresInvalid(
                f"{self._identity.name} answered shapes {probabilities.shape} and {cam.shape} "
                f"to {count} slices"
            )
        if not (np.isfinite(probabilities).all() and np.isfinite(cam).all()):
            raise ScoresInvalid(f"{self._identity.name} answered values that are not finite")
        excess = max(-probabilities.min(initial=0), probabilities.max(initial=0) - 1, -cam.min(initial=0))
        if excess > ROUNDING:
            raise ScoresInvalid(f"{self._identity.name} answered values outside their range")


def _allow(core: openvino.Core, bundle: Bundle, precision: Precision) -> None:
    """Refuse a precision that was not judged for this bundle or that this processor only emulates."""
    if precision not in bundle.precisions:
        recorded = ", ".join(sorted(bundle.precisions))
        raise SettingsError(
            f"infer.precision: {precision.value} was not judged for {bundle.name} at export; "
            f"choose {recorded}"
        )
    if precision not in bundle.golden.tolerances:
        raise SettingsError(
            f"infer.precision: golden.npz of {bundle.name} has no tolerance for {precision.value}; choose f32"
        )
    if _CAPABILITIES[precision] not in core.get_property(DEVICE, properties.device.capabilities()):
        raise SettingsError(f"infer.precision: this processor has no {precision.value}; choose f32")


def _read(core: openvino.Core, bundle: Bundle, precision: Precision) -> openvino.Model:
    """Read the network and hold it against the specification."""
    file = bundle.int8 if precision is Precision.INT8 and bundle.int8 is not None else bundle.onnx
    try:
        model = core.read_model(file)
    except RuntimeError as error:
        raise BundleError(f"{file} cannot be read: {error}") from error
    expected = openvino.PartialShape([-1, bundle.spec.input.channels, *bundle.spec.input.size])
    if len(model.inputs) != 1 or model.inputs[0].partial_shape != expected:
        found = [str(item.partial_shape) for item in model.inputs]
        raise BundleError(f"{file}: the network's inputs are {found}, the specification says {expected}")
    names = {name for output in model.outputs for name in output.names}
    for name in (bundle.spec.outputs.probabilities, bundle.spec.outputs.cam):
        if name not in names:
            raise BundleError(f"{file}: the network has no output {name!r}")
    return model
