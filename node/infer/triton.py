"""The inference server's client: batches ahead, deadlines, repetition where it is safe, and a breaker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from node.domain.breaker import BreakerState
from node.domain.errors import CanaryFailed, CircuitOpen, EngineUnavailable, ModelError, ScoresInvalid
from node.domain.model import ModelIdentity
from node.domain.ports import Clock, Pending
from node.infer.answers import Scores
from node.infer.breaker import Breaker
from node.infer.bundle import Bundle
from node.infer.golden import replay
from node.infer.shared_memory import Retired
from node.infer.triton_batch import Batch, Part
from node.infer.triton_connection import CallFailed, Connection
from node.infer.triton_link import Call, Link, split
from node.infer.triton_options import TritonOptions

log = logging.getLogger(__name__)

Found = TypeVar("Found")

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
"""Seconds between two attempts; the pause doubles."""


class TritonScorer:
    """Scores slices on an inference server. Implements ``Scorer``; may be called from several threads.

    It connects when it is first asked, so that a node starts while its server does not run. Before the first
    batch on a new connection, and whenever the server turns out to run another load of the network, it
    shakes hands and replays the golden answer; an answer counts only when that load gave it. Until then, and
    while the server fails, it raises: nothing is screened, and nothing is half screened.

    Parameters
    ----------
    bundle : Bundle
        What the server shall serve.
    options : TritonOptions
    clock : Clock

    Raises
    ------
    SettingsError
        A certificate, key or token cannot be read.
    """

    def __init__(self, bundle: Bundle, options: TritonOptions, *, clock: Clock) -> None:
        Connection(options).close()  # raises what only an operator can put right
        self._bundle = bundle
        self._options = options
        self._clock = clock
        self._breaker = Breaker(
            clock=clock, failures=options.breaker_failures, seconds=options.breaker_seconds
        )
        self._slots = threading.BoundedSemaphore(options.in_flight)
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._opening: Link | None = None
        self._last: Link | None = None
        self._retired = Retired()
        self._closing = threading.Event()

    @property
    def identity(self) -> ModelIdentity:
        """Which model, weights, engine and precision answer; asked of the server where it is not known yet.

        Raises
        ------
        ModelError
            As ``verify``.
        """
        return self._known().identity

    @property
    def in_flight(self) -> int:
        """How many batches may be under way; a further ``submit`` waits."""
        return self._options.in_flight

    @property
    def breaker(self) -> BreakerState:
        """Whether the server is asked at all."""
        return self._breaker.state

    def verify(self) -> None:
        """Shake hands again, now; for the canary, which replays the golden answer afterwards.

        Raises
        ------
        EngineUnavailable, ModelNotServed, ServerTooOld, HandshakeFailed, CanaryFailed
        """
        link = self._counted(self._linked)
        try:
            found = self._counted(link.shake_hands)
        except ModelError:
            self._drop(link)
            raise
        if found != link.served or not self.trusts(link):
            self._drop(link)
            self._counted(self._linked)

    def submit(self, batch: Scores) -> Pending[Scores]:
        """Send a batch and go on; waits while ``in_flight`` others are under way.

        Parameters
        ----------
        batch : float32 array, shape (slices, channels, rows, columns)
            Not changed by the caller before the answer is there: it may have to be sent again.

        Raises
        ------
        EngineUnavailable
            The server does not answer; as ``CircuitOpen`` while it is left alone.
        ModelNotServed, ServerTooOld, HandshakeFailed, CanaryFailed
            What answers there is not what shall answer.
        """
        until = self._clock.monotonic() + self._options.deadline_seconds
        parts = split(batch, self._known().max_batch)
        return self._counted(lambda: Batch([Part(self, part, until) for part in parts]))

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
        ModelError
            As ``submit`` and ``Pending.result``.
        """
        return self.submit(batch).result()

    def rest(self) -> None:
        """Keep everything: the memory is the server's."""

    def close(self) -> None:
        """Refuse further batches and end the connection; what is under way ends with an error."""
        self._closing.set()
        for link in (self._opening, self._link):
            if link is not None:
                link.close()

    def send(self, batch: Scores, until: float) -> tuple[Link, Call]:
        """Send a part of a batch once a place is free.

        Parameters
        ----------
        batch : float32 array, shape (slices, channels, rows, columns)
        until : float
            Monotonic time at which it must be answered.

        Raises
        ------
        ModelError
            As ``submit``; as ``CallFailed`` where it may be tried again.
        """
        if not self._slots.acquire(timeout=self._left(until)):
            raise EngineUnavailable("the inference server did not answer other batches in time")
        sent = False
        try:
            link = self._linked()
            call = link.send(batch, seconds=self._left(until), done=self._slots.release)
            sent = True
            return link, call
        finally:
            if not sent:
                self._slots.release()

    def trusts(self, link: Link) -> bool:
        """Whether a link still leads to the load whose golden answer was replayed; else it is dropped."""
        if link is not self._link:
            return False
        try:
            if link.vouch():
                return True
        except CallFailed as failure:
            log.warning("the inference server does not say what it runs: %s", failure)
        self._drop(link)
        return False

    def passed(self) -> None:
        """Note that a batch was answered."""
        self._breaker.passed()

    def failed(self, error: ModelError) -> None:
        """Count a failure; what trying again does not cure opens the breaker at once."""
        if isinstance(error, CircuitOpen | ScoresInvalid) or self._closing.is_set():
            return
        self._breaker.failed(str(error), grave=not isinstance(error, EngineUnavailable))
        if self._breaker.state is not BreakerState.CLOSED:
            self._forget()

    def pause(self, attempt: int, until: float) -> bool:
        """Wait before the next attempt; whether there shall be one."""
        seconds = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)
        if attempt + 1 >= self._options.attempts or self._clock.monotonic() + seconds >= until:
            return False
        return not self._closing.wait(seconds)

    def _known(self) -> Link:
        """Return the link, or the last one: what it found out holds until another one finds out anew."""
        return self._last or self._counted(self._linked)

    def _counted(self, action: Callable[[], Found]) -> Found:
        try:
            return action()
        except ModelError as error:
            self.failed(error)
            raise

    def _linked(self) -> Link:
        """Return the verified link, making it where there is none."""
        if self._closing.is_set():
            raise EngineUnavailable("the engine is closed")
        link = self._link
        if link is not None and self._breaker.state is BreakerState.CLOSED:
            return link
        is_probe = self._breaker.admit()
        if is_probe:
            self._forget()
        reason = "the probe was broken off"
        try:
            link = self._connect()
        except ModelError as error:
            reason = str(error)
            raise
        finally:
            # Whatever became of the probe, it must be told: nobody else is let through until then.
            if is_probe and self._link is None:
                self._breaker.failed(reason)
            elif is_probe:
                self._breaker.passed()
        return link

    def _connect(self) -> Link:
        """Make the link; other threads wait for it. A patient's batch is never the first on it."""
        with self._lock:
            if self._link is not None:
                return self._link
            link = self._opening = Link(self._bundle, self._options, self._retired)
            try:
                self._replay(link)
                if self._closing.is_set():
                    raise EngineUnavailable("the engine is closed")
                self._link = self._last = link
            finally:
                self._opening = None
                if self._link is None:
                    link.close()
        found = link.identity
        log.info("model %s version %d served by %s", found.name, found.version, found.engine_version)
        return link

    def _replay(self, link: Link) -> None:
        """Replay the golden answer; one that is no answer at all is the server's fault, not a study's."""
        try:
            replay(self._bundle, link)
        except ScoresInvalid as error:
            raise CanaryFailed(f"golden replay: {error}") from error

    def _forget(self) -> None:
        """Trust the present link no more: a server that was left alone is proven anew."""
        if (link := self._link) is not None:
            self._drop(link)

    def _drop(self, link: Link) -> None:
        """Trust a link no more."""
        with self._lock:
            if self._link is link:
                self._link = None
        link.close()

    def _left(self, until: float) -> float:
        left = until - self._clock.monotonic()
        if left <= 0:
            seconds = self._options.deadline_seconds
            raise EngineUnavailable(f"the inference server did not answer within {seconds:g} s")
        return left
