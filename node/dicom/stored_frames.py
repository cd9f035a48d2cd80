"""The frames of a stored object as bytes, without decoding: where each lies in the file (PS3.5 A.4)."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from node.dicom.bulk_values import PIECE, little_endian
from node.dicom.elements import ITEM, SEQUENCE_END, UNDEFINED, Attributes, PixelData, Wanted
from node.dicom.part10 import DEFLATED_DATA_SETS, EXPLICIT_BIG_ENDIAN, Scan, scan
from node.dicom.pixel_layout import MAX_FRAME_BYTES
from node.dicom.tags import Tag
from node.domain.errors import DecodeFailed, TruncatedObject

EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
MOST_FRAMES: Final = 1 << 20
MOST_FRAGMENTS: Final = 1 << 20
END_OF_IMAGE: Final = b"\xff\xd9"
"""Ends a JPEG, JPEG-LS, JPEG 2000 or HTJ2K codestream (ITU-T T.81 B.1.1.3, T.87, T.800 A.4.4)."""
END_WITHIN: Final = 10
"""Bytes at the end of a fragment among which the marker is: padding follows it."""
MOST_INFLATED: Final = 1 << 37
"""Bytes that come out of a deflated data set until each of its frames was read once: a frame is found by
inflating all before it, so that some kilobytes of many empty frames would keep a processor for hours.
It admits 512 frames of 512 x 512 floats, the largest map that the node makes by default."""
FLOATS: Final = {0x7FE00008: 32, 0x7FE00009: 64}
"""Bits of a pixel of Float Pixel Data and Double Float Pixel Data (PS3.3 C.7.6.24, C.7.6.25)."""
BITS: Final = frozenset({1, 8, 16, 32, 64})
FOUR_TWO_TWO: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
"""Two chrominance samples for two pixels, so two samples a pixel where not compressed (C.7.6.3.1.2)."""

WANTED: Final = Wanted(
    values=frozenset(
        {
            Tag.SamplesPerPixel,
            Tag.PhotometricInterpretation,
            Tag.NumberOfFrames,
            Tag.Rows,
            Tag.Columns,
            Tag.BitsAllocated,
            EXTENDED_OFFSET_TABLE,
        }
    ),
    largest_value=8 * MOST_FRAMES,
)


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Some bytes of a file."""

    offset: int
    length: int


