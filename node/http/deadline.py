"""An HTTP transport whose every request ends in its time, however slowly the other side answers.

The timeouts of HTTP libraries hold for a single read or write: a server that sends a byte now and then keeps
a caller for ever. Here each of them is cut to what is left of the request's time.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from typing import Any, Final

import httpcore
import httpx
from httpcore import SOCKET_OPTION

from node.domain.ports import Clock

WRITE_BYTES: Final = 16 * 1024
"""Handed to the socket at a time, so that the time left is looked at between."""


class Deadline:
    """The end of the request that is on its way.

    Parameters
    ----------
    clock : Clock
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._end = clock.monotonic()

    def begin(self, seconds: float) -> None:
        """Give the next request its time."""
        self._end = self._clock.monotonic() + seconds

    def within(self, timeout: float | None) -> float:
        """Return a timeout cut to what is left.

        Raises
        ------
        httpcore.TimeoutException
            Nothing is left.
        """
        left = self._end - self._clock.monotonic()
        if left <= 0:
            raise httpcore.TimeoutException("the request took longer than its time")
        return left if timeout is None else min(left, timeout)


class DeadlineTransport(httpx.BaseTransport):
    """Carries the requests of one client, one after the other, over one connection.

    Parameters
    ----------
    context : ssl.SSLContext
        For ``https`` addresses.
    deadline : Deadline
        Begun by the caller before each request.
    """

    def __init__(self, context: ssl.SSLContext, deadline: Deadline) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, max_connections=1, network_backend=_Backend(deadline)
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and return its answer, whose body is still to be read.

        Raises
        ------
        httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException
        """
        if not isinstance(request.stream, httpx.SyncByteStream):
            raise TypeError("the body of the request cannot be iterated over")
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    """The body of an answer."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class _Backend(httpcore.NetworkBackend):
    """Opens connections of which every step is within the deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._inner.connect_tcp(
            host,
            port,
            timeout=self._deadline.within(timeout),
            local_address=local_address,
            socket_options=socket_options,
        )
        return _Stream(stream, self._deadline)


class _Stream(httpcore.NetworkStream):
    """One connection of which every step is within the deadline."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, timeout=self._deadline.within(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
        for start in range(0, len(view), WRITE_BYTES):
            part = bytes(view[start : start + WRITE_BYTES])
            self._inner.write(part, timeout=self._deadline.within(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._inner.start_tls(
            ssl_context, server_hostname=server_hostname, timeout=self._deadline.within(timeout)
        )
        return _Stream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
