"""Which fragments of encapsulated pixel data make up which frame (PS3.5 section A.4)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from node.dicom.elements import ITEM, MAX_ELEMENTS, SEQUENCE_END, UNDEFINED
from node.dicom.pixel_layout import MAX_FRAME_BYTES
from node.dicom.stream import FileBytes
from node.domain.errors import DecodeFailed, NotDicom

ITEM_HEAD = 8
"""Bytes of an item's tag and length."""
END_MARKERS = (b"\xff\xd9", b"\xff\xd9\0")
"""EOI of JPEG and JPEG-LS (ITU-T T.81 B.2.1), EOC of JPEG 2000 (T.800 A.4.4), with padding."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """One item of the sequence."""

    offset: int
    """Of its first byte within the file."""
    length: int


class FrameFragments:
    """The fragments of every frame, found once.

    Parameters
    ----------
    stream : BinaryIO
        The file.
    offset : int
        Of the first byte of the pixel data's value.
    number_of_frames : int
    extended_offsets : bytes
        Value of ExtendedOffsetTable, empty without one (PS3.3 C.7.6.3.1.8).

    Raises
    ------
    NotDicom, TruncatedObject
        The value is no sequence of fragments.
    DecodeFailed
        Its fragments cannot be told apart by frame.
    """

    def __init__(
        self, stream: BinaryIO, offset: int, number_of_frames: int, extended_offsets: bytes = b""
    ) -> None:
        stream.seek(offset)
        table, fragments = _items(stream)
        offsets = _offsets(extended_offsets, "<Q") or _offsets(table, "<I")
        if number_of_frames == 1:
            self._frames: list[Sequence[Fragment]] = [fragments]
        elif len(offsets) == number_of_frames:
            self._frames = _by_offsets(fragments, offsets)
        elif len(fragments) == number_of_frames:
            self._frames = [[fragment] for fragment in fragments]
        else:
            self._frames = _by_end_markers(stream, fragments)
        if len(self._frames) < number_of_frames or not all(self._frames[:number_of_frames]):
            raise DecodeFailed(
                f"{len(fragments)} fragments cannot be told apart as {number_of_frames} frames"
            )

    def read(self, stream: BinaryIO, frame: int) -> bytes:
        """Return the codestream of a frame (from 1).

        Raises
        ------
        DecodeFailed
            It is larger than any frame.
        """
        fragments = self._frames[frame - 1]
        if sum(fragment.length for fragment in fragments) > MAX_FRAME_BYTES:
            raise DecodeFailed(f"frame {frame} has more than {MAX_FRAME_BYTES} compressed bytes")
        parts = []
        for fragment in fragments:
            stream.seek(fragment.offset)
            parts.append(stream.read(fragment.length))
        return b"".join(parts)


def _items(stream: BinaryIO) -> tuple[bytes, list[Fragment]]:
    """Return the Basic Offset Table and the fragments behind it."""
    source = FileBytes(stream)
    table: bytes | None = None
    fragments: list[Fragment] = []
    while True:
        group, element, length = struct.unpack("<HHI", source.read(ITEM_HEAD))
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            break
        if tag != ITEM or length == UNDEFINED:
            raise NotDicom("encapsulated pixel data are not a sequence of fragments (PS3.5 A.4)")
        if table is None:
            table = source.read(length)
            continue
        if len(fragments) == MAX_ELEMENTS:
            raise DecodeFailed(f"the pixel data have more than {MAX_ELEMENTS} fragments")
        fragments.append(Fragment(source.position, length))
        source.skip(length)
    return table or b"", fragments


def _offsets(table: bytes, form: str) -> list[int]:
    size = struct.calcsize(form)
    return [value for (value,) in struct.iter_unpack(form, table[: len(table) // size * size])]


def _by_offsets(fragments: Sequence[Fragment], offsets: Sequence[int]) -> list[Sequence[Fragment]]:
    """Tell frames apart by where they begin, counted from the first fragment's item."""
    if not fragments:
        return []
    first = fragments[0].offset - ITEM_HEAD
    places = {fragment.offset - ITEM_HEAD - first: index for index, fragment in enumerate(fragments)}
    begins = [places.get(offset, -1) for offset in offsets]
    if begins[0] != 0 or any(later <= earlier for earlier, later in pairwise(begins)):
        raise DecodeFailed("the offset table does not lead to the frames")
    return [fragments[begin:end] for begin, end in zip(begins, [*begins[1:], len(fragments)], strict=True)]


def _by_end_markers(stream: BinaryIO, fragments: Sequence[Fragment]) -> list[Sequence[Fragment]]:
    """Tell frames apart by the marker with which a codestream ends."""
    found: list[Sequence[Fragment]] = []
    begin = 0
    for index, fragment in enumerate(fragments):
        kept = min(fragment.length, len(END_MARKERS[-1]))
        stream.seek(fragment.offset + fragment.length - kept)
        if stream.read(kept).endswith(END_MARKERS):
            found.append(fragments[begin : index + 1])
            begin = index + 1
    return found
