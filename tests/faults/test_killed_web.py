"""SIGKILL at random moments while four clients store by HTTP: what was answered for is there, and whole."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.station.receiving_node import write_instance
from tests.station.stow_ground import TOKEN, TYPE, body_of, serving

KILLS = int(os.environ.get("GROUNDGLASS_WEB_KILLS", "25"))
CLIENTS = 4
PER_REQUEST = 5
LONGEST_SECONDS = 0.5
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": TYPE}
pytestmark = pytest.mark.faults


class Client(threading.Thread):
    """Stores new instances, some with each request, until there is nobody to store to."""

    def __init__(self, port: int, bodies: Iterator[bytes]) -> None:
        super().__init__()
        self._url = f"http://127.0.0.1:{port}/dicom-web/studies"
        self._bodies = bodies
        self.answered: list[str] = []

    def run(self) -> None:
        with httpx.Client(verify=False) as client:
            for body in self._bodies:
                try:
                    response = client.post(self._url, content=body, headers=HEADERS)
                except httpx.TransportError:
                    return
                assert response.status_code == 200
                stored = response.json()["00081199"]["Value"]
                self.answered += [item["00081155"]["Value"][0] for item in stored]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.faults.killed_web_child", str(tmp_path / "data")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


def bodies(tmp_path: Path) -> Iterator[bytes]:
    """Yield requests, each with instances that were in none before."""
    path, uid = write_instance(tmp_path / "one.dcm")
    data = path.read_bytes()
    for number in itertools.count():
        endings = (f"{number * PER_REQUEST + part:08d}" for part in range(PER_REQUEST))
        yield body_of(data.replace(uid.encode(), f"{uid[:-8]}{ending}".encode()) for ending in endings)


def test_what_was_answered_for_is_there_however_often_the_node_is_killed(
    services: subprocess.Popen[str], tmp_path: Path, figure: Callable[[str, object], None]
) -> None:
    chance, answered = random.Random(2026), []
    made = bodies(tmp_path)
    for _ in range(KILLS):
        services.stdin.write("\n")
        services.stdin.flush()
        pid, port = map(int, services.stdout.readline().split())
        clients = [Client(port, iter([next(made) for _ in range(200)])) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(chance.uniform(0, LONGEST_SECONDS))  # the moment is what is tried
        os.kill(pid, signal.SIGKILL)
        for client in clients:
            client.join(timeout=60)
            assert not client.is_alive()
            answered += client.answered
    with serving(tmp_path / "data") as web:
        with web.store.database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
            rows = connection.exec_driver_sql("SELECT sop_instance_uid, object_key, sha256 FROM instances")
            found = {uid: (key, sha256) for uid, key, sha256 in rows}
        assert set(answered) <= found.keys()
        for key, sha256 in found.values():
            assert hashlib.sha256(web.store.files.path(key).read_bytes()).hexdigest() == sha256
        assert web.spooled() == []
    assert len(answered) > KILLS
    figure("kills while four clients store by HTTP", KILLS)
    figure("instances answered for, indexed and whole", len(answered))
