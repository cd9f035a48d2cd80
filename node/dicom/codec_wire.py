"""What node and codec process say to each other: a line each way, and the bytes in a file that both hold.

Everything that comes back is checked as if a peer had written it: the process has read a peer's bytes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from node.dicom.codecs import DecodedImage, Raw
from node.dicom.pixel_layout import MAX_FRAME_BYTES, PixelLayout
from node.domain.errors import DecodeFailed, EncodeFailed

LINE: Final = 4096
"""Bytes of an answer at most: a pipe takes so many at once or none (POSIX PIPE_BUF on Linux)."""
MOST_RESULT_BYTES: Final = 4 * MAX_FRAME_BYTES
"""A decoder may give words that are wider than BitsAllocated."""
MOST_TEXT: Final = 500
COLOURS: Final = re.compile(r"[A-Z0-9_ ]{1,16}")
"""A PhotometricInterpretation: VR CS (PS3.5 section 6.2)."""


class Task(StrEnum):
    """What a process can be asked to do."""

    DECODE = "decode"
    ENCODE = "encode"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One frame for a codec; its bytes are in the file."""

    task: Task
    transfer_syntax_uid: str
    layout: PixelLayout
    size: int
    seconds: int
    """Of processor time."""

    def line(self, number: int) -> bytes:
        """Return it as a line with a number, which its answer has, too."""
        return json.dumps({"number": number, **dataclasses.asdict(self)}).encode("ascii") + b"\n"

    @classmethod
    def read(cls, line: bytes) -> tuple[int, Request]:
        """Read a line that the node wrote."""
        values = json.loads(line)
        number = int(values.pop("number"))
        layout = PixelLayout(**values.pop("layout"))
        return number, cls(task=Task(values.pop("task")), layout=layout, **values)


def answer_line(answer: Mapping[str, object]) -> bytes:
    """Return an answer as a line that a pipe takes at once: its one text is short."""
    return json.dumps(answer).encode("ascii") + b"\n"


def read_answer(line: bytes) -> Mapping[str, object]:
    """Read the line of a codec process.

    Raises
    ------
    ValueError
        It is none.
    """
    answer = json.loads(line)
    if not isinstance(answer, dict):
        raise ValueError("an answer is an object")  # noqa: TRY004 -- one error for whatever it is
    return answer


def refusal(answer: Mapping[str, object]) -> str | None:
    """Return why a codec refused a frame, None when it did not."""
    text = answer.get("refused")
    return None if text is None else "".join(filter(str.isprintable, str(text)))[:MOST_TEXT]


def image_answer(image: DecodedImage) -> Mapping[str, object]:
    """Return what is said of a decoded image, whose words are in the file."""
    return {
        "words": image.words.dtype.str,
        "colours": image.photometric_interpretation,
        "size": image.words.nbytes,
    }


def read_image(answer: Mapping[str, object], descriptor: int, layout: PixelLayout) -> DecodedImage:
    """Take a decoded image over from the file.

    Raises
    ------
    DecodeFailed
        It is not the one that was asked for.
    """
    kind, colours = str(answer.get("words")), str(answer.get("colours"))
    if re.fullmatch(r"[<|][iu][124]", kind) is None or COLOURS.fullmatch(colours) is None:
        raise DecodeFailed("a decoder gave something else than pixels")
    shape = (layout.rows, layout.columns) + ((layout.samples,) if layout.samples > 1 else ())
    words: Raw = np.empty(shape, dtype=kind)
    if answer.get("size") != words.nbytes or not read_into(descriptor, memoryview(words.data).cast("B")):
        raise DecodeFailed("a decoder gave another number of pixels than announced")
    return DecodedImage(words=words, photometric_interpretation=colours)


def read_codestream(answer: Mapping[str, object], descriptor: int) -> bytes:
    """Take an encoded frame over from the file.

    Raises
    ------
    EncodeFailed
        There is none.
    """
    size = answer.get("size")
    if not isinstance(size, int) or not 0 < size <= MOST_RESULT_BYTES:
        raise EncodeFailed("an encoder gave something else than a frame")
    data = read_bytes(descriptor, size)
    if data is None:
        raise EncodeFailed("an encoder gave fewer bytes than announced")
    return data


def read_bytes(descriptor: int, size: int) -> bytes | None:
    """Return the first bytes of the file, None when there are fewer."""
    data = bytearray(size)
    return bytes(data) if read_into(descriptor, memoryview(data)) else None


def read_into(descriptor: int, view: memoryview) -> bool:
    """Fill a buffer from the beginning of the file; return whether there was enough."""
    at = 0
    while at < len(view):
        count = os.preadv(descriptor, [view[at:]], at)
        if not count:
            return False
        at += count
    return True


def write_from(descriptor: int, data: bytes | memoryview) -> None:
    """Write bytes to the beginning of the file.

    Raises
    ------
    OSError
    """
    view = memoryview(data).cast("B")
    at = 0
    while at < len(view):
        at += os.pwrite(descriptor, view[at:], at)
