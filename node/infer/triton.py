"""The inference server's client: batches ahead, deadlines, repetition where it is safe, and a breaker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from node.domain.errors import CircuitOpen, EngineUnavailable, ModelError, ScoresInvalid
from node.domain.model import ModelIdentity
from node.domain.ports import Clock, Pending
from node.infer.answers import Scores
from node.infer.breaker import Breaker, BreakerState
from node.infer.bundle import Bundle
from node.infer.golden import replay
from node.infer.shared_memory import Retired
from node.infer.triton_connection import CallFailed, Code, Connection
from node.infer.triton_link import Call, Link, split
from node.infer.triton_options import TritonOptions

log = logging.getLogger(__name__)

Found = TypeVar("Found")

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
"""Seconds between two attempts; the pause doubles."""


REPEATED = frozenset({Code.UNAVAILABLE, Code.CANCELLED, Code.NOT_FOUND})
"""The connection was lost, the server's queue was full, or another batch found that the link ended: inference
changes nothing on the server, so that it is safe to send the batch again. Not found: the handshake on the new
connection says what is missing."""


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
        return self._counted(lambda: _Batch([_Part(self, part, until) for part in parts]))

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
        if (link := self._link) is not None:
            return link
        is_probe = self._breaker.admit()
        try:
            link = self._connect()
        except ModelError as error:
            if is_probe:
                self.failed(error)
            raise
        if is_probe:
            self.passed()
        return link

    def _connect(self) -> Link:
        """Make the link; other threads wait for it. A patient's batch is never the first on it."""
        with self._lock:
            if self._link is not None:
                return self._link
            link = self._opening = Link(self._bundle, self._options, self._retired)
            try:
                replay(self._bundle, link)
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


class _Batch:
    """A batch in one or several requests. Implements ``Pending``."""

    def __init__(self, parts: list[_Part]) -> None:
        self._parts = parts

    def result(self) -> tuple[Scores, Scores]:
        """Wait for the answer and return it, each time the same.

        Raises
        ------
        EngineUnavailable
            The server did not answer in time, or failed as often as it may.
        ModelNotServed, ServerTooOld, HandshakeFailed, CanaryFailed
            What answers there now is not what shall answer.
        ScoresInvalid
            The answer is not a set of scores, or the server refused the batch.
        """
        answers = [part.result() for part in self._parts]
        if len(answers) == 1:
            return answers[0]
        return np.concatenate([item[0] for item in answers]), np.concatenate([item[1] for item in answers])


class _Part:
    """One request's share of a batch, sent again where that is safe.

    Parameters
    ----------
    scorer : TritonScorer
    batch : float32 array, shape (slices, channels, rows, columns)
    until : float
        Monotonic time at which it must be answered, however often it is sent.
    """

    def __init__(self, scorer: TritonScorer, batch: Scores, until: float) -> None:
        self._scorer = scorer
        self._batch: Scores | None = batch
        self._until = until
        self._lock = threading.Lock()
        self._outcome: tuple[Scores, Scores] | ModelError | None = None
        self._sent: tuple[Link, Call] | None = None
        self._unsent: CallFailed | None = None
        self._send(batch)

    def result(self) -> tuple[Scores, Scores]:
        """Wait for the answer; the first asker does the waiting and the sending again."""
        with self._lock:
            if self._outcome is None and self._batch is not None:
                self._outcome = self._settled(self._batch)
                self._batch = self._sent = None
        if isinstance(self._outcome, ModelError):
            raise self._outcome
        assert self._outcome is not None  # noqa: S101 -- settled above
        return self._outcome

    def _settled(self, batch: Scores) -> tuple[Scores, Scores] | ModelError:
        attempt = 0
        while True:
            try:
                answer = self._answer(len(batch))
            except ModelError as error:
                repeats = isinstance(error, CallFailed) and error.code in REPEATED
                if not repeats or not self._scorer.pause(attempt, self._until):
                    self._scorer.failed(error)
                    return error
            else:
                self._scorer.passed()
                return answer
            attempt += 1
            try:
                self._send(batch)
            except ModelError as error:
                self._scorer.failed(error)
                return error

    def _send(self, batch: Scores) -> None:
        """Send the batch; where it cannot be sent just now, leave that to the next attempt."""
        self._sent = self._unsent = None
        try:
            self._sent = self._scorer.send(batch, self._until)
        except CallFailed as failure:
            if failure.code not in REPEATED:
                raise
            self._unsent = failure

    def _answer(self, count: int) -> tuple[Scores, Scores]:
        """Return the answer to what was sent last, where the load that gave it is the proven one."""
        if self._sent is None:
            raise self._unsent or CallFailed(Code.CANCELLED, "the batch was not sent")
        link, call = self._sent
        try:
            answer = call.result()
        except CallFailed as failure:
            trusted = self._scorer.trusts(link)
            if failure.code is not Code.INVALID_ARGUMENT:
                raise
            if trusted:
                raise ScoresInvalid(f"a batch of {count} slices was refused: {failure}") from failure
            raise CallFailed(Code.UNAVAILABLE, str(failure)) from failure
        if not self._scorer.trusts(link):
            raise CallFailed(Code.UNAVAILABLE, "the inference server runs another load of the network now")
        return answer
