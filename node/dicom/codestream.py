"""What a compressed frame announces of itself, read before a decoder allocates for it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # ITU-T T.81 table B.1
START_OF_FRAME_LS = 0xF7  # ITU-T T.87 C.1.1
STAND_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment, T.81 B.1.1.3
START_OF_SCAN = 0xDA
END_OF_IMAGE = 0xD9
J2K_START = b"\xff\x4f\xff\x51"  # SOC and SIZ, ITU-T T.800 A.4.1 and A.5.1
JP2_SEARCH_BYTES = 1024
"""A codestream wrapped in the boxes of a JP2 file begins within this."""


@dataclass(frozen=True, kw_only=True)
class FrameSize:
    """What the codestream says."""

    rows: int
    columns: int
    samples: int
    bits: int
    """Of a sample, the first one where they differ."""


def frame_size(data: bytes) -> FrameSize | None:
    """Return the size that a JPEG, JPEG-LS, JPEG 2000 or HTJ2K codestream announces.

    Parameters
    ----------
    data : bytes
        One compressed frame.

    Returns
    -------
    FrameSize or None
        None when the bytes are none of these.
    """
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    start = data.find(J2K_START, 0, JP2_SEARCH_BYTES)
    return _jpeg_2000(data, start + len(J2K_START)) if start >= 0 else None


def _jpeg(data: bytes) -> FrameSize | None:
    """Read the frame header, of a codestream whose segments follow one another up to its first scan.

    What a decoder would have to find its way through is refused: GDCM's ends the process on some of it.
    """
    at = 2
    size: FrameSize | None = None
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte, T.81 B.1.1.2
            at += 1
        elif marker in STAND_ALONE:
            at += 2
        elif marker == START_OF_SCAN:
            return size
        elif marker == END_OF_IMAGE:
            return None
        else:
            if size is None and (marker in START_OF_FRAME or marker == START_OF_FRAME_LS):
                size = _jpeg_frame(data, at)
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _jpeg_frame(data: bytes, at: int) -> FrameSize | None:
    """Read a frame header (T.81 B.2.2, T.87 C.2.2)."""
    if at + 10 > len(data):
        return None
    bits, rows, columns, samples = struct.unpack_from(">BHHB", data, at + 4)
    return FrameSize(rows=rows, columns=columns, samples=samples, bits=bits)


def _jpeg_2000(data: bytes, at: int) -> FrameSize | None:
    """Read the SIZ segment: length, capabilities, then the sizes (T.800 A.5.1)."""
    if at + 39 > len(data):
        return None
    width, height, left, top = struct.unpack_from(">IIII", data, at + 4)
    samples, depth = struct.unpack_from(">HB", data, at + 36)
    return FrameSize(rows=height - top, columns=width - left, samples=samples, bits=(depth & 0x7F) + 1)
