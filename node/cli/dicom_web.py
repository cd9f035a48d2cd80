"""The tables of the DICOM conformance statement about DICOMweb."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.uid import UID

from node.dicom.part10 import EXPLICIT_BIG_ENDIAN
from node.dicom.transcode import possible
from node.dicom.transfer_syntaxes import DECODERS, ENCODERS, EXPLICIT_LITTLE_ENDIAN, UNCOMPRESSED
from node.domain.query import ATTRIBUTES, Level
from node.web.media import FRAME_TYPES, OCTETS
from node.web.query_text import RETURNED

RESOURCES = {Level.STUDY: "studies", Level.SERIES: "series", Level.IMAGE: "instances"}


def web_tables() -> Iterator[tuple[str, tuple[str, ...], list[tuple[object, ...]]]]:
    """Yield title, columns and rows of each table."""
    rows: list[tuple[object, ...]] = [
        (RESOURCES[level], attribute.keyword, f"{attribute.tag:08X}", attribute.vr)
        for level in RESOURCES
        for attribute in ATTRIBUTES
        if attribute.keyword in RETURNED[level]
    ]
    yield "Attributes that QIDO-RS answers unasked", ("resource", "attribute", "tag", "VR"), rows
    yield "Frames that WADO-RS gives", ("stored as", "transfer syntax", "media type", "also as"), _frames()


def _frames() -> list[tuple[object, ...]]:
    """Return how the frames of each transfer syntax that has pixels are given."""
    known = (*sorted({*UNCOMPRESSED, EXPLICIT_BIG_ENDIAN}), *sorted({*FRAME_TYPES, *DECODERS}))
    return [(UID(stored).name, f"`{stored}`", _media_type(stored), _others(stored)) for stored in known]


def _media_type(stored: str) -> str:
    return f"`{FRAME_TYPES.get(stored, OCTETS)}`"


def _others(stored: str) -> str:
    """Return the other media types into which frames are transcoded; uncompressed bytes are one of them."""
    others = [
        FRAME_TYPES.get(wanted, OCTETS)
        for wanted in (EXPLICIT_LITTLE_ENDIAN, *ENCODERS)
        if wanted != stored and possible(stored, wanted)
    ]
    return ", ".join(f"`{item}`" for item in dict.fromkeys(others) if item != FRAME_TYPES.get(stored, OCTETS))
