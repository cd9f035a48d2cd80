"""A verified way to one load of one network on a server."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient import grpc as triton

from node.domain.errors import EngineUnavailable, ModelError, ScoresInvalid, SettingsError
from node.domain.model import ModelIdentity
from node.infer.answers import Scores, verified
from node.infer.bundle import Bundle
from node.infer.handshake import FLOAT, Served, shake_hands
from node.infer.process import pause
from node.infer.shared_memory import Region, Regions, Retired, aligned, remove_abandoned
from node.infer.triton_connection import CallFailed, Code, Connection
from node.infer.triton_options import TritonOptions

COUNT_TRIES = 10
COUNT_PAUSE = 0.001
"""Seconds, doubled from try to try: the server counts an answer shortly after it sent it."""
LATE_SECONDS = 5.0
"""How long after its deadline a call is waited for; gRPC itself ends it at the deadline."""


ITEM = np.dtype(np.float32).itemsize


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an array lies in a region."""

    shape: tuple[int, ...]
    offset: int
    """Bytes from the region's start."""

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * ITEM

    @property
    def end(self) -> int:
        """First byte behind it."""
        return self.offset + self.size


class Link:
    """One connection whose server and network passed the handshake. Repeats nothing.

    Implements ``Scorer``, so that the golden answer can be replayed on it before anything else.

    Parameters
    ----------
    bundle : Bundle
    options : TritonOptions
    retired : Retired, optional
        Names of shared memory that former links could not unregister.

    Raises
    ------
    EngineUnavailable
        Also where a certificate, key or token can no longer be read.
    ModelError
        As ``shake_hands``.
    """

    def __init__(self, bundle: Bundle, options: TritonOptions, retired: Retired | None = None) -> None:
        self._bundle = bundle
        self._options = options
        try:
            self._connection = Connection(options)
        except SettingsError as error:
            raise EngineUnavailable(str(error)) from error
        self._lock = threading.Lock()
        self._answered = self._seen = 0
        try:
            self.served = self.shake_hands()
            """What the handshake found."""
            self._before = self._connection.successes(bundle.name, bundle.version)
        except ModelError:
            self._connection.close()
            raise
        self._regions = Regions(self._connection, retired or Retired()) if options.shared_memory else None
        if options.shared_memory:
            remove_abandoned()

    @property
    def identity(self) -> ModelIdentity:
        """Who answers."""
        return self.served.identity

    @property
    def in_flight(self) -> int:
        """Batches at once."""
        return self._options.in_flight

    @property
    def max_batch(self) -> int:
        """Slices in one request, at most."""
        return self.served.max_batch

    def shake_hands(self) -> Served:
        """Hold the server's network against the bundle.

        Raises
        ------
        ModelError
            As the function of this name.
        """
        return shake_hands(
            self._connection,
            self._bundle,
            allow_old_server=self._options.allow_old_server,
            shared_memory=self._options.shared_memory,
        )

    def submit(self, batch: Scores) -> Call:
        """Send a batch of at most ``max_batch`` slices and go on.

        Raises
        ------
        EngineUnavailable
        """
        return self.send(batch, seconds=self._options.deadline_seconds, done=_nothing)

    def score(self, batch: Scores) -> tuple[Scores, Scores]:
        """Score a batch of any size, one request after the other.

        Raises
        ------
        EngineUnavailable, ScoresInvalid
        """
        parts = [self.submit(part).result() for part in split(batch, self.max_batch)]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def send(self, batch: Scores, *, seconds: float, done: Callable[[], None]) -> Call:
        """Send a batch.

        Parameters
        ----------
        batch : float32 array, shape (slices, channels, rows, columns)
        seconds : float
            Deadline of this call.
        done : callable
            Called once when the call ended, however it did, unless this method raises.

        Raises
        ------
        EngineUnavailable
        """
        batch = np.ascontiguousarray(batch, np.float32)
        request = triton.InferInput(self.served.input, list(batch.shape), FLOAT)
        outputs = [triton.InferRequestedOutput(name) for name in self._names]
        region = None
        if self._regions is None:
            request.set_data_from_numpy(batch)
        else:
            places = self._places(len(batch))
            region = self._regions.take(places[-1].end)
            region.write(batch)
            request.set_shared_memory(region.name, batch.nbytes)
            for output, place in zip(outputs, places, strict=True):
                output.set_shared_memory(region.name, place.size, place.offset)
        call = Call(self, len(batch), region, seconds=seconds, done=done)
        model = self._bundle.name, self._bundle.version
        try:
            self._connection.infer(model, [request], outputs, seconds=seconds, finished=call.finished)
        except CallFailed:
            self.ended(region, answered=False)
            raise
        return call

    def vouch(self) -> bool:
        """Whether the load of the network whose golden answer was replayed is the one that answers.

        A load counts its answers, to whomever, from 0. One that counts fewer than it gave here, or than at
        the last look, is another one: the server was started again, or the network was loaded again, perhaps
        with other weights under the same name.

        Raises
        ------
        CallFailed
            The server does not say.
        """
        with self._lock:
            expected = max(self._before + self._answered, self._seen)
        for number in range(COUNT_TRIES):
            found = self._connection.successes(self._bundle.name, self._bundle.version)
            if found >= expected:
                with self._lock:
                    self._seen = max(self._seen, found)
                return True
            pause(COUNT_PAUSE * 2**number)
        return False

    def rest(self) -> None:
        """Keep everything: the memory is the server's."""

    def close(self) -> None:
        """End the connection; calls under way end as cancelled."""
        if self._regions is not None:
            self._regions.close()
        self._connection.close()

    def answer(self, result: Any, count: int, region: Region | None) -> tuple[Scores, Scores]:
        """Return what a result holds, verified.

        Raises
        ------
        ScoresInvalid
        """
        found = []
        for name, place in zip(self._names, self._places(count), strict=True):
            output = result.get_output(name)
            if output is None or output.datatype != FLOAT or tuple(output.shape) != place.shape:
                raise ScoresInvalid(
                    f"{self._bundle.name} answered no {name} of shape {place.shape} and {FLOAT}"
                )
            found.append(result.as_numpy(name) if region is None else region.read(place.shape, place.offset))
        classes = len(self._bundle.spec.outputs.classes)
        return verified(self._bundle.name, classes, count, (found[0], found[1]))

    def ended(self, region: Region | None, *, answered: bool) -> None:
        """Note the end of a call."""
        if answered:
            with self._lock:
                self._answered += 1
        if region is not None and self._regions is not None:
            (self._regions.give_back if answered else self._regions.retire)(region)

    @property
    def _names(self) -> tuple[str, str]:
        return self._bundle.spec.outputs.probabilities, self._bundle.spec.outputs.cam

    def _places(self, count: int) -> tuple[Place, Place]:
        """Return where the answer to so many slices lies in a region, behind the batch."""
        spec = self._bundle.spec
        batch = count * spec.input.channels * spec.input.size[0] * spec.input.size[1] * ITEM
        grid = self._bundle.golden.cam.shape[1:]
        first = Place(shape=(count, len(spec.outputs.classes)), offset=aligned(batch))
        return first, Place(shape=(count, *grid), offset=aligned(first.end))


