"""The pixel data of one stored object: its layout, and the bytes of each frame, one frame at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from node.dicom.codestream import frame_size
from node.dicom.elements import Attributes, PixelData, Wanted
from node.dicom.functional_groups import FrameAttributes, frames
from node.dicom.part10 import DEFLATED_DATA_SETS, EXPLICIT_BIG_ENDIAN, Scan, scan
from node.dicom.tags import FUNCTIONAL_GROUPS, Tag
from node.domain.errors import DecodeFailed, TruncatedObject, UnsupportedTransferSyntax

Raw = NDArray[np.unsignedinteger] | NDArray[np.signedinteger]

INTEGER_PIXEL_DATA = 0x7FE00010
MAX_FRAME_BYTES = 1 << 27
"""A decoded frame larger than this is refused; 8192 x 8192 at 16 bits."""
MAX_FRAMES = 10_000

NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", EXPLICIT_BIG_ENDIAN, *DEFLATED_DATA_SETS})
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
DECODERS = {  # PS3.5 section 10: transfer syntax to the plug-in of pydicom that decodes it
    "1.2.840.10008.1.2.4.50": "gdcm",  # JPEG Baseline
    "1.2.840.10008.1.2.4.51": "gdcm",  # JPEG Extended, 12 bits
    "1.2.840.10008.1.2.4.57": "gdcm",  # JPEG Lossless
    "1.2.840.10008.1.2.4.70": "gdcm",  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": "pyjpegls",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81": "pyjpegls",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.90": "pylibjpeg",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91": "pylibjpeg",  # JPEG 2000
    "1.2.840.10008.1.2.4.201": "pylibjpeg",  # HTJ2K lossless
    "1.2.840.10008.1.2.4.202": "pylibjpeg",  # HTJ2K lossless, RPCL
    "1.2.840.10008.1.2.4.203": "pylibjpeg",  # HTJ2K
    RLE_LOSSLESS: "pydicom",
}

LAYOUT = Wanted(
    values=frozenset(
        {
            Tag.SamplesPerPixel,
            Tag.PhotometricInterpretation,
            Tag.PlanarConfiguration,
            Tag.NumberOfFrames,
            Tag.Rows,
            Tag.Columns,
            Tag.BitsAllocated,
            Tag.BitsStored,
            Tag.HighBit,
            Tag.PixelRepresentation,
            Tag.PixelPaddingValue,
            Tag.PixelPaddingRangeLimit,
            Tag.RescaleIntercept,
            Tag.RescaleSlope,
            Tag.RescaleType,
            Tag.ImagePositionPatient,
            Tag.ImageOrientationPatient,
            Tag.PixelSpacing,
            Tag.SliceThickness,
        }
    ),
    sequences=FUNCTIONAL_GROUPS,
)


@dataclass(frozen=True, kw_only=True)
class PixelLayout:
    """The Image Pixel attributes (PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    samples: int
    planar: bool
    """PlanarConfiguration 1: one plane after another (C.7.6.3.1.3)."""
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric_interpretation: str
    number_of_frames: int

    @property
    def frame_bytes(self) -> int:
        """Return the bytes of one decoded frame."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8


class PixelFile:
    """One stored object whose frames can be read.

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
    UnsupportedTransferSyntax
    """

    def __init__(self, path: Path) -> None:
        self.path = path
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
        self.layout = _layout(found.attributes)
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
        if not 1 <= frame <= self.layout.number_of_frames:
            raise DecodeFailed(f"there is no frame {frame}: the object has {self.layout.number_of_frames}")
        with self.path.open("rb") as stream:
            if self.transfer_syntax_uid in NATIVE:
                return self._native(stream, frame)
            return self._encapsulated(stream, frame)

    def _native(self, stream: BinaryIO, frame: int) -> Raw:
        layout = self.layout
        skipped = (frame - 1) * layout.frame_bytes
        if self._place.length is not None and skipped + layout.frame_bytes > self._place.length:
            raise DecodeFailed(f"frame {frame} ends beyond the {self._place.length} bytes of the pixel data")
        if self.transfer_syntax_uid in DEFLATED_DATA_SETS:
            source = scan(stream, Wanted(values=frozenset())).source
            source.skip(skipped)
            data = source.read(layout.frame_bytes)
        else:
            stream.seek(self._place.offset + skipped)
            data = stream.read(layout.frame_bytes)
            if len(data) < layout.frame_bytes:
                raise TruncatedObject(f"the file ends within frame {frame}")
        order = ">" if self.transfer_syntax_uid == EXPLICIT_BIG_ENDIAN else "<"
        words = np.frombuffer(data, dtype=f"{order}u{layout.bits_allocated // 8}")
        return _shaped(words.astype(words.dtype.newbyteorder("="), copy=False), layout)

    def _encapsulated(self, stream: BinaryIO, frame: int) -> Raw:
        layout = self.layout
        stream.seek(self._place.offset)
        try:
            data = get_frame(stream, frame - 1, number_of_frames=layout.number_of_frames)
        except (ValueError, IndexError, EOFError) as error:
            raise DecodeFailed(f"the fragments of frame {frame} cannot be put together: {error}") from error
        self._check_codestream(data)
        decoder = get_decoder(UID(self.transfer_syntax_uid))
        options: dict[str, Any] = {
            "transfer_syntax_uid": UID(self.transfer_syntax_uid),
            "rows": layout.rows,
            "columns": layout.columns,
            "samples_per_pixel": layout.samples,
            "photometric_interpretation": layout.photometric_interpretation,
            "planar_configuration": int(layout.planar),
            "bits_allocated": layout.bits_allocated,
            "bits_stored": layout.bits_stored,
            "pixel_representation": int(layout.signed),
            "number_of_frames": 1,
            "pixel_keyword": "PixelData",
        }
        plugin = DECODERS[self.transfer_syntax_uid]
        lone = encapsulate([data], has_bot=False)
        try:
            decoded, _ = decoder.as_array(lone, index=0, raw=True, decoding_plugin=plugin, **options)
        except (
            ValueError,
            RuntimeError,
            TypeError,
            AttributeError,
            NotImplementedError,
            IndexError,
        ) as error:
            raise DecodeFailed(f"frame {frame} cannot be decoded: {error}") from error
        expected = (layout.rows, layout.columns) + ((layout.samples,) if layout.samples > 1 else ())
        if decoded.shape != expected:
            raise DecodeFailed(f"frame {frame} decodes to shape {decoded.shape}, announced is {expected}")
        return decoded

    def _check_codestream(self, data: bytes) -> None:
        if self.transfer_syntax_uid == RLE_LOSSLESS:
            return  # its segments cannot grow beyond 64 times their bytes (PS3.5 G.3.1)
        size = frame_size(data)
        if size is None:
            raise DecodeFailed("a compressed frame has no codestream of its transfer syntax")
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


def _layout(data_set: Attributes) -> PixelLayout:
    """Read the layout; what is missing or impossible is refused before anything is allocated by it."""
    rows, columns = data_set.unsigned(Tag.Rows), data_set.unsigned(Tag.Columns)
    bits_allocated, bits_stored = data_set.unsigned(Tag.BitsAllocated), data_set.unsigned(Tag.BitsStored)
    if not rows or not columns:
        raise DecodeFailed("Rows or Columns is absent or 0")
    if bits_allocated not in {8, 16, 32}:
        raise DecodeFailed(f"BitsAllocated is {bits_allocated}; 8, 16 and 32 are read")
    bits_stored = bits_stored or bits_allocated
    high_bit = data_set.unsigned(Tag.HighBit)
    layout = PixelLayout(
        rows=rows,
        columns=columns,
        samples=data_set.unsigned(Tag.SamplesPerPixel) or 1,
        planar=data_set.unsigned(Tag.PlanarConfiguration) == 1,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if high_bit is None else high_bit,
        signed=data_set.unsigned(Tag.PixelRepresentation) == 1,
        photometric_interpretation=data_set.text(Tag.PhotometricInterpretation) or "MONOCHROME2",
        number_of_frames=max(data_set.integer(Tag.NumberOfFrames) or 1, 1),
    )
    if not bits_stored <= layout.high_bit + 1 <= bits_allocated:
        raise DecodeFailed(
            f"BitsStored {bits_stored} and HighBit {layout.high_bit} do not fit into {bits_allocated} bits"
        )
    if layout.frame_bytes > MAX_FRAME_BYTES or layout.number_of_frames > MAX_FRAMES:
        raise DecodeFailed(
            f"{layout.number_of_frames} frames of {layout.frame_bytes} bytes are beyond the limits"
        )
    return layout


def _shaped(words: Raw, layout: PixelLayout) -> Raw:
    if layout.samples == 1:
        return words.reshape(layout.rows, layout.columns)
    if layout.planar:
        return words.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0)
    return words.reshape(layout.rows, layout.columns, layout.samples)
