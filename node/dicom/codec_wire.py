"""What node and codec process say to each other about frames, over `node.dicom.process_wire`."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np

from node.dicom.codecs import DecodedImage, Raw
from node.dicom.pixel_layout import MAX_FRAME_BYTES, PixelLayout
from node.dicom.process_wire import Answer, read_bytes, read_into, shown
from node.domain.errors import DecodeFailed, EncodeFailed

MOST_RESULT_BYTES: Final = 4 * MAX_FRAME_BYTES
"""A decoder may give words that are wider than BitsAllocated."""
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
    def read(cls, values: Mapping[str, Any]) -> Request:
        """Read what the node wrote, without the number."""
        rest = {name: values[name] for name in ("transfer_syntax_uid", "size", "seconds")}
        return cls(task=Task(values["task"]), layout=PixelLayout(**values["layout"]), **rest)


def refusal(answer: Answer) -> str | None:
    """Return why a codec refused a frame, None when it did not."""
    text = answer.get("refused")
    return None if text is None else shown(text)


def image_answer(image: DecodedImage) -> Answer:
    """Return what is said of a decoded image, whose words are in the file."""
    return {
        "words": image.words.dtype.str,
        "colours": image.photometric_interpretation,
        "size": image.words.nbytes,
    }


def read_image(answer: Answer, descriptor: int, layout: PixelLayout) -> DecodedImage:
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


def read_codestream(answer: Answer, descriptor: int) -> bytes:
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
