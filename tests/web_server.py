"""An HTTP server of the tests' own on loopback: says what it is told to, byte by byte, well or badly."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.certificates import Signed

PATIENCE = 20.0
"""Seconds without a byte after which a connection is given up, so that no failing test hangs."""


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


Script = Callable[[Seen], bytes | Iterable[bytes]]


def answer(status: int, body: bytes = b"", *, content_type: str = "", **headers: str) -> bytes:
    """Return a well-formed answer."""
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class WebServer:
    """Serves until it is left; each connection has a thread."""

    script: Script
    signed: Signed | None = None
    """Speak TLS with this certificate."""
    client_ca: Path | None = None
    """Ask callers for a certificate of this authority."""
    seen: list[Seen] = field(default_factory=list)

    def __enter__(self) -> WebServer:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._port = self._listening.getsockname()[1]
        self._stopped = threading.Event()
        self._context: ssl.SSLContext | None = None
        if self.signed is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(self.signed.certificate, self.signed.key)
        if self._context is not None and self.client_ca is not None:
            self._context.load_verify_locations(self.client_ca)
            self._context.verify_mode = ssl.CERT_REQUIRED
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listening.close()

    @property
    def url(self) -> str:
        """Return the address."""
        return f"{'http' if self.signed is None else 'https'}://127.0.0.1:{self._port}"

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                while (request := _request(stream)) is not None:
                    self.seen.append(request)
                    told = self.script(request)
                    for part in [told] if isinstance(told, bytes) else told:
                        connection.sendall(part)
                    if not isinstance(told, bytes):
                        return
        except OSError:
            return  # the caller went away, or was sent away by TLS
        finally:
            connection.close()


def _request(stream: object) -> Seen | None:
    line = stream.readline().decode()
    if not line.strip():
        return None
    method, target, _ = line.split(" ", 2)
    headers = {}
    while (header := stream.readline().decode().strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    return Seen(method, target, headers, stream.read(int(headers.get("content-length", "0"))))