class StoredFrames:
    """The frames of one stored object.

    The attributes are read once; the file is opened for each frame and held open for none.

    Parameters
    ----------
    path : Path
        PS3.10 file.

    Raises
    ------
    NotDicom, TruncatedObject, ObjectTooLarge
    DecodeFailed
        When the object has no pixel data, or its layout is malformed or beyond the limits.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as stream:
            found = scan(stream, WANTED)
            if found.pixel_data is None:
                raise DecodeFailed("the object has no pixel data")
            self._tag, self._offset = found.pixel_data.tag, found.pixel_data.offset
            self.transfer_syntax_uid = found.transfer_syntax_uid
            self.encapsulated = found.pixel_data.length is None
            """Whether the frames are compressed."""
            self.number_of_frames = max(found.attributes.integer(Tag.NumberOfFrames) or 1, 1)
            if self.number_of_frames > MOST_FRAMES:
                raise DecodeFailed(f"{self.number_of_frames} frames are beyond the limit of {MOST_FRAMES}")
            if self.encapsulated:
                self._starts = _starts(stream, found, self.number_of_frames)
            else:
                self._bits_allocated, self._frame_bits = _frame_bits(found)
                self._word_bytes = word_bytes(
                    found.transfer_syntax_uid, found.pixel_data, self._bits_allocated
                )
                self._require_all(found)
                require_few_deflated(self.transfer_syntax_uid, self.number_of_frames, self._frame_bits // 8)

    def size(self, frame: int) -> int:
        """Return the bytes of a frame (from 1): those that ``pieces`` yields.

        Raises
        ------
        DecodeFailed, TruncatedObject
        """
        self._number(frame)
        if self.encapsulated:
            return sum(extent.length for extent in self.fragments(frame))
        return (self._frame_bits + 7) // 8

    def pieces(self, frame: int) -> Iterator[bytes]:
        """Yield the bytes of a frame (from 1): a codestream, or little endian words where not compressed.

        Raises
        ------
        DecodeFailed, TruncatedObject
        """
        if self.encapsulated:
            with self._path.open("rb") as stream:
                for extent in self.fragments(frame):
                    yield from _read(stream, extent)
        elif self.transfer_syntax_uid in DEFLATED_DATA_SETS or self._frame_bits % 8:
            yield self._extracted(frame)
        else:
            size = self._frame_bits // 8
            begin = (self._number(frame) - 1) * size
            before, behind = begin % self._word_bytes, (begin + size) % self._word_bytes
            with self._path.open("rb") as stream:
                if before or behind:
                    yield self._out_of_words(stream, begin, size)
                    return
                for piece in _read(stream, Extent(offset=self._offset + begin, length=size)):
                    yield little_endian(piece, self._word_bytes)

    def _out_of_words(self, stream: BinaryIO, begin: int, size: int) -> bytes:
        """Return a frame of bytes that does not begin and end with a word."""
        if size > MAX_FRAME_BYTES:
            raise DecodeFailed(f"a frame of {size} bytes is beyond the limits")
        word = self._word_bytes
        first, last = begin // word * word, -(-(begin + size) // word) * word
        words = b"".join(_read(stream, Extent(offset=self._offset + first, length=last - first)))
        return little_endian(words, word)[begin - first :][:size]

    def fragments(self, frame: int) -> tuple[Extent, ...]:
        """Return where the fragments of a compressed frame (from 1) lie in the file, in order.

        Raises
        ------
        DecodeFailed, TruncatedObject
        """
        begin = self._starts[self._number(frame) - 1]
        end = self._starts[frame] if frame < self.number_of_frames else None
        with self._path.open("rb") as stream:
            found = tuple(_items(stream, begin, end))
        if not found:
            raise DecodeFailed(f"frame {frame} has no fragment")
        return found

    def _number(self, frame: int) -> int:
        """Return the number of a frame that is there."""
        if not 1 <= frame <= self.number_of_frames:
            raise DecodeFailed(f"there is no frame {frame}: the object has {self.number_of_frames}")
        return frame

    def _require_all(self, found: Scan) -> None:
        length = found.pixel_data.length if found.pixel_data is not None else None
        needed = (self._frame_bits * self.number_of_frames + 7) // 8
        if length is not None and needed > length:
            raise DecodeFailed(
                f"{self.number_of_frames} frames need {needed} bytes, the pixel data have {length}"
            )

    def _extracted(self, frame: int) -> bytes:
        """Return a frame that lies deflated, or begins within a byte (PS3.5 section 8.1.1)."""
        first = (self._number(frame) - 1) * self._frame_bits
        last = first + self._frame_bits
        if self._frame_bits // 8 > MAX_FRAME_BYTES:
            raise DecodeFailed(f"a frame of {self._frame_bits // 8} bytes is beyond the limits")
        with self._path.open("rb") as stream:
            source = scan(stream, Wanted(values=frozenset())).source
            source.skip(first // 8)
            data = source.read((last + 7) // 8 - first // 8)
        if self._frame_bits % 8 == 0:
            return data
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return np.packbits(bits[first % 8 :][: self._frame_bits], bitorder="little").tobytes()


def require_few_deflated(transfer_syntax_uid: str, frames: int, frame_bytes: int) -> None:
    """Check that the frames of a deflated data set can be read one by one.

    Raises
    ------
    DecodeFailed
    """
    if transfer_syntax_uid in DEFLATED_DATA_SETS and frames * frames * frame_bytes // 2 > MOST_INFLATED:
        raise DecodeFailed(
            f"{frames} frames in a deflated data set cannot be told apart in good time; "
            "send it in another transfer syntax"
        )


def word_bytes(transfer_syntax_uid: str, place: PixelData, bits_allocated: int) -> int:
    """Return how many bytes are to be turned around together for little endian; 1 for none.

    Bytes that lie in words (OW) are turned with them, pair by pair (PS3.5 sections 7.3 and 8.1.2).

    Parameters
    ----------
    transfer_syntax_uid : str
    place : PixelData
    bits_allocated : int
    """
    if transfer_syntax_uid != EXPLICIT_BIG_ENDIAN:
        return 1
    return 2 if bits_allocated == 8 and place.vr == "OW" else max(bits_allocated // 8, 1)


def _frame_bits(found: Scan) -> tuple[int, int]:
    """Return the bits of a word and of a frame that is not compressed."""
    attributes = found.attributes
    tag = found.pixel_data.tag if found.pixel_data is not None else 0
    bits = FLOATS.get(tag) or attributes.unsigned(Tag.BitsAllocated) or 0
    rows, columns = attributes.unsigned(Tag.Rows), attributes.unsigned(Tag.Columns)
    if not rows or not columns or bits not in BITS:
        raise DecodeFailed("Rows, Columns or BitsAllocated is absent or none that an image can have")
    samples = attributes.unsigned(Tag.SamplesPerPixel) or 1
    if samples > 1 and attributes.text(Tag.PhotometricInterpretation) in FOUR_TWO_TWO:
        samples = 2
    return bits, rows * columns * samples * bits


def _starts(stream: BinaryIO, found: Scan, count: int) -> array[int]:
    """Return where the first fragment of each frame begins: by a table of offsets, or by the fragments."""
    offset = found.pixel_data.offset if found.pixel_data is not None else 0
    stream.seek(offset)
    tag, length = _item_head(stream)
    if tag != ITEM or length > 4 * MOST_FRAMES:
        raise DecodeFailed("the pixel data do not begin with an offset table (PS3.5 A.4)")
    table = stream.read(length)
    first = offset + 8 + length
    if count == 1:
        return array("Q", [first])
    extended = _extended_offsets(found.attributes)
    if len(extended) == count:
        return array("Q", (first + item for item in extended))
    if len(table) == 4 * count:
        return array("Q", (first + item for item in struct.unpack(f"<{count}I", table)))
    return _starts_of_fragments(stream, first, count)


def _extended_offsets(attributes: Attributes) -> tuple[int, ...]:
    """Return the Extended Offset Table (PS3.3 C.7.6.3.1.8), empty where there is none."""
    element = attributes.elements.get(EXTENDED_OFFSET_TABLE)
    if element is None or len(element.value) % 8:
        return ()
    return struct.unpack(f"<{len(element.value) // 8}Q", element.value)


def _starts_of_fragments(stream: BinaryIO, first: int, count: int) -> array[int]:
    """Tell frames without an offset table: a fragment each, or by the end of each codestream."""
    fragments = list(_items(stream, first, None))
    if len(fragments) == count:
        return array("Q", (item.offset - 8 for item in fragments))
    starts = array("Q")
    begins = True
    for item in fragments:
        if begins:
            starts.append(item.offset - 8)
        kept = min(item.length, END_WITHIN)
        stream.seek(item.offset + item.length - kept)
        begins = END_OF_IMAGE in stream.read(kept)
    if len(starts) != count:
        raise DecodeFailed(
            f"{len(fragments)} fragments without an offset table do not tell {count} frames apart"
        )
    return starts


def _items(stream: BinaryIO, begin: int, end: int | None) -> Iterator[Extent]:
    """Yield the fragments from ``begin`` up to ``end``, or to the end of the sequence."""
    at = begin
    for _ in range(MOST_FRAGMENTS):
        if at == end:
            return
        stream.seek(at)
        tag, length = _item_head(stream)
        if tag == SEQUENCE_END:
            return
        if tag != ITEM or length == UNDEFINED or (end is not None and at + 8 + length > end):
            raise DecodeFailed("the offset table does not lead to the fragments of its frames")
        yield Extent(offset=at + 8, length=length)
        at += 8 + length
    raise DecodeFailed(f"the pixel data have more than {MOST_FRAGMENTS} fragments")


def _item_head(stream: BinaryIO) -> tuple[int, int]:
    head = stream.read(8)
    if len(head) < 8:
        raise TruncatedObject("the file ends within the fragments of its pixel data")
    group, element, length = struct.unpack("<HHI", head)
    return group << 16 | element, length


def _read(stream: BinaryIO, extent: Extent) -> Iterator[bytes]:
    stream.seek(extent.offset)
    left = extent.length
    while left:
        piece = stream.read(min(left, PIECE))
        if not piece:
            raise TruncatedObject("the file ends within its pixel data")
        yield piece
        left -= len(piece)
