"""Codecs in processes of their own: a crash, a bomb or an endless loop costs one frame, never the node."""

from __future__ import annotations

import logging
import os
import queue
import select
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from node.dicom.codec_wire import (
    LINE,
    Request,
    Task,
    read_answer,
    read_codestream,
    read_image,
    refusal,
    write_from,
)
from node.dicom.codecs import DecodedImage
from node.dicom.pixel_layout import PixelLayout
from node.domain.codecs import CodecLimits
from node.domain.errors import CodecsUnavailable, DecodeFailed, EncodeFailed, GroundglassError

log = logging.getLogger(__name__)

PACKAGES: Final = Path(__file__).resolve().parents[2]
"""Where the package of this module lies."""
KEPT_VARIABLES: Final = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TZ")
"""Of the environment; what else the node was told, secrets among it, is nothing to a codec."""
OWN_VARIABLES: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # A frame's memory stays for the next frame: fresh pages cost a quarter of decoding it.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
}
FRAMES_PER_PROCESS: Final = 10_000
"""After so many a process is replaced: what a library leaks stays small."""
KEPT_BYTES: Final = 1 << 23
"""A larger file is given back to the system after its frame."""
START_SECONDS: Final = 60
"""Until a process has loaded its libraries and answers."""
PATIENCE: Final = 2
"""On the clock a frame may take so many times its processor time: other work may have the processors."""
TRIES: Final = 2
"""A process that the system ended for reasons of its own says nothing of the frame; a second one does."""

Answer = Mapping[str, object]
Result = TypeVar("Result")


class CodecProcesses:
    """Codecs that run apart from the node. Implements ``Codecs``; may be used by several threads.

    Parameters
    ----------
    limits : CodecLimits, optional
    """

    def __init__(self, limits: CodecLimits | None = None) -> None:
        self._limits = limits or CodecLimits()
        self._free: queue.LifoQueue[_Process] = queue.LifoQueue()
        for _ in range(self._limits.processes):
            self._free.put(_Process(self._limits))

    def decode(self, codestream: bytes, transfer_syntax_uid: str, layout: PixelLayout) -> DecodedImage:
        """Decode one frame; see ``Codecs.decode``.

        Raises
        ------
        DecodeFailed
            The codec refused the frame, or did not survive it.
        CodecsUnavailable
            No process can be started now.
        """
        request = self._request(Task.DECODE, transfer_syntax_uid, layout, len(codestream))
        try:
            return self._asked(request, codestream, partial(read_image, layout=layout))
        except _Refused as error:
            raise DecodeFailed(str(error)) from error

    def encode(self, words: bytes, transfer_syntax_uid: str, layout: PixelLayout) -> bytes:
        """Encode one frame; see ``Codecs.encode``.

        Raises
        ------
        EncodeFailed
            The codec refused the frame, or did not survive it.
        CodecsUnavailable
            No process can be started now.
        """
        request = self._request(Task.ENCODE, transfer_syntax_uid, layout, len(words))
        try:
            return self._asked(request, words, read_codestream)
        except _Refused as error:
            raise EncodeFailed(str(error)) from error

    def close(self) -> None:
        """End every process, each when its frame is done; they start again when they are needed."""
        taken = [self._free.get() for _ in range(self._limits.processes)]
        for process in taken:
            process.stop()
            self._free.put(process)

    def _request(self, task: Task, transfer_syntax_uid: str, layout: PixelLayout, size: int) -> Request:
        return Request(
            task=task,
            transfer_syntax_uid=transfer_syntax_uid,
            layout=layout,
            size=size,
            seconds=self._limits.seconds,
        )

    def _asked(self, request: Request, data: bytes, take: Callable[[Answer, int], Result]) -> Result:
        process = self._free.get()
        try:
            for attempt in range(1, TRIES + 1):
                try:
                    return process.ask(request, data, take)
                except _Lost as error:
                    process.stop()
                    log.warning("a codec process is gone: %s", error)
                    if attempt == TRIES or not error.may_pass:
                        raise _Refused(f"its codec {error}") from error
                except _Refused:
                    raise
                except BaseException:  # its answer may still come, and is nobody's
                    process.stop()
                    raise
        finally:
            self._free.put(process)
        raise AssertionError("the last attempt returns or raises")


