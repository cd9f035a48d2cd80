"""The pixel data of one stored object: its layout, and the bytes of each frame, one frame at a time."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from node.dicom.codecs import Codecs, DecodedImage, InProcessCodecs, Raw
from node.dicom.codestream import frame_size
from node.dicom.elements import PixelData, Wanted
from node.dicom.functional_groups import FrameAttributes, frames
from node.dicom.part10 import DEFLATED_DATA_SETS, EXPLICIT_BIG_ENDIAN, Scan, scan
from node.dicom.pixel_layout import LAYOUT, MAX_FRAME_BYTES, PixelLayout, layout_of
from node.dicom.stored_frames import StoredFrames, require_few_deflated, word_bytes
from node.dicom.transfer_syntaxes import DECODERS, DEEPEST, NATIVE, RLE_LOSSLESS
from node.domain.errors import DecodeFailed, TruncatedObject, UnsupportedTransferSyntax

INTEGER_PIXEL_DATA = 0x7FE00010
IN_PROCESS = InProcessCodecs()


class PixelFile:
    """One stored object whose frames can be read.

    The attributes are read once; the file is opened for each frame and held open for none.

    Parameters
    ----------
    path : Path
        PS3.10 file.
    codecs : Codecs, optional
        Who decodes; by default the codecs within this process, which is for files of one's own.

    Raises
    ------
    NotDicom, TruncatedObject, ObjectTooLarge
    DecodeFailed
        When the object has no pixel data, or its layout is malformed or beyond the limits.
    UnsupportedTransferSyntax
    """

    def __init__(self, path: Path, codecs: Codecs = IN_PROCESS) -> None:
        self.path = path
        self._codecs = codecs
        with path.open("rb") as stream:
            found = scan(stream, LAYOUT)
        self.transfer_syntax_uid = found.transfer_syntax_uid
        if self.transfer_syntax_uid not in NATIVE and self.transfer_syntax_uid not in DECODERS:
            raise UnsupportedTransferSyntax(
                f"transfer syntax {self.transfer_syntax_uid} has no decoder here; "
                "let the sender propose an uncompressed one"
            )
        self.attributes = found.attributes
        self._place = _require_integer_pixels(found)
        self.layout = layout_of(found.attributes)
        self._require_depth(self.layout.bits_stored)
        require_few_deflated(self.transfer_syntax_uid, self.layout.number_of_frames, self.layout.frame_bytes)
        self._frames = list(frames(found.attributes, self.layout.number_of_frames))

    def frame_attributes(self, frame: int) -> FrameAttributes | None:
        """Return the attributes of a frame (from 1), None where the object does not give them."""
        return self._frames[frame - 1] if 1 <= frame <= len(self._frames) else None

    def raw(self, frame: int) -> Raw:
        """Return the words of one frame as decoded, neither masked nor sign-extended.

        Parameters
        ----------
        frame : int
            Frame number from 1.

        Returns
        -------
        integer array, shape (rows, columns) or (rows, columns, samples)

        Raises
        ------
        DecodeFailed, TruncatedObject
        """
        return self.image(frame).words

    def image(self, frame: int) -> DecodedImage:
        """Return one frame as decoded, and in which colours.

        Raises
        ------
        DecodeFailed, TruncatedObject
        """
        if self.transfer_syntax_uid not in NATIVE:
            codestream = self.codestream(frame)
            self._check_codestream(codestream)
            return self._codecs.decode(codestream, self.transfer_syntax_uid, self.layout)
        words = _shaped(self._native(frame), self.layout)
        return DecodedImage(words=words, photometric_interpretation=self.layout.photometric_interpretation)

    def codestream(self, frame: int) -> bytes:
        """Return the bytes of one compressed frame as they lie: its fragments put together.

        Parameters
        ----------
        frame : int
            Frame number from 1.

        Raises
        ------
        DecodeFailed
            There is no such frame, or the pixel data are not compressed.
        NotDicom, TruncatedObject
        """
        self._require_frame(frame)
        if self.transfer_syntax_uid in NATIVE:
            raise DecodeFailed("the pixel data are not compressed")
        if self._stored.size(frame) > MAX_FRAME_BYTES:
            raise DecodeFailed(f"frame {frame} has more than {MAX_FRAME_BYTES} compressed bytes")
        return b"".join(self._stored.pieces(frame))

    @cached_property
    def _stored(self) -> StoredFrames:
        return StoredFrames(self.path)

    def _require_frame(self, frame: int) -> None:
        if not 1 <= frame <= self.layout.number_of_frames:
            raise DecodeFailed(f"there is no frame {frame}: the object has {self.layout.number_of_frames}")

    def _native(self, frame: int) -> Raw:
        """Return the words of one frame in the byte order of this machine."""
        self._require_frame(frame)
        layout = self.layout
        skipped = (frame - 1) * layout.frame_bytes
        if self._place.length is not None and skipped + layout.frame_bytes > self._place.length:
            raise DecodeFailed(f"frame {frame} ends beyond the {self._place.length} bytes of the pixel data")
        with self.path.open("rb") as stream:
            if self.transfer_syntax_uid in DEFLATED_DATA_SETS:
                source = scan(stream, Wanted(values=frozenset())).source
                source.skip(skipped)
                data = source.read(layout.frame_bytes)
            elif self._has_bytes_in_words:
                data = b"".join(self._stored.pieces(frame))
            else:
                stream.seek(self._place.offset + skipped)
                data = stream.read(layout.frame_bytes)
        if len(data) < layout.frame_bytes:
            raise TruncatedObject(f"the file ends within frame {frame}")
        order = ">" if self.transfer_syntax_uid == EXPLICIT_BIG_ENDIAN else "<"
        words = np.frombuffer(data, dtype=f"{order}u{layout.bits_allocated // 8}")
        return words.astype(words.dtype.newbyteorder("="), copy=False)

    @property
    def _has_bytes_in_words(self) -> bool:
        bits = self.layout.bits_allocated
        return 8 * word_bytes(self.transfer_syntax_uid, self._place, bits) > bits

    def _require_depth(self, bits: int) -> None:
        most = DEEPEST.get(self.transfer_syntax_uid)
        if most is not None and bits > most:
            raise UnsupportedTransferSyntax(
                f"samples of {bits} bits in transfer syntax {self.transfer_syntax_uid} have no decoder here, "
                f"only of {most}; let the sender propose an uncompressed one"
            )

    def _check_codestream(self, data: bytes) -> None:
        if self.transfer_syntax_uid == RLE_LOSSLESS:
            return  # its segments cannot grow beyond 64 times their bytes (PS3.5 G.3.1)
        size = frame_size(data)
        if size is None:
            raise DecodeFailed("a compressed frame has no codestream of its transfer syntax")
        self._require_depth(size.bits)
        if (size.rows, size.columns, size.samples) != (
            self.layout.rows,
            self.layout.columns,
            self.layout.samples,
        ):
            raise DecodeFailed(
                f"the codestream holds {size.rows} x {size.columns} x {size.samples}, "
                f"the header announces {self.layout.rows} x {self.layout.columns} x {self.layout.samples}"
            )


def _require_integer_pixels(found: Scan) -> PixelData:
    if found.pixel_data is None:
        raise DecodeFailed("the object has no pixel data")
    if found.pixel_data.tag != INTEGER_PIXEL_DATA:
        raise DecodeFailed("the pixel data are floating point, not integers")
    if (found.pixel_data.length is not None) != (found.transfer_syntax_uid in NATIVE):
        raise DecodeFailed(
            "the pixel data are compressed and the transfer syntax says they are not, or the reverse"
        )
    return found.pixel_data


def _shaped(words: Raw, layout: PixelLayout) -> Raw:
    if layout.samples == 1:
        return words.reshape(layout.rows, layout.columns)
    if layout.planar:
        return words.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0)
    return words.reshape(layout.rows, layout.columns, layout.samples)
