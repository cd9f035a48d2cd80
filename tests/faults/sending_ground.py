"""Scanners that send numbered objects to nodes that are killed, and what must be there afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator

from node.store.integrity import ProblemKind, check
from node.store.store import Store
from tests.faults.pdus import STORE_CONTEXT, UID, p_data, store_command
from tests.faults.raw_peer import ACCEPTED, RawPeer
from tests.faults.seeds import data_set_of, file_bytes, small_ct

FIRST = 10_000_000
NUMBERED = UID + ".{}"
TEMPLATE = data_set_of(file_bytes(small_ct(SOPInstanceUID=NUMBERED.format(FIRST))))
COMMAND = store_command(NUMBERED.format(FIRST))
PAUSE = 0.02
"""Seconds before a scanner that was not let in asks again."""


def numbered(content: bytes, number: int) -> bytes:
    """Return the template with another SOP Instance UID, which has the same length."""
    return content.replace(NUMBERED.format(FIRST).encode(), NUMBERED.format(number).encode())


class Scanner(threading.Thread):
    """Sends objects until the connection ends, or there are none; remembers those answered with success.

    Parameters
    ----------
    port : int
    numbers : iterator of int
        Of the objects.
    acknowledged : set of int
        Where it remembers them.
    over : threading.Event, optional
        Until this is set, another connection follows each that ended.
    """

    def __init__(
        self, port: int, numbers: Iterator[int], acknowledged: set[int], over: threading.Event | None = None
    ) -> None:
        super().__init__()
        self._port, self._numbers, self._acknowledged = port, numbers, acknowledged
        self._over = over

    def run(self) -> None:
        self._talk()
        while self._over is not None and not self._over.wait(PAUSE):
            self._talk()

    def _talk(self) -> None:
        with contextlib.suppress(ConnectionError), RawPeer(self._port) as peer:
            if peer.associate() != ACCEPTED:
                return
            for number in self._numbers:
                if self._over is not None and self._over.is_set():
                    return
                command = p_data(STORE_CONTEXT, 3, numbered(COMMAND, number))
                peer.send(command, p_data(STORE_CONTEXT, 2, numbered(TEMPLATE, number)))
                answer = peer.answer()
                if answer is None:
                    return
                if answer.Status == 0x0000:
                    self._acknowledged.add(number)


def check_whole(store: Store, acknowledged: set[int]) -> int:
    """Check that what was acknowledged is there whole, and no row without its bytes; count orphans."""
    with store.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT sop_instance_uid, object_key, sha256 FROM instances")
        found = {uid: (key, sha256) for uid, key, sha256 in rows}
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    for number in acknowledged:
        key, sha256 = found[NUMBERED.format(number)]
        content = store.files.path(key).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
        assert content.endswith(numbered(TEMPLATE, number))
    problems = check(store)
    assert {problem.kind for problem in problems} <= {ProblemKind.ORPHAN}, "no row without its bytes"
    return len(problems)
