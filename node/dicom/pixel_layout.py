"""How pixels lie: the Image Pixel attributes of one object, and what of them is refused at once."""

from __future__ import annotations

from dataclasses import dataclass

from node.dicom.elements import Attributes, Wanted
from node.dicom.tags import FUNCTIONAL_GROUPS, Tag
from node.domain.errors import DecodeFailed

MAX_FRAME_BYTES = 1 << 27
"""A decoded frame larger than this is refused; 8192 x 8192 at 16 bits."""
MAX_FRAMES = 10_000
LONGEST_CODE = 16
"""Characters of a value of VR CS (PS3.5 section 6.2)."""

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


def layout_of(data_set: Attributes) -> PixelLayout:
    """Read the layout; what is missing or impossible is refused before anything is allocated by it.

    Parameters
    ----------
    data_set : Attributes
        Of a scan for `LAYOUT`.

    Raises
    ------
    DecodeFailed
    """
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
    if len(layout.photometric_interpretation) > LONGEST_CODE:
        raise DecodeFailed("PhotometricInterpretation is longer than a code can be")
    if not bits_stored <= layout.high_bit + 1 <= bits_allocated:
        raise DecodeFailed(
            f"BitsStored {bits_stored} and HighBit {layout.high_bit} do not fit into {bits_allocated} bits"
        )
    if layout.frame_bytes > MAX_FRAME_BYTES or layout.number_of_frames > MAX_FRAMES:
        raise DecodeFailed(
            f"{layout.number_of_frames} frames of {layout.frame_bytes} bytes are beyond the limits"
        )
    return layout
