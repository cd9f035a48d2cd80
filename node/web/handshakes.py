"""TLS handshakes under way, bounded: a connection is none of the server's before its handshake is done.

uvicorn counts connections from there on, so that clients which begin no handshake would each hold a file
descriptor of the whole node, without limit.
"""

from __future__ import annotations

import ssl
import weakref
from pathlib import Path


class BoundedContext(ssl.SSLContext):
    """A TLS context of a server.

    Parameters
    ----------
    protocol : int
        As its base class takes it.
    most : int
        Handshakes that are under way at the same time.
    """

    def __init__(self, protocol: int, *, most: int) -> None:
        del protocol  # the base class has taken it when the object was made
        self._most = most
        self._begun: weakref.WeakSet[ssl.SSLObject] = weakref.WeakSet()

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a handshake; the loop calls it for each connection and closes the connection on an error.

        Raises
        ------
        ssl.SSLError
            Too many are under way.
        """
        under_way = [item for item in self._begun if item.version() is None]
        if len(under_way) >= self._most:
            raise ssl.SSLError("too many handshakes are under way")
        begun = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        self._begun = weakref.WeakSet([*under_way, begun])
        return begun


def server_context(certificate: Path, key: Path, *, most: int) -> ssl.SSLContext:
    """Return the TLS context of a server.

    Parameters
    ----------
    certificate, key : Path
        PEM.
    most : int
        Handshakes at the same time; a connection beyond is closed.

    Raises
    ------
    OSError
        They cannot be read, or do not belong together.
    """
    context = BoundedContext(ssl.PROTOCOL_TLS_SERVER, most=most)
    context.load_cert_chain(certificate, key)
    return context
