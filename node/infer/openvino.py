"""The embedded engine: OpenVINO in this process, on the CPU."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import openvino
from openvino import properties
from openvino.properties import hint

from node.domain.errors import BundleError, EngineUnavailable, ModelError, ScoresInvalid, SettingsError
from node.domain.model import ModelIdentity, Precision
from node.domain.ports import Pending
from node.infer.answers import Scores, verified
from node.infer.bundle import Bundle
from node.infer.memory import return_free_memory

log = logging.getLogger(__name__)

ENGINE = "openvino"
DEVICE = "CPU"
MOST_STREAMS = 4
"""Slices that are computed at once unless told otherwise, the threads shared out among them. On two cores
two streams of one thread each answered 1.1 times (ResNet50V2-FPN, 512 x 512) to 1.25 times (EfficientNet-
Lite0, 224 x 224) the slices of one stream of two threads (``python -m benchmarks.engine_settings``). Every
stream costs memory of its own."""
TOGETHER = 1
"""Slices that a stream computes together. With more of them, and the network compiled for any number, the
layers of EfficientNet-Lite0 took 130 MB on two streams and not 15, at the same processor time a slice; those
of Xception left the cache and took 8 % more time. Nor does a slice's answer know of its neighbours."""
WAITING = 1
"""Batches that wait at the engine, so that it never stands still."""
_TYPES = {
    Precision.F32: openvino.Type.f32,
    Precision.BF16: openvino.Type.bf16,
    Precision.INT8: openvino.Type.f32,  # of what the quantised network leaves in floating point
}
_Requests: TypeAlias = list[openvino.InferRequest]
_CAPABILITIES = {Precision.F32: "FP32", Precision.BF16: "BF16", Precision.INT8: "INT8"}


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
        Where compiled models are kept between starts, each under its engine's version and its weights'
        digest: other weights are never taken for them.
    streams : int
        Slices that are computed at once; 0 takes one for each thread, four at most.

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
        self,
        bundle: Bundle,
        *,
        precision: Precision,
        threads: int,
        cache_dir: Path | None = None,
        streams: int = 0,
    ) -> None:
        core = openvino.Core()
        _allow(core, bundle, precision)
        model = _read(core, bundle, precision)
        streams = streams or min(MOST_STREAMS, threads or os.cpu_count() or 1)
        options: dict[str, Any] = {
            hint.inference_precision(): _TYPES[precision],
            hint.performance_mode(): hint.PerformanceMode.LATENCY,
            properties.num_streams(): streams,
            # Pinned threads of several engines, or of several nodes on one machine, would share their cores
            # with one another and with the decoders while others are idle.
            hint.enable_cpu_pinning(): False,
        }
        if threads:
            options[properties.inference_num_threads()] = threads
        if cache_dir is not None:
            options[properties.cache_dir()] = str(_kept_in(cache_dir, bundle, precision))
        try:
            compiled = core.compile_model(model, DEVICE, options)
        except RuntimeError as error:
            raise EngineUnavailable(f"OpenVINO cannot compile {bundle.name}: {error}") from error
        del model
        return_free_memory()  # what the network was read and compiled in
        self._lock = threading.Lock()
        self._compiled: openvino.CompiledModel | None = compiled
        """None once it is closed."""
        self._in_flight = streams + WAITING
        # The requests of each batch: one a slice, made when a batch first needs them.
        self._turns: deque[tuple[_Requests, _Running | None]] = deque(
            ([], None) for _ in range(self._in_flight)
        )
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

    @property
    def in_flight(self) -> int:
        """How many batches may be under way; a further ``submit`` waits for the oldest one."""
        return self._in_flight

    def submit(self, batch: Scores) -> Pending[Scores]:
        """Hand a batch to the engine; waits while ``in_flight`` others are under way.

        Parameters
        ----------
        batch : float32 array, shape (slices, channels, rows, columns)
            Read in place: not changed by the caller before the answer is there.

        Raises
        ------
        EngineUnavailable
            The engine is closed, or does not take the batch.
        """
        with self._lock:
            if self._compiled is None:
                raise EngineUnavailable("the engine is closed")
            requests, running = self._turns.popleft()
            if running is not None:
                running.settle()
            started = None
            try:
                while len(requests) < len(batch):
                    requests.append(self._compiled.create_infer_request())
                started = _Running(self._answer, requests[: len(batch)], batch)
            except RuntimeError as error:
                raise EngineUnavailable(f"OpenVINO makes no room for the batch: {error}") from error
            finally:
                self._turns.append((requests, started))
            return started

    def score(self, batch: Scores) -> tuple[Scores, Scores]:
        """Score a batch and wait for its answer.

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
        return self.submit(batch).result()

    def rest(self) -> None:
        """Wait for the batches under way and let go of what the layers of a batch lie in.

        The engine stays ready, and answers the same: the next batch takes that memory again, which costs it
        some hundredths of a second.
        """
        with self._lock:
            if self._compiled is None:
                return
            self._settle()
            try:
                self._compiled.release_memory()
            except RuntimeError as error:
                log.warning("model %s keeps its memory while it rests: %s", self._identity.name, error)
        return_free_memory()

    def close(self) -> None:
        """Refuse further batches, wait for those under way and let go of the engine's memory.

        What was submitted before can still be asked for its answer.
        """
        with self._lock:
            self._compiled = None
            self._settle()
            self._turns.clear()

    def _settle(self) -> None:
        for _, running in self._turns:
            if running is not None:
                running.settle()

    def _answer(self, requests: _Requests) -> tuple[Scores, Scores]:
        """Return copies of the requests' outputs: their own memory is for the next batch."""
        probabilities, cam = (
            np.concatenate([request.get_tensor(name).data for request in requests], dtype=np.float32)
            for name in self._outputs
        )
        return verified(self._identity.name, self._classes, len(requests), (probabilities, cam))


