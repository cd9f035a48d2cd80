"""The whole node as a process that starts within a second, for drills that start it a thousand times."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.faults.serving_child import MOVED
from tests.journey.node_process import START_SECONDS, NodeProcess, environment
from tests.journey.orthanc import wait_for
from tests.model_folder import phantom_slices, write_model_folder

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("serving_child.py")


class ForkedNode(NodeProcess):
    """A node with the tiny network, on a folder or on a small file system of its own.

    Parameters
    ----------
    folder : Path
    mebibytes : int
        Size of a file system in memory that only the node sees as its data folder; 0 for none.
    how : Any
        As `NodeProcess` takes it.
    """

    def __init__(self, folder: Path, *, mebibytes: int = 0, **how: Any) -> None:
        models = folder / "models"
        models.mkdir(parents=True)
        write_model_folder(models, phantom_slices())
        infer = f'model = "tiny"\nmodels_dir = "{models}"'
        super().__init__(folder, infer=infer, health="least_free_bytes = 0" if mebibytes else "", **how)
        self.move_clock(0)
        (folder / "data").mkdir()
        self._command = [sys.executable, str(CHILD), str(self.config)]
        if mebibytes:
            user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
            mount = f'mount -t tmpfs -o size={mebibytes}m none "$0" && exec "$@"'
            shell = ["sh", "-c", mount, str(folder / "data"), *self._command]
            self._command = ["unshare", *user, "--mount", *shell]
        self._mounts = bool(mebibytes)
        self._pid = 0

    def move_clock(self, seconds: float) -> None:
        """Let the node's clock show so much more than the machine's."""
        moved = self.folder / MOVED
        part = moved.with_suffix(".part")
        part.write_text(str(seconds))
        part.rename(moved)

    @property
    def data(self) -> Path:
        """The data folder as the node sees it."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root") / (self.folder / "data").relative_to("/")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask a copy of the index: SQLite itself does not find into a file system of the node's own."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("index.sqlite-wal", "index.sqlite"):
                if (self.data / name).exists():
                    shutil.copy(self.data / name, folder)
            with closing(sqlite3.connect(Path(folder) / "index.sqlite")) as index:
                return index.execute(query).fetchall()

    @property
    def within(self) -> list[str]:
        """What a command line begins with that sees the node's file systems."""
        if not self._mounts:
            return []
        assert self.process is not None
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self.process.pid), *user, "--mount"]

    def start(self) -> None:
        """Start a node and wait until it is ready."""
        if self.process is None:
            with (self.folder / "node.log").open("ab") as log:
                self.process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**environment(), "PYTHONPATH": str(ROOT)},
                )
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        self._pid = int(self._told())
        wait_for(self.ready, seconds=START_SECONDS, what="the node to be ready")

    def _told(self) -> bytes:
        assert self.process is not None
        assert self.process.stdout is not None
        while not (line := self.process.stdout.readline()).strip().isdigit() and line != b"\n":
            assert line, f"the node's process ended:\n{(self.folder / 'node.log').read_text()[-4000:]}"
        return line

    def end(self, number: signal.Signals) -> None:
        """Send a signal to the node and wait until it is gone."""
        os.kill(self._pid, number)
        while self._told() != b"\n":
            pass
        self._pid = 0

    def kill(self) -> None:
        """End the node as a loss of power would: SIGKILL."""
        self.end(signal.SIGKILL)

    def stop(self) -> int:
        """End the node as an operator would, and the process that forks it."""
        assert self.process is not None
        if self._pid:
            self.end(signal.SIGTERM)
        self.process.communicate(timeout=30)
        return self.process.returncode
