"""The object in an answer of WADO-RS: the first part of a multipart body, or the body itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message
from typing import Final

from node.domain.errors import DestinationRefused

DICOM: Final = "application/dicom"
BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}")
"""RFC 2046 section 5.1.1."""
MOST_HEAD_BYTES: Final = 16 * 1024
"""What may stand before the content of the first part."""


def dicom_content(content_type: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the bytes of the PS3.10 file in an answer (PS3.18 section 8.7.1).

    Parameters
    ----------
    content_type : str
        Of the answer.
    chunks : iterator of bytes
        Its body; of a further part nothing is read.

    Raises
    ------
    DestinationRefused
        The answer holds no such file, or ends within it.
    """
    header = Message()
    header["Content-Type"] = content_type
    if header.get_content_type() == DICOM:
        yield from chunks
        return
    boundary = header.get_param("boundary", "")
    if header.get_content_maintype() != "multipart" or not isinstance(boundary, str):
        raise DestinationRefused("the answer to WADO-RS is not DICOM")
    if BOUNDARY.fullmatch(boundary) is None:
        raise DestinationRefused("the answer to WADO-RS names no boundary of its parts")
    delimiter = b"\r\n--" + boundary.encode("ascii")
    yield from _until(delimiter, _behind_head(delimiter, chunks), chunks)


def _behind_head(delimiter: bytes, chunks: Iterator[bytes]) -> bytes:
    """Read preamble, first delimiter and part headers; return what was read beyond."""
    held = b"\r\n"  # the first delimiter may stand at the very beginning
    while True:
        begin = held.find(delimiter)
        end = held.find(b"\r\n\r\n", begin + len(delimiter)) if begin >= 0 else -1
        if end >= 0:
            return held[end + 4 :]
        chunk = next(chunks, b"")
        if not chunk or len(held) > MOST_HEAD_BYTES:
            raise DestinationRefused("the answer to WADO-RS has no part")
        held += chunk


def _until(delimiter: bytes, held: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield bytes up to the next delimiter; no more is held back than could be its beginning."""
    while True:
        end = held.find(delimiter)
        if end >= 0:
            yield held[:end]
            return
        keep = len(delimiter) - 1
        if len(held) > keep:
            yield held[:-keep]
            held = held[-keep:]
        chunk = next(chunks, b"")
        if not chunk:
            raise DestinationRefused("the answer to WADO-RS ends within an object")
        held += chunk
