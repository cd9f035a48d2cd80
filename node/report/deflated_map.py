"""The data set of a map, deflated (PS3.5 A.5) frame by frame: padding costs hardly any bytes or time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from struct import pack
from typing import Final

import numpy as np

from node.report.map_groups import MapFrame

LEVEL: Final = 4
"""Of zlib. Higher ones save one byte in a hundred of a map and take half as long again."""
BYTES_A_PIXEL: Final = 4


def deflated(head: bytes, frames: Sequence[MapFrame], exponent: int) -> Iterator[bytes]:
    """Deflate a data set with Float Pixel Data (7FE0,0008) at its end, in pieces of at most one frame.

    A full flush behind each frame makes it a piece that refers to nothing before it (RFC 1951), so that all
    frames of padding are one piece, deflated once.

    Parameters
    ----------
    head : bytes
        All other elements, in Explicit VR Little Endian.
    frames : sequence of MapFrame
        In order, all of one size.
    exponent : int
        Each value is stored in units of two to this power; padding as it is.

    Yields
    ------
    bytes
        To an even length in all.
    """
    length = BYTES_A_PIXEL * frames[0].values.size * len(frames)
    element = pack("<HH2sHI", 0x7FE0, 0x0008, b"OF", 0, length)
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    written = 0
    padding = b""
    piece = deflate.compress(head + element) + deflate.flush(zlib.Z_FULL_FLUSH)
    for frame in frames:
        yield piece
        written += len(piece)
        if frame.is_padding and padding:
            piece = padding
            continue
        values = frame.values if frame.is_padding else np.ldexp(frame.values, -exponent)
        pixels = np.ascontiguousarray(values, "<f4").data
        piece = deflate.compress(pixels) + deflate.flush(zlib.Z_FULL_FLUSH)
        padding = piece if frame.is_padding else padding
    piece += deflate.flush()
    yield piece + b"\0" * ((written + len(piece)) % 2)
