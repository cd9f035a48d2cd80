"""A batch on its way to an inference server, sent again where that is safe."""

from __future__ import annotations

import threading
from typing import Protocol

import numpy as np

from node.domain.errors import ModelError, ScoresInvalid
from node.infer.answers import Scores
from node.infer.triton_connection import CallFailed, Code
from node.infer.triton_link import Call, Link

REPEATED = frozenset({Code.UNAVAILABLE, Code.CANCELLED, Code.NOT_FOUND})
"""The connection was lost, the server's queue was full, or another batch found that the link ended: inference
changes nothing on the server, so that it is safe to send the batch again. Not found: the handshake on the new
connection says what is missing."""


class Sender(Protocol):
    """Who knows the way to the server."""

    def send(self, batch: Scores, until: float) -> tuple[Link, Call]:
        """Send a part of a batch, to be answered until a monotonic time.

        Raises
        ------
        ModelError
            As ``CallFailed`` where it may be tried again.
        """
        ...

    def trusts(self, link: Link) -> bool:
        """Whether a link still leads to the load whose golden answer was replayed."""
        ...

    def pause(self, attempt: int, until: float) -> bool:
        """Wait before the next attempt; whether there shall be one."""
        ...

    def passed(self) -> None:
        """Note that a batch was answered."""
        ...

    def failed(self, error: ModelError) -> None:
        """Note that a batch failed."""
        ...


class Batch:
    """A batch in one or several requests. Implements ``Pending``."""

    def __init__(self, parts: list[Part]) -> None:
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


class Part:
    """One request's share of a batch, sent again where that is safe.

    Parameters
    ----------
    scorer : Sender
    batch : float32 array, shape (slices, channels, rows, columns)
    until : float
        Monotonic time at which it must be answered, however often it is sent.
    """

    def __init__(self, scorer: Sender, batch: Scores, until: float) -> None:
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
