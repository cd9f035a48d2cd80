"""Archives that count what reaches them, and hosts that are dead in one way or the other."""

from __future__ import annotations

import socket
import threading
from collections import Counter

from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification
from pynetdicom.transport import ThreadedAssociationServer

from node.domain.delivery import NO_SUCH_OBJECT
from tests.station.proof_ground import RESULT_CLASSES, Archive


class Pacs(Archive):
    """A storage SCP that commits itself to what it holds, and counts what it gets."""

    def __init__(self, port: int = 0) -> None:
        super().__init__()
        self.port = port
        self.stored: Counter[str] = Counter()
        """How often each SOP instance arrived."""
        self.associations = 0
        self._server: ThreadedAssociationServer | None = None

    def start(self) -> int:
        entity = AE(ae_title="PACS")
        for sop_class in (StorageCommitmentPushModel, Verification, *RESULT_CLASSES):
            entity.add_supported_context(sop_class)
        handlers = [
            (evt.EVT_N_ACTION, self.on_asked),
            (evt.EVT_C_STORE, self.on_store),
            (evt.EVT_ACCEPTED, self.on_association),
        ]
        self._server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        self.port = self._server.server_address[1]
        return self.port

    def stop(self) -> None:
        for thread in self.reporting:
            thread.join(10)
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def lose(self, uid: str) -> None:
        """Forget an object that was taken."""
        del self.stored[uid]

    def on_association(self, _event: evt.Event) -> None:
        self.associations += 1

    def on_store(self, event: evt.Event) -> int:
        self.stored[str(event.request.AffectedSOPInstanceUID)] += 1
        return 0x0000

    def on_asked(self, event: evt.Event) -> tuple[int, None]:
        asked = {str(i.ReferencedSOPInstanceUID) for i in event.action_information.ReferencedSOPSequence}
        self.failing = dict.fromkeys(asked - set(self.stored), NO_SUCH_OBJECT)
        return self.on_action(event)


class DeadHost:
    """A port on which nobody answers: connections are counted and closed, or counted and left open."""

    def __init__(self, port: int = 0, *, hangs: bool = False) -> None:
        self.connections = 0
        self._hangs = hangs
        self._held: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            if self._hangs:
                self._held.append(connection)
            else:
                connection.close()

    def is_waited_for(self) -> bool:
        """Whether a caller still waits for an answer: it has sent its request and not hung up."""
        return any(_is_open(connection) for connection in list(self._held))

    def stop(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        self._socket.close()
        self._thread.join(10)
        for connection in self._held:
            connection.close()


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