class _Refused(GroundglassError):
    """A codec gives nothing for a frame."""


class _Lost(GroundglassError):
    """A process is not there any more, or must not be."""

    def __init__(self, reason: str, *, may_pass: bool) -> None:
        super().__init__(reason)
        self.may_pass = may_pass


class _Process:
    """One codec process, started when it is first asked; used by one thread at a time."""

    def __init__(self, limits: CodecLimits) -> None:
        self._limits = limits
        self._running: _Running | None = None
        self._served = 0

    def ask(self, request: Request, data: bytes, take: Callable[[Answer, int], Result]) -> Result:
        """Let a codec work on a frame, and take its result over.

        Raises
        ------
        _Refused, _Lost, CodecsUnavailable
        """
        running = self._started()
        self._served += 1
        try:
            write_from(running.pixels, data)
            os.write(running.requests, request.line(self._served))
        except BrokenPipeError as error:
            raise _Lost("ended before it was asked", may_pass=True) from error
        line = running.line(PATIENCE * self._limits.seconds)
        try:
            answer = read_answer(line)
        except ValueError as error:
            raise _Lost("gave no answer that can be read", may_pass=True) from error
        if answer.get("number") != self._served:
            raise _Lost("gave the answer to something else", may_pass=True)
        try:
            reason = refusal(answer)
            if reason is not None:
                raise _Refused(reason)
            return take(answer, running.pixels)
        finally:
            if os.fstat(running.pixels).st_size > KEPT_BYTES:
                os.ftruncate(running.pixels, 0)

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._running is not None:
            self._running.end()
            self._running = None

    def _started(self) -> _Running:
        if self._served >= FRAMES_PER_PROCESS:
            self.stop()
        if self._running is None:
            self._served = 0
            self._running = _start(self._limits)
        return self._running


@dataclass(frozen=True, kw_only=True)
class _Running:
    """A process, and what leads to it."""

    child: subprocess.Popen[bytes]
    requests: int
    """Descriptor to write to."""
    answers: int
    """Descriptor to read from."""
    pixels: int
    """Descriptor of a file in memory that both have."""
    end: Callable[[], object]
    """Ends it and closes the descriptors, once; done at the latest when this is forgotten."""

    def line(self, seconds: int) -> bytes:
        """Return what the process answers.

        Raises
        ------
        _Lost
            It ended, or did not answer in time.
        """
        waiting = select.poll()
        waiting.register(self.answers, select.POLLIN)
        if not waiting.poll(seconds * 1000):
            raise _Lost(f"took more than {seconds} s", may_pass=False)
        line = os.read(self.answers, LINE)
        if line:
            return line
        status = self.child.wait()
        if status == -signal.SIGXCPU:
            raise _Lost("took more processor time than it may", may_pass=False)
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        raise _Lost(f"ended by {name}", may_pass=True)


def _start(limits: CodecLimits) -> _Running:
    """Start a process and wait until it has loaded its libraries.

    Raises
    ------
    CodecsUnavailable
    """
    open_ones: list[int] = []
    try:
        theirs, requests = os.pipe()
        open_ones += [theirs, requests]
        answers, given = os.pipe()
        open_ones += [answers, given]
        life, held = os.pipe()
        open_ones += [life, held]
        pixels = os.memfd_create("pixels")
        open_ones.append(pixels)
        command = [sys.executable, "-P", "-s", "-m", "node.dicom.codec_worker"]
        child = subprocess.Popen(
            [*command, *map(str, (theirs, given, pixels, life, limits.memory_bytes))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs, given, pixels, life),
            env=_environment(),
            start_new_session=True,  # a signal for the node's terminal is the node's
        )
    except OSError as error:
        for descriptor in open_ones:
            os.close(descriptor)
        raise CodecsUnavailable(f"no process for codecs can be started: {error.strerror}") from error
    os.close(theirs)
    os.close(given)
    os.close(life)
    end = _Ending(child, (requests, answers, pixels, held))
    running = _Running(child=child, requests=requests, answers=answers, pixels=pixels, end=end)
    try:
        running.line(START_SECONDS)
    except _Lost as error:
        end()
        raise CodecsUnavailable(f"a process for codecs does not start: it {error}") from error
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