class _Running:
    """A batch in requests of the engine. Implements ``Pending``; may be asked from several threads.

    It is settled by whoever comes first: who wants its answer, or who wants its requests for another batch.
    An answer that nobody asks for therefore keeps no request.

    Parameters
    ----------
    answer : callable
        Takes the finished requests; returns what they answered.
    requests : sequence of openvino.InferRequest
        One for each slice.
    batch : float32 array, shape (slices, channels, rows, columns)
    """

    def __init__(
        self, answer: Callable[[_Requests], tuple[Scores, Scores]], requests: _Requests, batch: Scores
    ) -> None:
        self._answer = answer
        self._outcome: tuple[Scores, Scores] | ModelError | None = None
        self._lock = threading.Lock()
        self._batch: Scores | None = np.require(batch, np.float32, ["C", "W"])
        self._requests: _Requests = []
        try:
            for index, request in enumerate(requests):
                one = self._batch[index : index + TOGETHER]
                request.set_input_tensor(openvino.Tensor(one, shared_memory=True))
                request.start_async()
                self._requests.append(request)
        except RuntimeError as error:
            for request in self._requests:  # they read the batch
                _waited(request)
            raise EngineUnavailable(f"OpenVINO does not take the batch: {error}") from error

    def result(self) -> tuple[Scores, Scores]:
        """Wait for the answer and return it, each time the same.

        Raises
        ------
        EngineUnavailable
            The engine failed.
        ScoresInvalid
            The answer is not a set of scores.
        """
        outcome = self.settle()
        if isinstance(outcome, ModelError):
            raise outcome
        return outcome

    def settle(self) -> tuple[Scores, Scores] | ModelError:
        """Wait for the engine, keep the answer or what went wrong, and let go of request and batch."""
        with self._lock:
            if self._outcome is None:
                self._outcome = self._finished(self._requests)
                self._requests, self._batch = [], None
            return self._outcome

    def _finished(self, requests: _Requests) -> tuple[Scores, Scores] | ModelError:
        problems = [problem for request in requests if (problem := _waited(request))]
        if problems:
            return EngineUnavailable(f"OpenVINO failed: {problems[0]}")
        try:
            return self._answer(requests)
        except ScoresInvalid as error:
            return error


def _waited(request: openvino.InferRequest) -> str:
    """Wait for a request; return why it failed, empty when it did not."""
    try:
        request.wait()
    except RuntimeError as error:
        return str(error) or "for no reason that it gave"
    return ""


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


def _kept_in(cache_dir: Path, bundle: Bundle, precision: Precision) -> Path:
    """Return the folder of what is compiled from these very weights by this very engine."""
    digest = bundle.int8_sha256 if precision is Precision.INT8 else bundle.weights_sha256
    return cache_dir / str(openvino.get_version()).replace("/", "-") / digest


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
    try:
        model.reshape([TOGETHER, bundle.spec.input.channels, *bundle.spec.input.size])
    except RuntimeError as error:
        raise BundleError(f"{file} cannot be run for one slice: {error}") from error
    names = {name for output in model.outputs for name in output.names}
    for name in (bundle.spec.outputs.probabilities, bundle.spec.outputs.cam):
        if name not in names:
            raise BundleError(f"{file}: the network has no output {name!r}")
    return model
