"""A peer that writes its PDUs by hand, so that it can do what no library lets it do."""

from __future__ import annotations

import socket
import struct
from io import BytesIO
from types import TracebackType

from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode

from tests.faults.pdus import association_request

ACCEPTED, REJECTED, DATA, RELEASED, ABORTED = 0x02, 0x03, 0x04, 0x06, 0x07
SECONDS = 10.0


class RawPeer:
    """One connection. ``source`` is the loopback address it comes from."""

    def __init__(self, port: int, *, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=SECONDS, source_address=(source, 0)
        )
        self._left = b""

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Send bytes; a connection that the node has closed takes them too."""
        try:
            self.socket.sendall(b"".join(parts))
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> tuple[int, bytes]:
        """Return type and content of the next PDU; type 0 when the connection is closed."""
        head = self._exactly(6)
        if len(head) < 6:
            return 0, b""
        kind, length = struct.unpack(">BxI", head)
        return kind, self._exactly(length)

    def associate(self, **titles: str) -> int:
        """Ask for an association; return the type of the answer."""
        self.send(association_request(**titles))
        return self.receive()[0]

    def answer(self) -> Dataset | None:
        """Return the command set of the next response; None when the association ends instead."""
        kind, content = self.receive()
        if kind != DATA:
            return None
        return decode(BytesIO(content[6:]), True, True)  # one fragment: a command set without data set

    def end(self) -> int:
        """Read until the association ends; return the PDU type it ends with, 0 for a closed connection."""
        while True:
            kind, _content = self.receive()
            if kind in {0, RELEASED, ABORTED}:
                return kind

    def reset(self) -> None:
        """Close the connection with a RST, as a machine that crashed answers."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            try:
                piece = self.socket.recv(count - len(found))
            except ConnectionResetError:
                return found
            if not piece:
                return found
            found += piece
        return found
