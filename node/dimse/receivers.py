"""The processes that receive beside the one that accepts: one Python process runs on one processor.

This process keeps the port, the limits and the records of who came and went; another one gets accepted
connections and runs their associations. What a process that ends had not acknowledged was not acknowledged;
its associations are recorded as aborted, and another process takes its place.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from node.dimse.admission import Caller
from node.dimse.channel import Channel, Kind, Message
from node.dimse.services import Places, StorageServices
from node.domain.errors import GroundglassError
from node.domain.ports import Clock
from node.domain.study import AssociationEnd

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
"""Until a process has read its modules."""
SILENT_SECONDS = 60.0
"""One that is ready and says or takes nothing for so long hangs: it says something each second."""
STEADY_SECONDS = 60.0
"""One that lived so long did not fail at its start."""
LONGEST_PAUSE = 60.0
MOST_ENDS = 1000
"""That are remembered."""
TELLING = 3
TELLING_SECONDS = 3600.0
"""So many processes that ended within this time are told to the operator."""
END_SECONDS = 5.0
"""For a process that has stopped to end."""


class _Running:
    """A process, and what it has of this one's."""

    def __init__(self, channel: Channel, child: subprocess.Popen[bytes]) -> None:
        self.channel = channel
        self.child = child
        self.ready = False
        self.name = ""
        self.connections: dict[int, Callable[[], None]] = {}
        self.places = 0
        self.associations: set[int] = set()
        self.stopped = threading.Event()


