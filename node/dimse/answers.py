"""Waiting for answers to many requests in a row, without a thread in between.

What the reactor of an association reads is handed to the thread that waits for it: two wake-ups and two
hand-overs of the interpreter's lock for each answer, a fifth of the time of a C-STORE sub-operation. Here the
thread that waits reads the connection itself for as long as it sends.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from node.dimse.messages import BoundedMessages
from node.dimse.reactor import DATA_TRANSFER, PromptUpperLayer

if TYPE_CHECKING:
    from pynetdicom.association import Association

    from node.domain.ports import Clock

PAUSE_SECONDS = 0.0005
"""Between two looks whether the library's loop has paused."""
POLLED_SECONDS = 0.0002
"""Pause of the library's own reading loop while answers are waited for; else a millisecond."""


class BorrowedConnection:
    """The connection of an association while its reactor leaves it to the calling thread.

    Whatever is no P-DATA-TF PDU, the end of the connection or of the time for a PDU, goes to the reactor's
    state machine as ever, and the connection back to it; so it does with what is sent by the state machine
    meanwhile.

    Parameters
    ----------
    layer : PromptUpperLayer
    messages : BoundedMessages
    clock : Clock
    """

    def __init__(self, layer: PromptUpperLayer, messages: BoundedMessages, clock: Clock) -> None:
        self._layer = layer
        self._messages = messages
        self._clock = clock

    def borrow(self) -> None:
        """Take the connection over."""
        with self._layer.reading:
            self._layer.lent = True
        self._layer.wake()
        self._messages.await_message = self._await_message

    def give_back(self) -> None:
        """Leave it to the reactor."""
        self._messages.await_message = None
        with self._layer.reading:
            self._layer.lent = False
        self._layer.wake()

    def look(self) -> None:
        """Take what has come; does not wait."""
        while self._take():
            pass

    def _await_message(self) -> None:
        """Return when a message waits to be taken, the time is over, or only the reactor can go on."""
        allowed = self._messages.dimse_timeout
        end = None if allowed is None else self._clock.monotonic() + allowed
        while self._messages.msg_queue.empty():
            if not self._take():
                if not self._layer.lent:
                    return
                left = None if end is None else end - self._clock.monotonic()
                if left is not None and left <= 0:
                    self._messages.msg_queue.put((None, None))  # as when the association ends
                    return
                self._wait(left)

    def _take(self) -> bool:
        """Take one PDU that has come; return whether there was one."""
        layer = self._layer
        with layer.reading:
            taken = self._is_quiet and layer.take_pdu()
            if taken and self._is_quiet:
                return True
            if self._is_quiet and layer.connection is not None:
                return False
        self.give_back()
        return False

    @property
    def _is_quiet(self) -> bool:
        """Whether nothing but data comes, and nothing waits for the state machine."""
        layer = self._layer
        return layer.lent and layer.event_queue.empty() and layer.state_machine.current_state == DATA_TRANSFER

    def _wait(self, seconds: float | None) -> None:
        """Wait until something comes, at most as long as the rest of a PDU that has begun may take."""
        place, connection = self._layer.place, self._layer.connection
        if place is None or connection is None:
            return
        limits = [limit for limit in (seconds, place.reader.patience()) if limit is not None]
        waiting = select.poll()
        try:
            waiting.register(connection, select.POLLIN)
        except ValueError:  # closed by another thread: the next look sees that
            return
        waiting.poll(min(limits) * 1000 if limits else None)


@contextmanager
def answered_promptly(association: Association, clock: Clock) -> Iterator[Callable[[], None]]:
    """Lend what takes messages that have come without waiting; who waits for one meanwhile reads it itself.

    Parameters
    ----------
    association : Association
        Established; nobody but the calling thread waits for its messages.
    clock : Clock
    """
    layer, messages = association.dul, association.dimse
    if isinstance(layer, PromptUpperLayer) and isinstance(messages, BoundedMessages):
        connection = BorrowedConnection(layer, messages, clock)
        connection.borrow()
        try:
            yield connection.look
        finally:
            connection.give_back()
        return
    before = layer._run_loop_delay
    layer._run_loop_delay = POLLED_SECONDS
    try:
        yield lambda: None
    finally:
        layer._run_loop_delay = before


@contextmanager
def unread(association: Association) -> Iterator[None]:
    """Keep the library from taking the messages of an association that this node has opened."""
    association._reactor_checkpoint.clear()
    while not association._is_paused and association.is_alive():
        association.join(PAUSE_SECONDS)
    try:
        yield
    finally:
        association._reactor_checkpoint.set()
