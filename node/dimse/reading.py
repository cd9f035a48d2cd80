"""PDUs out of a connection, as their bytes come: large reads into one buffer, and never a wait."""

from __future__ import annotations

import errno
import select
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from node.domain.ports import Clock

PDU_HEAD = struct.Struct(">BxI")  # type, reserved, length (PS3.8 section 9.3.1)
PDU_TYPES = range(0x01, 0x08)  # PS3.8 section 9.3.1
TLS_RECORDS = (0x15, 0x16)  # alert and handshake (RFC 8446 section 5.1)
SMALL_BUFFER = 1 << 14
"""Enough for an association request; a connection that says nothing holds no more."""
LARGE_BUFFER = 1 << 18
"""Two P-DATA-TF PDUs of 128 KiB: a read takes what the system has, not what one PDU lacks."""


class UnknownPdu(ValueError):
    """The connection brings a PDU type that there is not."""


@dataclass(frozen=True, kw_only=True)
class ReadingLimits:
    """What a peer may make a reader wait for."""

    max_bytes: int
    """Of one PDU, whatever its type."""
    seconds: float
    """For one whole PDU."""


class PduReader:
    """Reads whole PDUs.

    Parameters
    ----------
    limits : callable
        Returns the `ReadingLimits` that hold now.
    clock : Clock, optional
        By which the rest of a PDU is late; without one it never is, and whoever waits for it has a limit of
        its own.
    """

    def __init__(self, limits: Callable[[], ReadingLimits], clock: Clock | None = None) -> None:
        self._limits = limits
        self._clock = clock
        self._buffer = bytearray(SMALL_BUFFER)
        self._view = memoryview(self._buffer)
        self._begin = 0
        self._end = 0
        self._since: float | None = None

    def next(self, connection: socket.socket) -> memoryview | None:
        """Return the next whole PDU, None while bytes of it are missing.

        Parameters
        ----------
        connection : socket

        Returns
        -------
        memoryview or None
            Head and content; valid until the next call.

        Raises
        ------
        UnknownPdu
            The head is that of no PDU.
        ConnectionError
            The peer closed the connection.
        TimeoutError
            The rest of a PDU did not come in time.
        OSError
            More is announced than a PDU may have, or the connection failed.
        """
        while True:
            begin, held = self._begin, self._end - self._begin
            needed = self._announced() if held >= PDU_HEAD.size else PDU_HEAD.size
            if held >= PDU_HEAD.size and held >= needed:
                self._begin += needed
                self._since = None
                return self._view[begin : begin + needed]
            self._make_room(needed)
            count = _read(connection, self._view[self._end :])
            if count is None:
                self._require_time()
                return None
            if count == 0:
                raise ConnectionResetError(errno.ECONNRESET, "the peer closed the connection")
            if self._since is None and self._clock is not None:
                self._since = self._clock.monotonic()
            self._end += count

    def drop(self, connection: socket.socket) -> bool:
        """Throw away what is there and what has come; return whether anything had come.

        Raises
        ------
        OSError
            The connection has ended or failed.
        """
        self._begin = self._end = 0
        self._since = None
        count = _read(connection, self._view)
        if count == 0:
            raise ConnectionResetError(errno.ECONNRESET, "the peer closed the connection")
        return count is not None

    def patience(self) -> float | None:
        """Return for how many seconds the rest of a PDU may still be waited for, None when none has begun."""
        if self._since is None or self._clock is None:
            return None
        return max(self._since + self._limits().seconds - self._clock.monotonic(), 0.0)

    def _announced(self) -> int:
        """Return how many bytes the PDU has whose head is there."""
        kind, length = PDU_HEAD.unpack_from(self._buffer, self._begin)
        if kind not in PDU_TYPES:
            tls = "; the other side speaks TLS, this one does not" if kind in TLS_RECORDS else ""
            raise UnknownPdu(f"PDU type {kind:02X}H is none of PS3.8 section 9.3{tls}")
        if length > self._limits().max_bytes:
            raise OSError(errno.EMSGSIZE, "the peer announced a PDU that is larger than any allowed one")
        return PDU_HEAD.size + int(length)

    def _require_time(self) -> None:
        if self._begin == self._end:
            self._since = None
        elif self._since is None and self._clock is not None:  # it came together with the PDU before it
            self._since = self._clock.monotonic()
        elif self.patience() == 0.0:
            raise TimeoutError("the peer did not complete a PDU in time")

    def _make_room(self, needed: int) -> None:
        """Bring the bytes of the next PDU to the front where the rest would not fit behind them."""
        held = self._end - self._begin
        if held == 0:
            self._begin = self._end = 0
        if self._begin + needed > len(self._buffer) or self._end == len(self._buffer):
            left = bytes(self._view[self._begin : self._end])
            if needed > len(self._buffer):
                self._buffer = bytearray(max(needed, LARGE_BUFFER))
                self._view = memoryview(self._buffer)
            self._view[:held] = left
            self._begin, self._end = 0, held


class ReadSocket(Protocol):
    """What the reactor needs of an association's socket."""

    socket: socket.socket | None
    _is_connected: bool
    reader: PduReader
    timed_out: bool

    def close(self) -> None:
        """Close the connection, if it is open."""
        ...

    def send(self, bytestream: bytes) -> None:
        """Send whole PDUs."""
        ...


def _read(connection: socket.socket, place: memoryview) -> int | None:
    """Return how many bytes could be read without waiting; None for none yet, 0 at the end."""
    try:
        return connection.recv_into(place, 0, socket.MSG_DONTWAIT)
    except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):  # the last of `node.dimse.tls`
        return None


def readable(connection: socket.socket) -> bool:
    """Whether the system has bytes of a connection, or its end.

    By `poll`, since `select` takes no descriptor above 1023: with so many files open every further
    association would end at once.
    """
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    return bool(waiting.poll(0))
