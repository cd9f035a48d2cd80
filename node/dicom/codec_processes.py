"""Codecs in processes of their own: a crash, a bomb or an endless loop costs one frame, never the node."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from node.dicom.codec_wire import Request, Task, read_codestream, read_image, refusal
from node.dicom.codecs import DecodedImage
from node.dicom.pixel_layout import PixelLayout
from node.dicom.process_apart import Lost, ProcessApart
from node.dicom.process_wire import Answer
from node.domain.codecs import CodecLimits
from node.domain.errors import (
    CodecsUnavailable,
    DecodeFailed,
    EncodeFailed,
    GroundglassError,
    ProcessUnavailable,
)

log = logging.getLogger(__name__)

WORKER: Final = "node.dicom.codec_worker"
PATIENCE: Final = 2
"""On the clock a frame may take so many times its processor time: other work may have the processors."""
TRIES: Final = 2
"""A process that the system ended for reasons of its own says nothing of the frame; a second one does."""

Result = TypeVar("Result")


class CodecProcesses:
    """Codecs that run apart from the node. Implements ``Codecs``; may be used by several threads.

    Parameters
    ----------
    limits : CodecLimits, optional
    """

    def __init__(self, limits: CodecLimits | None = None) -> None:
        self._limits = limits or CodecLimits()
        self._free: queue.LifoQueue[ProcessApart] = queue.LifoQueue()
        for _ in range(self._limits.processes):
            self._free.put(ProcessApart(WORKER, memory_bytes=self._limits.memory_bytes))

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
        def taken(answer: Answer, shared: int) -> Result:
            reason = refusal(answer)
            if reason is not None:
                raise _Refused(reason)
            return take(answer, shared)

        patience = PATIENCE * self._limits.seconds
        process = self._free.get()
        try:
            for attempt in range(1, TRIES + 1):
                try:
                    return process.ask(request.line, data, taken, patience=patience)
                except Lost as error:
                    process.stop()
                    log.warning("a codec process is gone: %s", error)
                    if attempt == TRIES or not error.may_pass:
                        raise _Refused(f"its codec {error}") from error
                except _Refused:
                    raise
                except ProcessUnavailable as error:
                    raise CodecsUnavailable(f"no process for codecs: {error}") from error
                except BaseException:  # its answer may still come, and is nobody's
                    process.stop()
                    raise
        finally:
            self._free.put(process)
        raise AssertionError("the last attempt returns or raises")


class _Refused(GroundglassError):
    """A codec gives nothing for a frame."""
