"""One process beside the node: started when it is first asked, bounded, and replaced when it is lost."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from node.dicom.process_wire import LINE, Answer, read_answer, write_from
from node.domain.errors import GroundglassError, ProcessUnavailable

PACKAGES: Final = Path(__file__).resolve().parents[2]
"""Where the package of this module lies."""
KEPT_VARIABLES: Final = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TZ")
"""Of the environment; what else the node was told, secrets among it, is nothing to a process apart."""
OWN_VARIABLES: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # A frame's memory stays for the next frame: fresh pages cost a quarter of decoding it.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
}
ASKED_PER_PROCESS: Final = 10_000
"""After so many requests a process is replaced: what a library leaks stays small."""
KEPT_BYTES: Final = 1 << 23
"""A larger file is given back to the system after its request."""
START_SECONDS: Final = 60
"""Until a process has loaded its libraries and answers."""
ENDING_SECONDS: Final = 5
"""For the system to end a process that has closed its answers."""

Result = TypeVar("Result")


class Lost(GroundglassError):
    """A process is not there any more, or must not be."""

    def __init__(self, reason: str, *, may_pass: bool) -> None:
        super().__init__(reason)
        self.may_pass = may_pass
        """Whether the same request may succeed in another process."""


class ProcessApart:
    """A process that answers requests; used by one thread at a time.

    Parameters
    ----------
    module : str
        What runs in it: it calls `node.dicom.process_inside.serve`.
    memory_bytes : int
        What it may use beyond what its libraries take.
    """

    def __init__(self, module: str, *, memory_bytes: int) -> None:
        self._module = module
        self._memory_bytes = memory_bytes
        self._running: _Running | None = None
        self._asked = 0

    def ask(
        self,
        request: Callable[[int], bytes],
        data: bytes | memoryview,
        take: Callable[[Answer, int], Result],
        *,
        patience: int,
    ) -> Result:
        """Let the process work on something, and take its result over.

        Parameters
        ----------
        request : callable
            Given a number, returns the line with that number.
        data : bytes
            What stands in the shared file.
        take : callable
            Given the answer and the descriptor of the shared file; what it raises passes through.
        patience : int
            Seconds on the clock.

        Raises
        ------
        Lost
            The caller stops it then.
        ProcessUnavailable
        """
        running = self._started()
        self._asked += 1
        try:
            write_from(running.shared, data)
            os.write(running.requests, request(self._asked))
        except BrokenPipeError as error:
            raise Lost("ended before it was asked", may_pass=True) from error
        line = running.line(patience)
        try:
            answer = read_answer(line)
        except ValueError as error:
            raise Lost("gave no answer that can be read", may_pass=True) from error
        if answer.get("number") != self._asked:
            raise Lost("gave the answer to something else", may_pass=True)
        try:
            return take(answer, running.shared)
        finally:
            if os.fstat(running.shared).st_size > KEPT_BYTES:
                os.ftruncate(running.shared, 0)

    def stop(self) -> None:
        """End the process, if there is one; it starts again when it is asked."""
        if self._running is not None:
            self._running.end()
            self._running = None

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._running is None else self._running.child.pid

    def _started(self) -> _Running:
        if self._asked >= ASKED_PER_PROCESS:
            self.stop()
        if self._running is None:
            self._asked = 0
            self._running = start(self._module, self._memory_bytes)
        return self._running


@dataclass(frozen=True, kw_only=True)
class _Running:
    """A process, and what leads to it."""

    child: subprocess.Popen[bytes]
    requests: int
    """Descriptor to write to."""
    answers: int
    """Descriptor to read from."""
    shared: int
    """Descriptor of a file in memory that both have."""
    end: Callable[[], object]
    """Ends it and closes the descriptors, once; done at the latest when this is forgotten."""

    def line(self, seconds: int) -> bytes:
        """Return what the process answers.

        Raises
        ------
        Lost
            It ended, or did not answer in time.
        """
        waiting = select.poll()
        waiting.register(self.answers, select.POLLIN)
        if not waiting.poll(seconds * 1000):
            raise Lost(f"took more than {seconds} s", may_pass=False)
        line = os.read(self.answers, LINE)
        if line:
            return line
        try:
            status = self.child.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Lost("says nothing more, and goes on", may_pass=True) from error
        if status == -signal.SIGXCPU:
            raise Lost("took more processor time than it may", may_pass=False)
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        raise Lost(f"ended by {name}", may_pass=True)


def start(module: str, memory_bytes: int) -> _Running:
    """Start a process and wait until it has loaded its libraries.

    Raises
    ------
    ProcessUnavailable
    """
    open_ones: list[int] = []
    try:
        theirs, requests = os.pipe()
        open_ones += [theirs, requests]
        answers, given = os.pipe()
        open_ones += [answers, given]
        life, held = os.pipe()
        open_ones += [life, held]
        shared = os.memfd_create("shared")
        open_ones.append(shared)
        command = [sys.executable, "-P", "-s", "-m", module]
        child = subprocess.Popen(
            [*command, *map(str, (theirs, given, shared, life, memory_bytes))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs, given, shared, life),
            env=_environment(),
            # A signal for the node's terminal is the node's. A session of its own would be scheduled as a
            # group of its own, in which no priority counts against the node's (sched(7), autogroup).
            process_group=0,
        )
    except OSError as error:
        for descriptor in open_ones:
            os.close(descriptor)
        raise ProcessUnavailable(f"{module}: no process can be started: {error.strerror}") from error
    os.close(theirs)
    os.close(given)
    os.close(life)
    end = _Ending(child, (requests, answers, shared, held))
    running = _Running(child=child, requests=requests, answers=answers, shared=shared, end=end)
    try:
        running.line(START_SECONDS)
    except Lost as error:
        end()
        raise ProcessUnavailable(f"{module}: its process does not start: it {error}") from error
    return running


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | OWN_VARIABLES | {"PYTHONPATH": str(PACKAGES)}


class _Ending:
    """Ends a process and closes what leads to it: when called, or when nobody knows it any more."""

    def __init__(self, child: subprocess.Popen[bytes], descriptors: tuple[int, ...]) -> None:
        self._finish = weakref.finalize(self, _finish, child, descriptors)

    def __call__(self) -> None:
        self._finish()


def _finish(child: subprocess.Popen[bytes], descriptors: tuple[int, ...]) -> None:
    child.kill()
    child.wait()
    for descriptor in descriptors:
        os.close(descriptor)
