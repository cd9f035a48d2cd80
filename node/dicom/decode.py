"""Pixel data to stored values and to Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.dicom.codecs import Raw
from node.dicom.elements import Attributes
from node.dicom.functional_groups import Rescale
from node.dicom.pixel_file import PixelFile
from node.dicom.pixel_layout import PixelLayout
from node.dicom.tags import Tag
from node.dicom.transfer_syntaxes import NATIVE, RLE_LOSSLESS
from node.domain.errors import HounsfieldUnknown

StoredValues = NDArray[np.signedinteger]
PaddingMask = NDArray[np.bool_]
HounsfieldUnits = NDArray[np.int16]

AIR = -1024
"""Hounsfield units given to padded pixels: the least that a CT with the usual intercept stores."""
SHORT = 1 << 16
LARGEST_OFFSET = 1 << 30
"""A rescale intercept beyond it is added to numbers with a fraction, which overflow later."""


@dataclass(frozen=True, kw_only=True)
class DecodedFrame:
    """One frame in the stored domain: before any rescale."""

    stored: StoredValues
    """int32 array, int64 for words of 32 bits, shape (rows, columns) or (rows, columns, samples)."""
    padded: PaddingMask
    """bool array of the same shape: pixels that were never measured (PS3.3 C.7.5.1.1.2)."""


def decode_stored(file: PixelFile, frame: int) -> DecodedFrame:
    """Decode one frame.

    Parameters
    ----------
    file : PixelFile
    frame : int
        Frame number from 1.

    Raises
    ------
    DecodeFailed, TruncatedObject
    """
    return stored_words(file, file.raw(frame))


def stored_words(file: PixelFile, raw: Raw) -> DecodedFrame:
    """Return the stored values of words.

    The words are reduced to BitsStored below HighBit and sign-extended where PixelRepresentation says so
    (PS3.5 section 8.1.1). Padding is looked for among the stored values and, for senders that write it
    outside the range of BitsStored, among the words as they lie.

    Parameters
    ----------
    file : PixelFile
        Whose words they are.
    raw : integer array
        Pixels as decoded, or any words that pixels may be.
    """
    stored = _stored(raw, file.layout, file.transfer_syntax_uid)
    padding = padding_range(file.attributes, signed=file.layout.signed)
    if padding is None:
        return DecodedFrame(stored=stored, padded=np.zeros(stored.shape, dtype=np.bool_))
    low, high = padding
    words = raw.view(f"{'i' if file.layout.signed else 'u'}{raw.dtype.itemsize}")
    padded = ((stored >= low) & (stored <= high)) | ((words >= low) & (words <= high))
    return DecodedFrame(stored=stored, padded=padded)


def _stored(raw: Raw, layout: PixelLayout, transfer_syntax_uid: str) -> StoredValues:
    values: StoredValues = raw.astype(np.int32 if raw.dtype.itemsize <= 2 else np.int64)
    if transfer_syntax_uid in NATIVE or transfer_syntax_uid == RLE_LOSSLESS:
        values >>= layout.high_bit + 1 - layout.bits_stored
    values &= (1 << layout.bits_stored) - 1
    if layout.signed:
        sign = 1 << (layout.bits_stored - 1)
        values ^= sign
        values -= sign
    return values


def padding_range(data_set: Attributes, *, signed: bool) -> tuple[int, int] | None:
    """Return the lowest and highest stored value of padded pixels (PS3.3 C.7.5.1.1.2), None without any.

    Both attributes have 16 bits and the sign of PixelRepresentation; some scanners write the unsigned form
    of a negative value (63536 for -2000), which is the same 16 bits.

    Parameters
    ----------
    data_set : Attributes
    signed : bool
        PixelRepresentation is 1.
    """
    value = data_set.unsigned(Tag.PixelPaddingValue)
    if value is None:
        return None
    limit = data_set.unsigned(Tag.PixelPaddingRangeLimit)
    ends = [_sixteen_bits(item, signed=signed) for item in (value, limit) if item is not None]
    return min(ends), max(ends)


def _sixteen_bits(value: int, *, signed: bool) -> int:
    value %= SHORT
    return value - SHORT if signed and value >= SHORT // 2 else value


def hounsfield(frame: DecodedFrame, rescale: Rescale) -> HounsfieldUnits:
    """Return Hounsfield units, rounded; padded pixels become air.

    Parameters
    ----------
    frame : DecodedFrame
        One sample a pixel.
    rescale : Rescale
        Of this very frame: it may differ from slice to slice.

    Returns
    -------
    int16 array, shape (rows, columns)
    """
    units: NDArray[np.signedinteger] | NDArray[np.float64]
    if rescale.slope == 1 and rescale.intercept.is_integer() and abs(rescale.intercept) < LARGEST_OFFSET:
        units = frame.stored + int(rescale.intercept)
    else:
        units = np.rint(frame.stored * rescale.slope + rescale.intercept)
    limits = np.iinfo(np.int16)
    result: HounsfieldUnits = np.clip(units, limits.min, limits.max).astype(np.int16)
    result[frame.padded] = AIR
    return result


def read_hounsfield(file: PixelFile, frame: int) -> HounsfieldUnits:
    """Decode one frame to Hounsfield units.

    Raises
    ------
    HounsfieldUnknown
        When RescaleSlope or RescaleIntercept is absent, RescaleType is another unit, or there are colours.
    DecodeFailed, TruncatedObject
    """
    attributes = file.frame_attributes(frame)
    rescale = attributes.rescale() if attributes is not None else None
    if rescale is None:
        raise HounsfieldUnknown(
            "RescaleSlope or RescaleIntercept is absent, or RescaleType is not HU (PS3.3 C.8.2.1)"
        )
    if file.layout.samples != 1:
        raise HounsfieldUnknown(f"the image has {file.layout.samples} samples a pixel; a CT has one")
    return hounsfield(decode_stored(file, frame), rescale)
