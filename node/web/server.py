"""The web server: one loop in a thread of its own, and a pool of threads that answer (PS3.18 section 8)."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from node.domain.errors import GroundglassError
from node.web.access import Access
from node.web.connection import SPARE, BoundedConnection, reset_on_close
from node.web.endpoints import Endpoint
from node.web.errors import refusal
from node.web.handshakes import server_context
from node.web.resources import Resource, ServiceUrl

logger = logging.getLogger(__name__)

THREADS = 24
"""Requests that are worked on at once; each may hold a connection to the index."""
BACKLOG = 128
HANDSHAKE_SECONDS = 10.0
"""Longest TLS handshake; less where idle clients are let go sooner."""
STOP_SECONDS = 5
"""Longest wait for answers that are under way when the server stops."""
CORS_MAX_AGE = 600
EXPOSED = ("Content-Location", "ETag", "Location", "Warning")
"""Headers of answers that a page of another origin may read."""


@dataclass(frozen=True, kw_only=True)
class Bind:
    """Where the server listens, and how long and for how many."""

    host: str
    port: int
    """0 takes a free one."""
    path: str
    """Of the service, without a slash at its end."""
    certificate: Path | None = None
    """PEM, with ``key``; none for plain HTTP."""
    key: Path | None = None
    max_connections: int
    idle_seconds: float
    """A client that is waited for and moves next to nothing for so long is let go."""


class WebServer:
    """Serves resources by HTTP.

    Parameters
    ----------
    bind : Bind
    resources : iterable of Resource
    access : Access
        Asked before each request.
    url : ServiceUrl
        What this node is called.
    origins : iterable of str
        Whose pages may call (CORS); ``*`` for all.
    """

    def __init__(
        self,
        bind: Bind,
        resources: Iterable[Resource],
        *,
        access: Access,
        url: ServiceUrl,
        origins: Iterable[str] = (),
    ) -> None:
        self._bind = bind
        self._access = access
        self._url = url
        self._origins = tuple(origins)
        self._resources = tuple(resources)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Begin to answer; return the port.

        Raises
        ------
        OSError
            The address cannot be bound, or the certificate cannot be read.
        """
        bind = self._bind
        listening = _listening(bind)
        try:
            config = uvicorn.Config(
                self._app(),
                http=BoundedConnection,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="warning",
                access_log=False,  # a URL may hold the name of a patient
                server_header=False,
                headers=[("X-Content-Type-Options", "nosniff")],  # nothing that was stored here is a page
                proxy_headers=False,
                limit_concurrency=bind.max_connections,
                timeout_keep_alive=cast("int", bind.idle_seconds),
                timeout_graceful_shutdown=STOP_SECONDS,
                ssl_context_factory=_context_factory(bind),
            )
            config.load()
        except BaseException:
            listening.close()
            raise
        self._server = server = _Server(config)
        port = int(listening.getsockname()[1])
        self._thread = threading.Thread(target=server.serve_on, args=(listening,), name="web", daemon=True)
        self._thread.start()
        server.ready.wait()
        if not server.started:
            raise OSError("the web server did not start; see the log")
        return port

    def stop(self) -> None:
        """Take no more requests, finish those under way, and return."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
            self._server = self._thread = None
        for threads in {item.threads for item in self._resources if item.threads is not None}:
            threads.close()

    def _app(self) -> Starlette:
        middleware = []
        if self._origins:
            middleware.append(
                Middleware(
                    CORSMiddleware,
                    allow_origins=self._origins,
                    allow_methods=["GET", "POST"],
                    allow_headers=["Accept", "Authorization", "Content-Type", "If-None-Match"],
                    expose_headers=EXPOSED,
                    max_age=CORS_MAX_AGE,
                )
            )
        application = Starlette(
            routes=self._routes(),
            middleware=middleware,
            exception_handlers={
                GroundglassError: refusal,
                FileNotFoundError: refusal,
                HTTPException: refusal,
                Exception: refusal,
            },
            lifespan=_lifespan,
        )
        application.router.redirect_slashes = False  # it would answer before anybody was asked for a token
        return application

    def _routes(self) -> list[Route]:
        by_path: dict[str, list[Resource]] = {}
        for item in self._resources:
            by_path.setdefault(item.path, []).append(item)
        return [
            Route(self._bind.path + path, Endpoint(items, access=self._access, url=self._url))
            for path, items in by_path.items()
        ]


class _Server(uvicorn.Server):
    """A server that says when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    def serve_on(self, listening: socket.socket) -> None:
        """Answer until told to stop."""
        try:
            self.run([listening])
        finally:
            self.ready.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer.

        The base class names no time for TLS handshakes, which would be a minute.
        """
        await super().startup([])
        self.started = False  # until it listens
        config = self.config

        def connection() -> asyncio.Protocol:
            return BoundedConnection(config, self.server_state, self.lifespan.state)

        seconds = min(HANDSHAKE_SECONDS, config.timeout_keep_alive) if config.ssl is not None else None
        for listening in sockets or ():
            server = await asyncio.get_running_loop().create_server(
                connection,
                sock=listening,
                ssl=config.ssl,
                backlog=config.backlog,
                ssl_handshake_timeout=seconds,
            )
            self.servers.append(server)
        self.started = True
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way for a while, then cut the connections of clients that take nothing.

        A loop that ends waits for what is still to be sent, however long.
        """
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                reset_on_close(transport)
                transport.abort()


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="web"))
    yield


def _context_factory(bind: Bind) -> Callable[..., ssl.SSLContext] | None:
    if bind.certificate is None or bind.key is None:
        return None
    context = server_context(bind.certificate, bind.key, most=bind.max_connections + SPARE)
    return lambda *_: context


def _listening(bind: Bind) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    return socket.create_server((bind.host, bind.port), family=family, backlog=BACKLOG)
