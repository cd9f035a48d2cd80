"""Compressed frames to pixels and back: the port, and the codecs themselves.

A codec is native code that reads bytes of a peer: the node runs it apart from itself, see
`node.dicom.codec_processes`. `InProcessCodecs` is what runs there, and what programs use that read files of
their own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID

from node.dicom.pixel_layout import PixelLayout
from node.dicom.transfer_syntaxes import DECODERS, ENCODERS, NATIVE, RLE_LOSSLESS
from node.domain.errors import DecodeFailed, EncodeFailed

Raw = NDArray[np.unsignedinteger] | NDArray[np.signedinteger]

REFUSALS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What codecs raise on what they cannot read."""


@dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """One frame as its decoder gives it."""

    words: Raw
    """Shape (rows, columns) or (rows, columns, samples), neither masked nor sign-extended."""
    photometric_interpretation: str
    """Of ``words``: a decoder may undo the colour transformation of its codestream (PS3.5 section 8.2)."""


class Codecs(Protocol):
    """Decodes and encodes frames."""

    def decode(self, codestream: bytes, transfer_syntax_uid: str, layout: PixelLayout) -> DecodedImage:
        """Decode one frame.

        Parameters
        ----------
        codestream : bytes
            Its fragments put together; its own header was found to agree with ``layout``.
        transfer_syntax_uid : str
            One of `DECODERS`.
        layout : PixelLayout

        Raises
        ------
        DecodeFailed
        """
        ...

    def encode(self, words: bytes, transfer_syntax_uid: str, layout: PixelLayout) -> bytes:
        """Encode one frame without loss.

        Parameters
        ----------
        words : bytes
            Little endian, colour by pixel, of BitsAllocated bits each; signs extended beyond BitsStored.
        transfer_syntax_uid : str
            One of `ENCODERS`.
        layout : PixelLayout

        Raises
        ------
        EncodeFailed
        """
        ...


class InProcessCodecs:
    """The codecs, called where one stands. Implements ``Codecs``."""

    def decode(self, codestream: bytes, transfer_syntax_uid: str, layout: PixelLayout) -> DecodedImage:
        """Decode one frame; see `Codecs.decode`."""
        uid = UID(transfer_syntax_uid)
        options = _options(layout) | {
            "transfer_syntax_uid": uid,
            "planar_configuration": int(layout.planar),
            "pixel_keyword": "PixelData",
            "correct_unused_bits": False,
        }
        plugin = DECODERS[transfer_syntax_uid]
        try:
            lone = encapsulate([codestream], has_bot=False)
            words, found = get_decoder(uid).as_array(
                lone, index=0, raw=True, decoding_plugin=plugin, **options
            )
        except REFUSALS as error:
            raise DecodeFailed(f"a frame cannot be decoded: {error}") from error
        expected = (layout.rows, layout.columns) + ((layout.samples,) if layout.samples > 1 else ())
        if words.shape != expected:
            raise DecodeFailed(f"a frame decodes to shape {words.shape}, announced is {expected}")
        return DecodedImage(words=words, photometric_interpretation=str(found["photometric_interpretation"]))

    def encode(self, words: bytes, transfer_syntax_uid: str, layout: PixelLayout) -> bytes:
        """Encode one frame; see `Codecs.encode`."""
        options = _options(layout)
        if layout.samples > 1:
            options["planar_configuration"] = 0
        plugin = ENCODERS[transfer_syntax_uid]
        if transfer_syntax_uid == RLE_LOSSLESS:  # of bytes, not of values (PS3.5 annex G)
            options["bits_stored"] = layout.bits_allocated
            if len(words) % 2:
                plugin = "pydicom"  # GDCM's ends the process on it
        try:
            codestream = get_encoder(UID(transfer_syntax_uid)).encode(
                words, encoding_plugin=plugin, **options
            )
            again = self.decode(bytes(codestream), transfer_syntax_uid, layout)
        except (*REFUSALS, DecodeFailed) as error:
            raise EncodeFailed(f"a frame cannot be encoded without loss: {error}") from error
        if native_words(again.words, transfer_syntax_uid, layout).tobytes() != words:
            raise EncodeFailed("a frame has values that its codec would not give back")  # beyond BitsStored
        return bytes(codestream)


def native_words(words: Raw, transfer_syntax_uid: str, layout: PixelLayout) -> NDArray[np.unsignedinteger]:
    """Return decoded words as they lie where nothing compresses them (PS3.5 section 8.1.1).

    Parameters
    ----------
    words : integer array
        As its decoder gives them; a codec knows nothing of signs above BitsStored.
    transfer_syntax_uid : str
        Of what was decoded.
    layout : PixelLayout

    Returns
    -------
    unsigned integer array of the same shape
        Little endian, BitsAllocated bits each, colour by pixel. A word beyond BitsStored stays as it is: some
        scanners write padding there.
    """
    kind = np.dtype(f"<u{layout.bits_allocated // 8}")
    found = words.astype(kind)
    beyond = layout.bits_allocated - layout.bits_stored
    if layout.signed and beyond and transfer_syntax_uid not in NATIVE and transfer_syntax_uid != RLE_LOSSLESS:
        negative = words >> (layout.bits_stored - 1) == 1  # the sign bit, and nothing above it
        found[negative] |= kind.type(((1 << beyond) - 1) << layout.bits_stored)
    return found


def _options(layout: PixelLayout) -> dict[str, Any]:
    return {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric_interpretation,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.signed),
        "number_of_frames": 1,
    }
