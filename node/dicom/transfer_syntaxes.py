"""Which transfer syntaxes are read and written here (PS3.5 section 10 and annex A, PS3.6 table A-1)."""

from __future__ import annotations

from typing import Final

from node.dicom.part10 import DEFLATED_DATA_SETS, EXPLICIT_BIG_ENDIAN

IMPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.99"
JPEG_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
JPEG_LS_LOSSLESS: Final = "1.2.840.10008.1.2.4.80"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"

NATIVE: Final = frozenset(
    {IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN, *DEFLATED_DATA_SETS}
)
"""Pixel data lie as they are, in no codec."""

DECODERS: Final = {  # transfer syntax to the plug-in of pydicom that decodes it
    "1.2.840.10008.1.2.4.50": "gdcm",  # JPEG Baseline
    JPEG_EXTENDED: "gdcm",  # see `DEEPEST`
    "1.2.840.10008.1.2.4.57": "gdcm",  # JPEG Lossless
    "1.2.840.10008.1.2.4.70": "gdcm",  # JPEG Lossless, first-order prediction
    JPEG_LS_LOSSLESS: "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",  # JPEG-LS near-lossless
    JPEG_2000_LOSSLESS: "pylibjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg",  # JPEG 2000
    "1.2.840.10008.1.2.4.201": "pylibjpeg",  # HTJ2K lossless
    "1.2.840.10008.1.2.4.202": "pylibjpeg",  # HTJ2K lossless, RPCL
    "1.2.840.10008.1.2.4.203": "pylibjpeg",  # HTJ2K
    RLE_LOSSLESS: "pydicom",
}

DEEPEST: Final = {JPEG_EXTENDED: 8}
"""Bits of a sample that a decoder reads at most, where its transfer syntax has more: of an object in one of
these only its attributes tell whether it can be decoded."""

ENCODERS: Final = {  # transfer syntax to the plug-in of pydicom that encodes it; lossless ones alone
    JPEG_LS_LOSSLESS: "pyjpegls",
    JPEG_2000_LOSSLESS: "pylibjpeg",
    RLE_LOSSLESS: "gdcm",
}

LOSSY: Final = frozenset(
    {
        "1.2.840.10008.1.2.4.50",
        JPEG_EXTENDED,
        "1.2.840.10008.1.2.4.81",
        "1.2.840.10008.1.2.4.91",
        "1.2.840.10008.1.2.4.203",
    }
)
"""Those of `DECODERS` that may have lost something: decoded for who cannot, and never encoded anew."""

UNCOMPRESSED: Final = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, DEFLATED_LITTLE_ENDIAN)
"""Those without a codec that are written."""

TARGETS: Final = (*UNCOMPRESSED, *ENCODERS)
"""What an object can be transcoded into, in the order of preference."""