class _Slot:
    """The place of one process; when one ends, another one comes."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.running: _Running | None = None
        self.failures = 0
        """In a row, each soon after the start."""
        self.settled = threading.Event()
        """Whether the first process is ready, or could not be started."""
        self.thread: threading.Thread | None = None


class Receivers:
    """Several receiving processes.

    Parameters
    ----------
    number : int
        How many.
    launch : callable
        Starts a process with its end of a channel.
    received : callable
        Is told how many instances were acknowledged, by what became of them.
    lost : callable
        Is told the name of a process that ended before it should, to remove what it left.
    clock : Clock
    """

    def __init__(
        self,
        number: int,
        *,
        launch: Callable[[socket.socket], subprocess.Popen[bytes]],
        received: Callable[[Mapping[str, int]], None],
        lost: Callable[[str], object],
        clock: Clock,
    ) -> None:
        self._launch = launch
        self._received = received
        self._left = lost
        self._clock = clock
        self._slots = [_Slot(index) for index in range(1, number + 1)]
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._ends: deque[float] = deque(maxlen=MOST_ENDS)
        self._next = 0
        self._news: tuple[str, ...] = ()
        self._places: Places | None = None
        self._services: StorageServices | None = None

    @property
    def connections(self) -> int:
        """Return how many connections other processes have."""
        with self._lock:
            return sum(len(running.connections) for running in self._runs())

    @property
    def processes(self) -> tuple[int, ...]:
        """Return the numbers of the processes that are ready."""
        with self._lock:
            return tuple(running.child.pid for running in self._runs() if running.ready)

    @property
    def problem(self) -> str:
        """Return what an operator should know; empty when there is nothing."""
        since = self._clock.monotonic() - TELLING_SECONDS
        with self._lock:
            recent = sum(end > since for end in self._ends)
        if recent < TELLING:
            return ""
        return f"receiving processes ended {recent} times within an hour, unasked; see the log"

    def start(self, places: Places, services: StorageServices) -> None:
        """Start every process and wait until each can receive, or could not be started.

        Parameters
        ----------
        places : Places
            Of admitted associations, over all processes.
        services : StorageServices
            Records who comes and goes.
        """
        self._stopping.clear()
        self._places, self._services = places, services
        for slot in self._slots:
            slot.settled.clear()
            slot.thread = threading.Thread(target=self._keep, args=(slot,), name=f"receiver-{slot.number}")
            slot.thread.start()
        for slot in self._slots:
            slot.settled.wait(START_SECONDS)

    def take(
        self,
        connection: socket.socket,
        address: tuple[Any, ...],
        here: Any,
        over: Callable[[], None],
        *,
        secure: bool,
    ) -> bool:
        """Give a connection to the process with the fewest; return whether one has it now.

        Parameters
        ----------
        connection : socket
            Stays open in this process.
        address : tuple
            Of the peer.
        here : tuple
            Address that it called.
        over : callable
            Is called once nothing is left of the connection, if one has it.
        secure : bool
            Whether it begins with a TLS handshake, which that process does.
        """
        with self._lock:
            self._next += 1
            ready = [running for running in self._runs() if running.ready]
            for running in sorted(ready, key=lambda item: len(item.connections)):
                try:
                    running.channel.hand_over(
                        connection, number=self._next, address=address, here=here, secure=secure
                    )
                except OSError as error:
                    logger.warning("a receiving process takes no connection: %s", error.strerror)
                    continue
                running.connections[self._next] = over
                return True
        return False

    def tell(self, own_device_uids: Iterable[str]) -> None:
        """Let every process know the Device UIDs of this node's results, now and later."""
        with self._lock:
            self._news = tuple(own_device_uids)
            for running in self._runs():
                try:
                    running.channel.send(Kind.NEWS, own_device_uids=self._news)
                except OSError:  # it is gone, or hangs; the one that follows is told at its start
                    running.child.kill()

    def begin_stop(self, *, grace_seconds: float, abort_seconds: float) -> None:
        """Let every process bring its associations to an end; none is started any more."""
        self._stopping.set()
        with self._lock:
            for running in self._runs():
                running.ready = False
                with suppress(OSError):
                    running.channel.send(Kind.STOP, grace=grace_seconds, abort=abort_seconds)

    def finish_stop(self, seconds: float) -> None:
        """Wait until every process has ended; one that does not is killed.

        Parameters
        ----------
        seconds : float
            How long their associations may take, from now on.
        """
        end = self._clock.monotonic() + seconds
        for slot in self._slots:
            running = slot.running
            if running is not None and not running.stopped.wait(max(0.0, end - self._clock.monotonic())):
                logger.error("receiving process %d did not stop", running.child.pid)
                running.child.kill()
            if running is not None:
                with suppress(OSError):
                    running.channel.shutdown()
            if slot.thread is not None:
                slot.thread.join()
                slot.thread = None

    def _runs(self) -> list[_Running]:
        return [slot.running for slot in self._slots if slot.running is not None]

    def _keep(self, slot: _Slot) -> None:
        """Run one process after the other in a slot."""
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            running = self._begin(slot)
            if running is not None:
                try:
                    self._listen(slot, running)
                except Exception:
                    # Whatever fails here costs one process: another one is started.
                    logger.exception("receiving process %d is given up", running.child.pid)
                finally:
                    self._lost(slot, running)
            slot.settled.set()
            if self._stopping.is_set():
                return
            ended = self._clock.monotonic()
            with self._lock:
                self._ends.append(ended)
            slot.failures = 0 if ended - began > STEADY_SECONDS else slot.failures + 1
            if slot.failures > 1:
                self._stopping.wait(min(2.0**slot.failures, LONGEST_PAUSE))

    def _begin(self, slot: _Slot) -> _Running | None:
        ours, theirs = Channel.pair()
        try:
            child = self._launch(theirs)
        except OSError:
            ours.close()
            logger.exception("a receiving process cannot be started")
            return None
        finally:
            theirs.close()
        running = _Running(Channel(ours), child)
        with self._lock:
            slot.running = running
            with suppress(OSError):  # it ended at once: the next read tells
                running.channel.send(Kind.NEWS, own_device_uids=self._news)
        if self._stopping.is_set():
            child.kill()
        return running

    def _listen(self, slot: _Slot, running: _Running) -> None:
        """Serve a process until it is gone, or hangs: else its peers would wait, and others come to it."""
        while (message := self._next_of(running)) is not None:
            if message.kind is Kind.READY:
                running.name = message.content["name"]
                running.channel.bound(SILENT_SECONDS)
                with self._lock:
                    running.ready = not self._stopping.is_set()
                slot.settled.set()
                logger.info("receiving process %d is ready", running.child.pid)
            elif message.kind is Kind.STOPPED:
                running.stopped.set()
            elif message.kind is Kind.OVER:
                with self._lock:
                    over = running.connections.pop(message.content["number"])
                over()
            elif message.kind is Kind.RECEIVED:
                self._received(message.content["counts"])
            elif message.kind is not Kind.ALIVE:
                self._of_association(running, message)

    def _next_of(self, running: _Running) -> Message | None:
        try:
            return running.channel.receive()
        except TimeoutError:
            if not running.stopped.is_set():
                logger.error("receiving process %d hangs and is ended", running.child.pid)  # noqa: TRY400 - it says all
            running.child.kill()
            return None

    def _of_association(self, running: _Running, message: Message) -> None:
        """Do what a receiving process asks for one of its associations."""
        content, (places, services) = message.content, self._behind
        try:
            if message.kind is Kind.PLACE:
                granted = places.acquire(blocking=False)
                running.places += granted
                self._answer(running, message, granted)
            elif message.kind is Kind.LEAVE:
                running.places -= 1
                places.release()
            elif message.kind is Kind.OPENED:
                association_id = services.opened(Caller(**content["caller"]))
                running.associations.add(association_id)
                self._answer(running, message, association_id)
            elif message.kind is Kind.CLOSED:
                running.associations.discard(content["association_id"])
                services.closed(content["association_id"], AssociationEnd(content["end"]))
            elif message.kind is Kind.REFUSED:
                services.refused(Caller(**content["caller"]), content["reason"])
        except GroundglassError as error:
            if message.kind is Kind.OPENED:
                self._answer(running, message, str(error))
            else:
                logger.exception("what became of an association cannot be recorded now")

    def _answer(self, running: _Running, message: Message, answer: object) -> None:
        with suppress(OSError):  # it is gone: the next read tells
            running.channel.send(Kind.ANSWER, asked=message.content["asked"], answer=answer)

    @property
    def _behind(self) -> tuple[Places, StorageServices]:
        if self._places is None or self._services is None:
            raise ValueError("a process that was not started tells of an association")
        return self._places, self._services

    def _lost(self, slot: _Slot, running: _Running) -> None:
        """Take back what a process had that is gone, or that tells what cannot be understood."""
        with self._lock:
            slot.running = None
            connections, running.connections = running.connections, {}
        running.channel.close()
        status = self._ended(running.child)
        running.stopped.set()
        if not self._stopping.is_set():
            logger.error(
                "receiving process %d ended with %d and %d connections; another one is started",
                running.child.pid,
                status,
                len(connections),
            )
        if running.name:
            self._left(running.name)
        places, services = self._behind
        for over in connections.values():
            over()
        for _ in range(running.places):
            places.release()
        end = AssociationEnd.RESTART if self._stopping.is_set() else AssociationEnd.ABORTED
        for association_id in running.associations:
            try:
                services.closed(association_id, end)
            except GroundglassError:
                logger.exception("the end of association %d cannot be recorded", association_id)

    def _ended(self, child: subprocess.Popen[bytes]) -> int:
        try:
            return child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()