class Call:
    """One request under way. Implements ``Pending``; may be asked from several threads.

    Parameters
    ----------
    link : Link
    count : int
        Slices in the batch.
    region : Region or None
        Where batch and answer lie; None where they travel in the messages.
    seconds : float
        Its deadline.
    done : callable
        Called once when it ended.
    """

    def __init__(
        self, link: Link, count: int, region: Region | None, *, seconds: float, done: Callable[[], None]
    ) -> None:
        self._link = link
        self._count = count
        self._region = region
        self._seconds = seconds
        self._when_done = done
        self._ended = threading.Event()
        self._outcome: tuple[Scores, Scores] | ModelError = EngineUnavailable("the answer cannot be read")

    def result(self) -> tuple[Scores, Scores]:
        """Wait for the answer and return it, each time the same.

        Raises
        ------
        EngineUnavailable
            As ``CallFailed`` where the server says why.
        ScoresInvalid
            The answer is not a set of scores.
        """
        if not self._ended.wait(self._seconds + LATE_SECONDS):
            raise CallFailed(Code.DEADLINE_EXCEEDED, "the inference server did not answer in time")
        if isinstance(self._outcome, ModelError):
            raise self._outcome
        return self._outcome

    def finished(self, result: Any, error: CallFailed | None) -> None:
        """Keep the answer; the channel's thread calls this. Whatever goes wrong, nobody waits for ever."""
        try:
            self._outcome = error or self._link.answer(result, self._count, self._region)
        except ScoresInvalid as refused:
            self._outcome = refused
        finally:
            self._link.ended(self._region, answered=error is None)
            self._region = None
            self._ended.set()
            self._when_done()


def split(batch: Scores, most: int) -> list[Scores]:
    """Return a batch in parts of at most ``most`` slices, as views."""
    return [batch[start : start + most] for start in range(0, len(batch), most)] or [batch]


def _nothing() -> None:
    """Nobody waits for the end of this call."""
