"""TLS connections that are read and written as plain ones are (PS3.15 B.12).

Python's own TLS socket waits where the reactors must not, may not be read and written at once by two threads
of an association, and sends what follows its end in the clear. Here a lock, which nobody holds while waiting,
guards each call of OpenSSL, and a read that finds nothing says so. A reader reads until that is said, so that
no decrypted byte waits where `poll` does not see it.
"""

from __future__ import annotations

import errno
import hashlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from pynetdicom.timer import Timer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

BLOCKED_SECONDS = 0.05
"""A read that cannot go on before something is written waits so long at a time."""
OF_A_CALL = struct.Struct("ll")
"""Value of SO_RCVTIMEO and SO_SNDTIMEO."""
REFUSALS = frozenset(
    {
        "CERTIFICATE_REQUIRED",
        "CERTIFICATE_UNKNOWN",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_REVOKED",
        "BAD_CERTIFICATE",
        "UNSUPPORTED_CERTIFICATE",
        "UNKNOWN_CA",
        "ACCESS_DENIED",
    }
)
"""Alerts by which a peer refuses a certificate (RFC 8446 section 6.2)."""
OTHER_REASONS = {
    "UNEXPECTED_EOF_WHILE_READING": "the connection ended within the handshake",
    "WRONG_VERSION_NUMBER": "the other side speaks without TLS",
    "HTTP_REQUEST": "the other side speaks HTTP",
    "UNSUPPORTED_PROTOCOL": "the other side has TLS below 1.2 alone",
    "NO_SHARED_CIPHER": "the other side has no cipher suite of PS3.15 B.12",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the other side showed no certificate",
}
HOST_MISMATCH = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


