"""One connection of a client, with bounds on what it can make big or slow.

uvicorn bounds neither the head of a request nor the time that it takes to arrive, nor how long a client that
reads nothing is waited for.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from node.web.errors import BadRequest
from node.web.file_sending import LENDS_SOCKET, FileBody

MOST_HEAD_BYTES = 64 * 1024
"""Of the head of a request, and of what stands between two pieces of its body or behind them."""
LEAST_BYTES = 4096
"""What a client that is waited for must send or take within each idle time."""
SPARE = 64
"""Connections beyond the limit that are still told that they are too many; further ones are cut at once, for
each takes a file descriptor from the whole node."""
TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class BoundedConnection(HttpToolsProtocol):
    """Reads requests of one connection and writes their answers, and ends it when a client overdoes it.

    The idle time is ``timeout_keep_alive`` of the configuration.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head = 0
        self._moved = 0
        self._unsent = 0
        self._slow = False
        self._receiving = True
        self._room: asyncio.Event | None = None
        """While a body of files waits for the client to take more; set when it does, or has gone."""
        self._look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base class has it
        """Begin to look after a new connection."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency + SPARE:
            self._cut()
            return
        self._look = self.loop.call_later(self.timeout_keep_alive, self._look_after)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look after it no more."""
        if self._look is not None:
            self._look.cancel()
        if self._room is not None:
            self._room.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take the next bytes."""
        self._head += len(data)
        self._moved += len(data)
        super().data_received(data)
        if self._head > MOST_HEAD_BYTES and not self.transport.is_closing():
            if self._answering:
                self._cut()
                return
            self.transport.write(
                f"HTTP/1.1 {TOO_LARGE.value} {TOO_LARGE.phrase}\r\n"
                "content-length: 0\r\nconnection: close\r\n\r\n".encode("ascii")
            )
            self.transport.close()

    def on_message_begin(self) -> None:
        """Note that a request begins.

        Raises
        ------
        BadRequest
            The client did not wait for the answer to the former one: requests would pile up as fast as it can
            write them. Clients may not count on being served so (RFC 9112 section 9.3.2).
        """
        if self._answering:
            raise BadRequest("a request came before the former one was answered")
        self._receiving = True
        super().on_message_begin()
        if self.transport.get_extra_info("sslcontext") is None:
            self.scope["extensions"] = {LENDS_SOCKET: {"send": self._send_files}}

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request; never within the answer to another one."""
        if self._answering:
            self._cut()
        else:
            super().send_400_response(msg)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request is here."""
        self._head = 0
        self._receiving = False
        super().on_message_complete()

    def resume_writing(self) -> None:
        """Note that the client took nearly all of what was written."""
        self._moved += LEAST_BYTES
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Note that an answer was written, and that the next request is waited for.

        The base class does so until the first byte, which may be one of a line end: those before a request
        begin none (RFC 9112 section 2.2).
        """
        self._moved += LEAST_BYTES
        self._receiving = True
        super().on_response_complete()

    async def _send_files(self, body: FileBody) -> None:
        """Send a body whose head is written.

        Threads write to the socket itself, once all that the transport holds is gone. Between their turns the
        loop waits for the client, so that a slow one takes no thread. Of one that has gone the body stays as
        it is.

        Raises
        ------
        GroundglassError, OSError
            A file cannot be read.
        """
        try:
            await self._send_over_socket(body)
        except ConnectionError:
            if not self.transport.is_closing():
                self._cut()
        if body.over:
            self.cycle.expected_content_length = len(body.rest)
        else:
            self.cycle.disconnected = True  # the server does not know yet, and would report a failure

    async def _send_over_socket(self, body: FileBody) -> None:
        if self.transport.is_closing():
            return
        self.transport.set_write_buffer_limits(high=0)
        await self.flow.drain()
        if self.transport.is_closing():
            return
        self.transport.set_write_buffer_limits()
        lent = self.transport.get_extra_info("socket")
        with socket.socket(fileno=os.dup(lent.fileno())) as connection:
            connection.setblocking(False)
            while not body.over and not self.transport.is_closing():
                turn = self.loop.run_in_executor(None, body.send_some, connection)
                try:
                    sent = await asyncio.shield(turn)
                except asyncio.CancelledError:
                    await asyncio.gather(turn, return_exceptions=True)  # it uses the socket and the file
                    raise
                self._moved += sent
                if not body.over:
                    await self._takes_more(connection)

    async def _takes_more(self, connection: socket.socket) -> None:
        """Wait until a client takes more, or has gone."""
        if self.transport.is_closing():
            return
        self._room = asyncio.Event()
        self.loop.add_writer(connection.fileno(), self._room.set)
        try:
            await self._room.wait()
        finally:
            self.loop.remove_writer(connection.fileno())
            self._room = None

    def _look_after(self) -> None:
        """End the connection of a client that is waited for and moves nothing, or next to nothing."""
        unsent = self.transport.get_write_buffer_size()
        moved, self._moved = self._moved + max(0, self._unsent - unsent), 0
        self._unsent = unsent
        waited_for = (
            self.flow.write_paused
            or self._room is not None
            or (self._receiving and not self.flow.read_paused)
        )
        if waited_for and self._slow and moved < LEAST_BYTES:
            self._cut()
            return
        self._slow = waited_for
        self._look = self.loop.call_later(self.timeout_keep_alive, self._look_after)

    @property
    def _answering(self) -> bool:
        """Whether a request is here, or on its way, that is not answered to its end."""
        return self.cycle is not None and not self.cycle.response_complete

    def _cut(self) -> None:
        """End the connection at once; whoever answers learns of it before anything more is written."""
        if self._answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        reset_on_close(self.transport)
        self.transport.abort()


def reset_on_close(transport: asyncio.Transport) -> None:
    """Let the system drop what is still to be sent: it would keep it for a client that reads nothing."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
