"""Compressed frames on which a codec does not answer."""

from __future__ import annotations

SIDE = 64
"""Rows and columns of the frames."""

JPEG_LOSSLESS = (
    "ffd8"
    "ffe000104a46494600010100000100010000"  # JFIF
    "ffc3000b{precision:02x}0040004001011100"  # frame header, ITU-T T.81 B.2.2
    "ffc4001500010100000000000000000000000000000010"  # Huffman table, B.2.4.2
    "ffda0008010100010000"  # scan header, B.2.3
    "80"
)


def ends_its_process() -> bytes:
    """Return a JPEG Lossless frame with well-formed segments on which GDCM ends by SIGSEGV.

    Its precision is of 18 bits (T.81 table B.2: 2 to 16).
    """
    return bytes.fromhex(JPEG_LOSSLESS.format(precision=18)) + bytes(512) + b"\xff\xd9"
