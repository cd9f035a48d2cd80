"""The pixel data of one stored object in another transfer syntax, frame by frame."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from node.dicom.codecs import Codecs, native_words
from node.dicom.elements import ITEM, SEQUENCE_END, UNDEFINED
from node.dicom.pixel_file import INTEGER_PIXEL_DATA, PixelFile
from node.dicom.reencode import Change, element_head, item_head
from node.dicom.stored_frames import FOUR_TWO_TWO
from node.dicom.tags import Tag
from node.dicom.transfer_syntaxes import ENCODERS, IMPLICIT_LITTLE_ENDIAN, NATIVE, RLE_LOSSLESS
from node.domain.errors import EncodeFailed

LONGEST = 0xFFFFFFFE
"""Bytes of a value of known length (PS3.5 section 7.1.1)."""
OFFSET_TABLES = (0x7FE00001, 0x7FE00002)
"""ExtendedOffsetTable and ExtendedOffsetTableLengths (PS3.3 C.7.6.3.1.8): of the stored fragments."""
DIGITAL_SIGNATURES = 0xFFFAFFFA
"""Of the pixel data as they were encoded (PS3.3 C.12.1.1.3.1.1)."""
LOSSY_IMAGE_COMPRESSION = 0x00282110
ALWAYS_LOSSY = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
"""JPEG by the cosine transform; the others of `LOSSY` have modes without loss, too."""
ICON_IMAGE_SEQUENCE = 0x00880200
"""Type 3; its pixels may be compressed as those of the image are (PS3.3 C.7.6.1.1.6)."""


class TranscodedPixels:
    """The frames of one object in another transfer syntax.

    The first frame is transcoded at once, so that what cannot be is known before anything is sent.

    Parameters
    ----------
    path : Path
        PS3.10 file.
    wanted : str
        Transfer syntax UID: one without a codec, or one of `ENCODERS`.
    codecs : Codecs

    Raises
    ------
    DicomError
    """

    def __init__(self, path: Path, wanted: str, codecs: Codecs, *, first: int = 1) -> None:
        self._file = PixelFile(path, codecs)
        self._wanted = wanted
        self._codecs = codecs
        given = self._file.layout
        if self._is_native and given.photometric_interpretation in FOUR_TWO_TWO:
            raise EncodeFailed("uncompressed pixels with fewer chrominance samples go as they are")
        image = self._file.image(first)
        aligned = self._is_native or self._file.transfer_syntax_uid == RLE_LOSSLESS
        self._layout = dataclasses.replace(
            given,
            photometric_interpretation=self._colours(image.photometric_interpretation),
            planar=False,
            high_bit=given.high_bit if aligned else given.bits_stored - 1,
        )
        if wanted in ENCODERS and wanted != RLE_LOSSLESS and self._layout.high_bit >= given.bits_stored:
            raise EncodeFailed("a codec would not keep what lies below the stored bits (HighBit)")
        self._first = first, self._coded(native_words(image.words, self._file.transfer_syntax_uid, given))

    @property
    def _is_native(self) -> bool:
        return self._file.transfer_syntax_uid in NATIVE

    def _colours(self, decoded: str) -> str:
        """Return what decoded words are: a decoder gives every pixel its chrominance (C.7.6.3.1.2)."""
        return "YBR_FULL" if decoded in FOUR_TWO_TWO else decoded

    def frame(self, number: int) -> bytes:
        """Return a frame (from 1): little endian words, colour by pixel, or one codestream.

        Raises
        ------
        DicomError
        """
        known, data = self._first
        if number == known:
            return data
        image = self._file.image(number)
        words = native_words(image.words, self._file.transfer_syntax_uid, self._file.layout)
        return self._coded(words)

    def _coded(self, words: NDArray[np.unsignedinteger]) -> bytes:
        data = words.tobytes()
        return self._codecs.encode(data, self._wanted, self._layout) if self._wanted in ENCODERS else data

    def changes(self) -> dict[int, Change | None]:
        """Return what the header must say of the transcoded pixels."""
        layout = self._layout
        name = layout.photometric_interpretation.encode("ascii")
        found: dict[int, Change | None] = {
            Tag.PhotometricInterpretation: Change(vr="CS", value=name + b" " * (len(name) % 2)),
            Tag.HighBit: Change(vr="US", value=struct.pack("<H", layout.high_bit)),
            **dict.fromkeys((*OFFSET_TABLES, DIGITAL_SIGNATURES)),
        }
        if self._file.transfer_syntax_uid in ALWAYS_LOSSY:  # stays said when nothing else shows it any more
            found[LOSSY_IMAGE_COMPRESSION] = Change(vr="CS", value=b"01")
        if layout.samples > 1:
            found[Tag.PlanarConfiguration] = Change(vr="US", value=struct.pack("<H", 0))
        if not self._is_native:
            found[ICON_IMAGE_SEQUENCE] = None
        return found

    def element(self) -> Iterator[bytes]:
        """Yield the element Pixel Data (PS3.5 section 8.2 and A.4), a frame at a time.

        Raises
        ------
        DicomError
        """
        numbers = range(1, self._layout.number_of_frames + 1)
        if self._wanted in ENCODERS:
            # An empty Basic Offset Table: the sizes of frames to come are not known. One fragment a frame.
            yield element_head(INTEGER_PIXEL_DATA, "OB", UNDEFINED, implicit=False) + item_head(ITEM, 0)
            for number in numbers:
                data = self.frame(number)
                data += b"\0" * (len(data) % 2)
                yield item_head(ITEM, len(data)) + data
            yield item_head(SEQUENCE_END, 0)
            return
        length = self._layout.frame_bytes * len(numbers)
        padding = length % 2
        vr = "OW" if self._layout.bits_allocated > 8 or self._wanted == IMPLICIT_LITTLE_ENDIAN else "OB"
        yield element_head(
            INTEGER_PIXEL_DATA, vr, length + padding, implicit=self._wanted == IMPLICIT_LITTLE_ENDIAN
        )
        for number in numbers:
            yield self.frame(number)
        if padding:
            yield b"\0"

    def require_room(self) -> None:
        """Check that the transcoded pixels can be written as one value.

        Raises
        ------
        EncodeFailed
        """
        whole = self._layout.frame_bytes * self._layout.number_of_frames
        if self._wanted not in ENCODERS and whole > LONGEST:
            raise EncodeFailed(f"{whole} bytes of decoded pixels are more than one element can hold")
