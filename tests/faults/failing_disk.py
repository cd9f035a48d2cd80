"""Disks that fail or are full, for real: system calls made to fail, and a file system of a few MiB."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from node.dimse.scu import Remote
from tests.station.receiving_node import AE_TITLE, wait_until

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("receiving_child.py")
SECONDS = 30


class ReceivingProcess:
    """A receiving node as a process, on a folder or on a small file system of its own.

    Parameters
    ----------
    folder : Path
    mebibytes : int
        Size of a file system in memory that only this process sees at ``folder``; 0 for none.
    tracing : sequence of str
        A command line that starts it and records what it does.
    """

    def __init__(self, folder: Path, *, mebibytes: int = 0, tracing: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command = [*tracing, sys.executable, str(CHILD), str(folder)]
        if mebibytes:
            user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
            mount = f'mount -t tmpfs -o size={mebibytes}m none "$0" && exec "$@"'
            command = ["unshare", *user, "--mount", "sh", "-c", mount, str(folder), *command]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdout is not None
        port = int(self._process.stdout.readline())
        self.remote = Remote(ae_title=AE_TITLE, host="127.0.0.1", port=port)
        inside = Path(f"/proc/{self._process.pid}/root") if mebibytes else Path("/")
        self.root = inside / folder.relative_to("/")

    def __enter__(self) -> ReceivingProcess:
        return self

    def __exit__(self, *_failure: object) -> None:
        self._process.communicate("", timeout=SECONDS)

    def kill(self) -> None:
        """End the process as a loss of power would."""
        self._process.kill()
        self._process.communicate(timeout=SECONDS)

    @contextmanager
    def failing(self, call: str, error: str) -> Iterator[None]:
        """Let every system call of a name fail, in this process, for as long as the context lasts."""
        with self._traced(*failing(call, error)):
            yield

    @contextmanager
    def recorded(
        self, calls: str, trace: Path, *, failing: str = "", buffers: Sequence[str] = ("-s", "8192")
    ) -> Iterator[None]:
        """Record system calls of this process, those of all threads in one order.

        Parameters
        ----------
        calls : str
            Their names.
        trace : Path
            Where to.
        failing : str
            Which of them fail, and how, in the words of strace.
        buffers : sequence of str
            How much of what they write is recorded, and how, in the same words.
        """
        inject = ["-e", f"inject={failing}"] if failing else []
        with self._traced("-y", *buffers, "-o", str(trace), "-e", f"trace={calls}", *inject):
            yield

    def _traced(self, *arguments: str) -> AbstractContextManager[None]:
        return traced([self._process.pid], *arguments)

    def rows(self, query: str) -> list[tuple[str, ...]]:
        """Ask a copy of the index, made while nobody writes: SQLite itself does not find into this mount."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("index.sqlite", "index.sqlite-wal"):
                shutil.copy(self.root / name, folder)
            index = sqlite3.connect(Path(folder) / "index.sqlite")
            found: list[tuple[str, ...]] = index.execute(query).fetchall()
            index.close()
        return found


@contextmanager
def traced(processes: Sequence[int], *arguments: str) -> Iterator[None]:
    """Trace every thread of some processes for as long as the context lasts.

    Parameters
    ----------
    processes : sequence of int
        Their numbers; each lets itself be traced.
    *arguments : str
        Of strace.
    """
    attached = [part for process in processes for part in ("-p", str(process))]
    with subprocess.Popen(["strace", "-f", "-qq", *arguments, *attached]) as tracer:
        try:
            tasks = [task for process in processes for task in _tasks(process)]
            wait_until(lambda: all(map(_is_traced, tasks)), "the processes are traced")
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(timeout=SECONDS)


def failing(call: str, error: str) -> list[str]:
    """Return the arguments of strace that let every system call of a name fail."""
    return ["-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:error={error}"]


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def _is_traced(task: Path) -> bool:
    try:
        return "TracerPid:\t0\n" not in (task / "status").read_text()
    except FileNotFoundError:
        return True  # a thread that has ended


def fill(ballast: Path, *, keep: int) -> None:
    """Leave ``keep`` bytes of the file system free."""
    free = shutil.disk_usage(ballast.parent).free
    with ballast.open("wb") as file:
        file.write(bytes(max(free - keep, 0)))