class TlsConnection:
    """A TLS connection with those methods of a socket that associations call.

    ``MSG_DONTWAIT`` and ``MSG_WAITALL`` mean what they do on a plain socket, and so do ``SO_RCVTIMEO``, which
    bounds a read with all its waits, and ``SO_SNDTIMEO``, which bounds each wait of a write. Where a plain
    socket raises `BlockingIOError`, `ssl.SSLWantReadError` is raised.

    Parameters
    ----------
    inner : ssl.SSLSocket
        Connected; its handshake was not done.
    """

    def __init__(self, inner: ssl.SSLSocket) -> None:
        inner.setblocking(False)
        self._inner = inner
        self._turn = threading.Lock()
        self._over = False
        self._seconds: float | None = None
        self.failure: ssl.SSLError | None = None
        """What TLS failed of."""
        self.names: frozenset[str] = frozenset()
        """By what the peer's certificate is known, see `names_of`; empty where it showed none that was
        verified."""

    def shake(self, remaining: Callable[[], float]) -> None:
        """Do the handshake.

        Parameters
        ----------
        remaining : callable
            Returns the seconds that it may still take.

        Raises
        ------
        OSError
            It failed.
        """
        while (awaited := self._handshake_step()) != 0:
            seconds = remaining()
            if seconds <= 0 or not self._poll(awaited, seconds):
                raise TimeoutError("no TLS handshake in the time allowed")
        self.names = names_of(self._inner)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """Read into a buffer and return how many bytes; 0 at the end.

        Raises
        ------
        ssl.SSLWantReadError
            By ``MSG_DONTWAIT``, where there is nothing yet.
        OSError
            The connection failed.
        """
        place = memoryview(buffer)[: nbytes or None]
        if flags & socket.MSG_DONTWAIT:
            return self._read(place)
        received = 0
        limit = Timer(self._allowed(socket.SO_RCVTIMEO))
        limit.start()  # a record that comes byte by byte ends many waits, but no read
        while received < len(place):
            try:
                count = self._read(place[received:])
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, None if limit.timeout is None else limit.remaining)
                continue
            received += count
            if count == 0 or not flags & socket.MSG_WAITALL:
                break
        return received

    def sendall(self, data: ReadableBuffer) -> None:
        """Send all bytes.

        Raises
        ------
        OSError
            The connection failed, or the peer took nothing for as long as ``SO_SNDTIMEO`` says.
        """
        left = memoryview(data)
        while left:
            sent, awaited = self._write(left)
            left = left[sent:]
            if awaited:
                self._wait(awaited, self._allowed(socket.SO_SNDTIMEO))

    def sendmsg(self, buffers: Iterable[ReadableBuffer]) -> int:
        """Send all bytes of several buffers as if they were one, since each would be a record of its own.

        Raises
        ------
        OSError
            As of `sendall`.
        """
        data = b"".join(buffers)
        self.sendall(data)
        return len(data)

    def pending(self) -> int:
        """Return how many decrypted bytes wait."""
        with self._turn:
            return 0 if self._over else self._inner.pending()

    def shutdown(self, how: int) -> None:
        """Say that this side has ended (close_notify), and end the connection; nothing goes in or out after.

        Raises
        ------
        OSError
            It has ended already.
        """
        with self._turn:
            if not self._over:
                self._over = True
                with suppress(OSError, ValueError):  # what the peer says to it is not waited for
                    self._inner.unwrap()
            socket.socket.shutdown(self._inner, how)

    def close(self) -> None:
        """Give the descriptor back."""
        with self._turn:
            self._over = True
            self._inner.close()

    def fileno(self) -> int:
        """Return the descriptor, -1 once it is closed."""
        return self._inner.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """Bound the waits of reads and writes, in place of the options of the socket."""
        self._seconds = seconds

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of the socket."""
        self._inner.setsockopt(level, option, value)

    def getsockname(self) -> Any:
        """Return the own address."""
        return self._inner.getsockname()

    def _handshake_step(self) -> int:
        """Go on with the handshake; return what must be waited for, 0 for nothing more."""
        with self._turn:
            self._require_open()
            try:
                self._inner.do_handshake()
            except ssl.SSLWantReadError:
                return select.POLLIN
            except ssl.SSLWantWriteError:
                return select.POLLOUT
            except ssl.SSLError as error:
                self.failure = error
                raise
            return 0

    def _read(self, place: memoryview) -> int:
        with self._turn:
            self._require_open()
            try:
                return self._inner.recv_into(place)
            except ssl.SSLWantReadError:
                raise
            except ssl.SSLWantWriteError:
                pass  # the peer wants other keys, and takes nothing
            except ssl.SSLError as error:
                self.failure = error
                raise
        self._poll(select.POLLOUT, BLOCKED_SECONDS)
        raise ssl.SSLWantReadError

    def _write(self, left: memoryview) -> tuple[int, int]:
        """Write a record; return how many bytes went, and what must be waited for, 0 for nothing."""
        with self._turn:
            self._require_open()
            try:
                return self._inner.send(left), 0
            except ssl.SSLWantWriteError:
                return 0, select.POLLOUT
            except ssl.SSLWantReadError:
                return 0, select.POLLIN
            except ssl.SSLError as error:
                self.failure = error
                raise

    def _require_open(self) -> None:
        if self._over:
            raise ConnectionResetError(errno.ECONNRESET, "the connection was closed here")

    def _allowed(self, option: int) -> float | None:
        """Return how many seconds the peer has, None for any number."""
        if self._seconds is not None:
            return self._seconds
        whole, part = OF_A_CALL.unpack(self._inner.getsockopt(socket.SOL_SOCKET, option, OF_A_CALL.size))
        return whole + part / 1_000_000 or None

    def _wait(self, awaited: int, seconds: float | None) -> None:
        if (seconds is not None and seconds <= 0) or not self._poll(awaited, seconds):
            raise TimeoutError("the peer did not go on in time")

    def _poll(self, awaited: int, seconds: float | None) -> bool:
        waiting = select.poll()
        try:
            waiting.register(self._inner, awaited)
        except ValueError as error:  # closed by another thread
            raise ConnectionResetError(errno.ECONNRESET, "the connection was closed here") from error
        return bool(waiting.poll(None if seconds is None else seconds * 1000))


def names_of(connection: ssl.SSLSocket) -> frozenset[str]:
    """Return by what the certificate is known that the peer has shown, if it was verified.

    ``sha256:`` and the digest of the certificate, ``cn:`` and the common name of its subject, ``dns:`` and
    each DNS name in small letters.
    """
    found: Any = connection.getpeercert() or {}
    encoded = connection.getpeercert(binary_form=True)
    if not found or encoded is None:
        return frozenset()
    common = [f"cn:{value}" for part in found["subject"] for key, value in part if key == "commonName"]
    dns = [f"dns:{value.lower()}" for key, value in found.get("subjectAltName", ()) if key == "DNS"]
    return frozenset({f"sha256:{hashlib.sha256(encoded).hexdigest()}", *common, *dns})


def as_socket(connection: TlsConnection) -> socket.socket:
    """Return it as what the library takes it for."""
    return cast("socket.socket", connection)


def tls_of(connection: object) -> TlsConnection | None:
    """Return a connection if it is one over TLS."""
    return connection if isinstance(connection, TlsConnection) else None


def reason_of(error: BaseException) -> str:
    """Return in words why a handshake failed; nothing in them is the other side's own."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in HOST_MISMATCH:
            return "its certificate is not one for this host"
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "it did not end the handshake in time"
    if isinstance(error, ssl.SSLError):
        found = error.reason or "the connection ended within the handshake"
        alert = found.partition("_ALERT_")[2]
        if alert in REFUSALS:
            return f"it refused the certificate shown to it ({_words(alert)})"
        return OTHER_REASONS.get(found, _words(found))
    return getattr(error, "strerror", None) or "the connection ended within the handshake"


def _words(name: str) -> str:
    """Return a name of OpenSSL's as words."""
    return name.replace("_", " ").lower() if name.isupper() else name
