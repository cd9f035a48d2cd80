"""All of an object is synced before its answer leaves: with four associations, in each kind of process.

SIGKILL keeps the page cache; only the order of the calls shows what a loss of power would leave.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.faults.failing_disk import CHILD, ROOT
from tests.faults.sending_ground import FIRST, NUMBERED, Scanner
from tests.faults.system_calls import STRACE, Call, answer_to, answered_after_syncs, calls_of
from tests.station.processes_ground import receiving_processes
from tests.station.receiving_node import write_instance
from tests.station.stow_ground import TOKEN, TYPE, body_of

ASSOCIATIONS = 4
OBJECTS = 12
"""Of each association, or in each request."""
SECONDS = 60
pytestmark = pytest.mark.faults


class Recorded:
    """A process that receives, under strace from its first call on.

    Parameters
    ----------
    command : list of str
        Prints its number, or nothing, and its port, and ends when its standard input does.
    root : Path
        Of its store.
    forks : bool
        Whether it is a process of its own that prints its number and port, for each line it is told.
    """

    def __init__(self, command: list[str], root: Path, *, forks: bool = False) -> None:
        self.root = root
        self._forks = forks
        self._trace = root.with_name("trace")
        self._process = subprocess.Popen(
            [*STRACE, "-o", str(self._trace), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        *self.process, self.port = map(int, self._process.stdout.readline().split())

    def end(self) -> list[Call]:
        """End it, and return what it called."""
        for process in self.process if self._forks else []:
            os.kill(process, signal.SIGKILL)
        self._process.communicate("", timeout=SECONDS)
        assert self._process.returncode == 0
        return calls_of(self._trace)

    def keys(self) -> dict[str, str]:
        """Return the object keys by SOP Instance UID."""
        with closing(sqlite3.connect(self.root / "index.sqlite")) as index:
            return dict(index.execute("SELECT sop_instance_uid, object_key FROM instances"))


def status_for(uid: str, calls: Sequence[Call]) -> Callable[[Call], bool]:
    """Return whether a call sends the status line of the response that names an instance."""
    [response] = [call.text for call in calls if "<socket:" in call.text and uid in call.text]
    [connection] = re.findall(r"^\d+<socket:\[\d+\]>", response)
    return lambda call: call.text.startswith(f'{connection}, "HTTP/1.1 200')


def send(port: int, *, same: bool) -> set[str]:
    """Send objects by several associations at once; return the SOP Instance UIDs that were acknowledged.

    Parameters
    ----------
    port : int
    same : bool
        Whether all associations send the same objects.
    """
    acknowledged: set[int] = set()
    begins = [FIRST + (0 if same else at * OBJECTS) for at in range(ASSOCIATIONS)]
    scanners = [Scanner(port, iter(range(begin, begin + OBJECTS)), acknowledged) for begin in begins]
    for scanner in scanners:
        scanner.start()
    for scanner in scanners:
        scanner.join(SECONDS)
    return {NUMBERED.format(number) for number in acknowledged}


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("processes", [1, 2])
def test_each_of_many_answers_leaves_after_its_own_syncs(
    tmp_path: Path, processes: int, same: bool, figure: Callable[[str, object], None]
) -> None:
    root = tmp_path / "store"
    root.mkdir()
    child = CHILD if processes == 1 else CHILD.with_name("processes_child.py")
    node = Recorded([sys.executable, str(child), str(root)], root)
    receiving = [
        {int(task.name) for task in Path(f"/proc/{child}/task").iterdir()}
        for parent in node.process
        for child in receiving_processes(parent)
    ]
    acknowledged = send(node.port, same=same)
    assert len(acknowledged) == OBJECTS * (1 if same else ASSOCIATIONS)
    calls = node.end()
    keys = node.keys()
    answers = [answered_after_syncs(calls, keys[uid], answer_to(uid)) for uid in acknowledged]
    if processes > 1:
        assert len(receiving) == processes
        first = min(min(tasks) for tasks in receiving)
        assert all(answer.task > first for answer in answers), "it was the receiving processes that answered"
    figure(f"answers of {processes} receiving process(es), each after all of its syncs", len(answers))


def test_the_answer_to_a_stow_request_leaves_after_the_syncs_of_all_its_instances(
    tmp_path: Path, figure: Callable[[str, object], None]
) -> None:
    root = tmp_path / "store"
    root.mkdir()
    web = Recorded([sys.executable, "-m", "tests.faults.killed_web_child", str(root)], root, forks=True)
    path, uid = write_instance(tmp_path / "one.dcm")
    data, counted = path.read_bytes(), itertools.count()
    statuses: list[int] = []

    def store() -> None:
        uids = [f"{uid[:-8]}{next(counted):08d}" for _ in range(OBJECTS)]
        body = body_of(data.replace(uid.encode(), named.encode()) for named in uids)
        answer = httpx.post(
            f"http://127.0.0.1:{web.port}/dicom-web/studies",
            content=body,
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": TYPE},
            timeout=SECONDS,
        )
        statuses.append(answer.status_code)

    clients = [threading.Thread(target=store) for _ in range(ASSOCIATIONS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert statuses == [200] * ASSOCIATIONS
    calls, keys = web.end(), web.keys()
    assert len(keys) == ASSOCIATIONS * OBJECTS
    for named, key in keys.items():
        answered_after_syncs(calls, key, status_for(named, calls))
    figure("instances of STOW-RS requests, all of them synced before the answer", len(keys))
