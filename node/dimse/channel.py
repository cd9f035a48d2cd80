"""What the process that accepts connections and one that receives tell one another."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from node.dimse.sockets import bound_calls

LONGEST = 1 << 16
"""Bytes of one message; a socket pair of this kind takes some 200 KiB at once."""


class Kind(StrEnum):
    """What a message is."""

    CONNECTION = "connection"
    """To the receiving one: an accepted connection, with its descriptor."""
    NEWS = "news"
    """To the receiving one: the Device UIDs of this node's results."""
    STOP = "stop"
    """To the receiving one: let associations end, abort the rest."""
    ANSWER = "answer"
    """To the receiving one: to PLACE or OPENED."""
    READY = "ready"
    """From the receiving one: connections may come."""
    PLACE = "place"
    """From the receiving one: asks for a place for an association."""
    LEAVE = "leave"
    """From the receiving one: gives the place back."""
    OPENED = "opened"
    """From the receiving one: asks for the number of an association that is admitted."""
    CLOSED = "closed"
    """From the receiving one: how an association ended."""
    REFUSED = "refused"
    """From the receiving one: a caller was not let in."""
    OVER = "over"
    """From the receiving one: nothing is left of a connection."""
    RECEIVED = "received"
    """From the receiving one: how many instances it acknowledged."""
    ALIVE = "alive"
    """From the receiving one: nothing else has happened."""
    STOPPED = "stopped"
    """From the receiving one: every association has ended, or will not."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message."""

    kind: Kind
    content: Mapping[str, Any]
    descriptor: int | None
    """Of a connection that came with it; whoever takes the message closes it."""


class Channel:
    """One end of the way between two processes; messages stay whole, whichever threads send them.

    Parameters
    ----------
    end : socket
        Of `pair`.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        """Return two connected ends."""
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def bound(self, seconds: float) -> None:
        """Wait for the other process so long and no longer, from now on."""
        bound_calls(self._end, seconds, socket.SO_RCVTIMEO, socket.SO_SNDTIMEO)

    def send(self, kind: Kind, /, **content: object) -> None:
        """Send a message; waits where the other process does not read, as long as `bound` says.

        Raises
        ------
        OSError
            The other process is gone, or does not read.
        """
        self._end.send(_packed(kind, content))

    def hand_over(self, connection: socket.socket, /, **content: object) -> None:
        """Send a connection; it lives on while the other process has it.

        Raises
        ------
        OSError
            The other process is gone, or does not read.
        """
        data = _packed(Kind.CONNECTION, content)
        socket.send_fds(self._end, [data], [connection.fileno()], socket.MSG_DONTWAIT)

    def receive(self) -> Message | None:
        """Return the next message; None when the other process is gone.

        Raises
        ------
        TimeoutError
            None came within the time of `bound`.
        """
        try:
            data, descriptors, _flags, _address = socket.recv_fds(self._end, LONGEST, 1)
        except ConnectionError:
            return None
        except BlockingIOError as error:
            raise TimeoutError("the other process says nothing") from error
        if not data:
            return None
        content = json.loads(data)
        return Message(
            kind=Kind(content.pop("kind")),
            content=content,
            descriptor=descriptors[0] if descriptors else None,
        )

    def shutdown(self) -> None:
        """Let both ends see the end."""
        self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end."""
        self._end.close()


def _packed(kind: Kind, content: Mapping[str, object]) -> bytes:
    return json.dumps({"kind": kind, **content}).encode()
