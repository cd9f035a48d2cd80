"""A process that receives: it runs the associations whose connections another process accepted."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from itertools import count
from typing import Any

from node.dimse.admission import Caller
from node.dimse.channel import Channel, Kind, Message
from node.dimse.listening import Listener
from node.dimse.services import AffectedInstance, ObjectSink, StorageServices
from node.domain.errors import StoreError
from node.domain.study import AssociationEnd

REPORT_SECONDS = 1.0
"""Between two reports of what was received, or that nothing was."""


class Accepting:
    """The process that accepts, seen from one that receives.

    Parameters
    ----------
    channel : Channel
    counts : callable
        Returns what was received since it was last asked.
    """

    def __init__(self, channel: Channel, counts: Callable[[], Mapping[str, int]]) -> None:
        self._channel = channel
        self._counts = counts
        self._numbers = count(1)
        self._asked: dict[int, queue.SimpleQueue[object]] = {}

    def acquire(self, blocking: bool = True) -> bool:
        """Take a place of an association; never waits for one to be free."""
        del blocking
        return bool(self._ask(Kind.PLACE))

    def release(self) -> None:
        """Give the place back."""
        self._channel.send(Kind.LEAVE)

    def opened(self, caller: Caller) -> int:
        """Have an association recorded; return its number.

        Raises
        ------
        StoreError
        """
        answer = self._ask(Kind.OPENED, caller=asdict(caller))
        if isinstance(answer, int):
            return answer
        raise StoreError(str(answer))

    def closed(self, association_id: int, end: AssociationEnd) -> None:
        """Have the end of an association recorded, and what came by it counted."""
        self.report()
        self._channel.send(Kind.CLOSED, association_id=association_id, end=end)

    def refused(self, caller: Caller, reason: str) -> None:
        """Have a caller recorded that was not let in."""
        self._channel.send(Kind.REFUSED, caller=asdict(caller), reason=reason)

    def report(self) -> None:
        """Tell what was received since the last report, or that this process lives."""
        counts = self._counts()
        if counts:
            self._channel.send(Kind.RECEIVED, counts=counts)
        else:
            self._channel.send(Kind.ALIVE)

    def answered(self, message: Message) -> None:
        """Hand an answer to who waits for it."""
        self._asked.pop(message.content["asked"]).put(message.content["answer"])

    def _ask(self, kind: Kind, /, **content: object) -> object:
        number = next(self._numbers)
        answers: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._asked[number] = answers
        self._channel.send(kind, asked=number, **content)
        return answers.get()  # where the other process is gone, this one ends


class SharedStorage:
    """Storage services whose associations another process records. Implements ``StorageServices``.

    Parameters
    ----------
    accepting : Accepting
    storage : StorageServices
        Takes the objects.
    """

    def __init__(self, accepting: Accepting, storage: StorageServices) -> None:
        self._accepting = accepting
        self._storage = storage

    def opened(self, caller: Caller) -> int:
        """Have an association recorded; return its number."""
        return self._accepting.opened(caller)

    def closed(self, association_id: int, end: AssociationEnd) -> None:
        """Have the end of an association recorded."""
        self._accepting.closed(association_id, end)

    def refused(self, caller: Caller, reason: str) -> None:
        """Have a caller recorded that was not let in."""
        self._accepting.refused(caller, reason)

    def receive(self, affected: AffectedInstance, *, caller: Caller, association_id: int) -> ObjectSink:
        """Return where the data set of a C-STORE goes."""
        return self._storage.receive(affected, caller=caller, association_id=association_id)


class Receiver:
    """Runs what the other process hands over, until that one is gone.

    Parameters
    ----------
    channel : Channel
    accepting : Accepting
        On the same channel.
    listener : Listener
        Its associations take their places of ``accepting``.
    name : str
        What the names of its temporary files begin with.
    news : callable
        Is told the Device UIDs of this node's results.
    """

    def __init__(
        self,
        channel: Channel,
        accepting: Accepting,
        listener: Listener,
        *,
        name: str,
        news: Callable[[Iterable[str]], None],
    ) -> None:
        self._channel = channel
        self._accepting = accepting
        self._listener = listener
        self._name = name
        self._news = news
        self._over = threading.Event()

    def run(self) -> None:
        """Serve until the other process is gone; threads may be left, which end with this process."""
        server = self._listener.start_without_port(
            lambda number: self._channel.send(Kind.OVER, number=number)
        )
        threading.Thread(target=self._report_regularly, name="report", daemon=True).start()
        self._channel.send(Kind.READY, name=self._name)
        while (message := self._channel.receive()) is not None:
            if message.kind is Kind.CONNECTION and message.descriptor is not None:
                server.run(
                    socket.socket(fileno=message.descriptor),
                    tuple(message.content["address"]),
                    here=tuple(message.content["here"]),
                    number=message.content["number"],
                    secure=message.content["secure"],
                )
            elif message.kind is Kind.ANSWER:
                self._accepting.answered(message)
            elif message.kind is Kind.NEWS:
                self._news(message.content["own_device_uids"])
            elif message.kind is Kind.STOP:
                threading.Thread(target=self._stop, args=(message.content,), name="stop", daemon=True).start()

    def _report_regularly(self) -> None:
        while not self._over.wait(REPORT_SECONDS):
            self._accepting.report()

    def _stop(self, content: Mapping[str, Any]) -> None:
        self._listener.stop(grace_seconds=content["grace"], abort_seconds=content["abort"])
        self._over.set()
        self._accepting.report()
        self._channel.send(Kind.STOPPED)
