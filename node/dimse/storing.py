"""A data set of a C-STORE on its way to a sink, and what is answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from node.dimse.services import ObjectSink
from node.dimse.status import Answer, Status, answer_to
from node.domain.errors import GroundglassError, ObjectTooLarge

logger = logging.getLogger(__name__)

WASTE_FACTOR = 2
"""An object that is larger than the limit is read to its end so that it can be answered, but not beyond this
multiple of the limit; then the association is aborted."""


class ArrivingObject:
    """The data set of one C-STORE, passed on to a sink as it arrives.

    A failure is kept, the rest of the fragments is dropped, and the request is answered when it is complete.

    Parameters
    ----------
    open_sink : callable
        Returns the sink; called at the first fragment.
    max_bytes : int
        Limit on the data set.
    """

    def __init__(self, open_sink: Callable[[], ObjectSink], max_bytes: int) -> None:
        self._open_sink = open_sink
        self._max_bytes = max_bytes
        self._sink: ObjectSink | None = None
        self._error: GroundglassError | None = None
        self._done = False
        self._lock = threading.Lock()
        self.received = 0

    @property
    def excessive(self) -> bool:
        """Whether so much has come beyond the limit that waiting for the end is no use."""
        return self.received > WASTE_FACTOR * self._max_bytes

    def write(self, fragment: bytes | memoryview) -> None:
        """Pass one fragment on; never raises for what the sink or the limit say."""
        self.received += len(fragment)
        with self._lock:
            if self._error is None and not self._done:
                try:
                    self._pass_on(fragment)
                except GroundglassError as error:
                    self._error = error
                    self._release()

    def finish(self) -> Answer:
        """Complete the object and return what to answer.

        Raises
        ------
        GroundglassError
            An error that neither the object nor the store can cause.
        """
        with self._lock:
            try:
                if self._error is not None:
                    raise self._error
                if self._sink is None or self._done:
                    return Answer(status=Status.CANNOT_UNDERSTAND, comment="no data set")
                self._sink.finish()
                return Answer(status=Status.SUCCESS)
            except GroundglassError as error:
                logger.warning("an object was not stored: %s: %s", type(error).__name__, error)
                return answer_to(error)
            finally:
                self._done = True
                self._release()

    def discard(self) -> None:
        """Drop what has arrived; nothing happens after `finish`."""
        with self._lock:
            self._done = True
            self._release()

    def _pass_on(self, fragment: bytes | memoryview) -> None:
        if self.received > self._max_bytes:
            raise ObjectTooLarge(f"object is larger than {self._max_bytes} bytes, the limit of this node")
        if self._sink is None:
            self._sink = self._open_sink()
        self._sink.write(fragment)

    def _release(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.discard()
