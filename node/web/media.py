"""Media types of stored objects and of their frames, and which one a client is given (PS3.18 section 8.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from node.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN, NATIVE
from node.web.negotiation import MULTIPART, MediaRange

DICOM: Final = "application/dicom"
OCTETS: Final = "application/octet-stream"
AS_STORED: Final = "*"
"""Transfer syntax of a client that takes what is there (PS3.18 section 8.7.3.5.2)."""

FRAME_TYPES: Final = {  # PS3.18 table 8.7.3-5, and IANA for JPH (ISO/IEC 15444-15)
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
}
DEFAULT_SYNTAXES: Final = {  # of a media type whose transfer syntax is not named, PS3.18 table 8.7.3-5
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "image/jpeg": "1.2.840.10008.1.2.4.70",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/jpx": "1.2.840.10008.1.2.4.92",
    "image/jphc": "1.2.840.10008.1.2.4.201",
}

Possible: TypeAlias = Callable[[str, str], bool]
"""Says whether an object of the first transfer syntax can become one of the second."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """In what form something is given."""

    multipart: bool
    media_type: str
    """Of each part, or of the body."""
    transfer_syntax_uid: str

    @property
    def content_type(self) -> str:
        """Return the Content-Type of a part, or of the body that is none."""
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax_uid}"


def dicom_form(ranges: Sequence[MediaRange], stored: str, possible: Possible, *, single: bool) -> Form | None:
    """Return how an object is given, None where the client accepts nothing that it can be.

    Parameters
    ----------
    ranges : sequence of MediaRange
        What the client accepts, the best first.
    stored : str
        Transfer syntax of the object.
    possible : callable
    single : bool
        Whether one object is all that is asked for, so that it may be the body itself.
    """
    found = (
        Form(multipart=multipart, media_type=DICOM, transfer_syntax_uid=syntax)
        for item, multipart, root in _usable(ranges, DICOM, single=single)
        if MediaRange(type=root).covers(DICOM)
        for syntax in [_of_object(item.transfer_syntax, stored)]
        if possible(stored, syntax)
    )
    return next(found, None)


def frame_form(ranges: Sequence[MediaRange], stored: str, possible: Possible, *, single: bool) -> Form | None:
    """Return how frames are given, None where the client accepts nothing that they can be.

    Parameters
    ----------
    ranges : sequence of MediaRange
        What the client accepts, the best first.
    stored : str
        Transfer syntax of the object.
    possible : callable
    single : bool
        Whether one frame is all that is asked for, so that it may be the body itself.
    """
    for item, multipart, root in _usable(ranges, OCTETS, single=single):
        for media_type, syntax in _of_frame(root, item.transfer_syntax, stored):
            if possible(stored, syntax):
                return Form(multipart=multipart, media_type=media_type, transfer_syntax_uid=syntax)
    return None


def _usable(
    ranges: Sequence[MediaRange], anything: str, *, single: bool
) -> Iterator[tuple[MediaRange, bool, str]]:
    """Yield each range with whether it means several parts, and the media type of a part."""
    for item in ranges:
        if not item.quality:
            continue
        if item.type in {MULTIPART, "multipart/*"}:
            yield item, True, item.root or anything
        elif item.type == "*/*":
            yield item, True, "*/*"
        elif single:
            yield item, False, item.type


def _of_object(wanted: str, stored: str) -> str:
    return stored if wanted == AS_STORED else wanted or EXPLICIT_LITTLE_ENDIAN


def _of_frame(root: str, wanted: str, stored: str) -> Iterator[tuple[str, str]]:
    """Yield the media types and transfer syntaxes that one range means, the best first."""
    native = EXPLICIT_LITTLE_ENDIAN if stored in NATIVE else stored
    stored_type = FRAME_TYPES.get(stored, OCTETS)
    covers = MediaRange(type=root).covers
    if wanted in {"", AS_STORED}:
        if wanted == AS_STORED and covers(OCTETS):
            yield (stored_type if covers(stored_type) else OCTETS), native
        elif covers(OCTETS):
            yield OCTETS, EXPLICIT_LITTLE_ENDIAN
        if covers(stored_type):
            yield stored_type, native
        if not wanted and root in DEFAULT_SYNTAXES:
            yield root, DEFAULT_SYNTAXES[root]
        return
    media_type = FRAME_TYPES.get(wanted, OCTETS)
    if covers(media_type):
        yield media_type, EXPLICIT_LITTLE_ENDIAN if wanted in NATIVE else wanted
    elif covers(OCTETS):
        yield OCTETS, wanted
