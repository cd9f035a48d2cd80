"""The DICOM file format (PS3.10 section 7): preamble, File Meta Information, and what encoding follows."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from node.dicom.elements import (
    SHORT_LENGTH_VRS,
    Attributes,
    Encoding,
    HeaderWalk,
    PixelData,
    Walk,
    Wanted,
)
from node.dicom.stream import ByteSource, FileBytes, InflatedBytes, open_bytes
from node.domain.errors import NotDicom, TruncatedObject
from node.domain.identity import derived_uid, is_valid_uid

Source = Path | BinaryIO | bytes
WalkKind = TypeVar("WalkKind", bound=Walk)

IMPLEMENTATION_CLASS_UID = derived_uid("groundglass", "implementation class", "1")
IMPLEMENTATION_VERSION_NAME = "GROUNDGLASS_01"  # VR SH, at most 16 characters

EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED_DATA_SETS = frozenset(
    {
        "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    }
)

PREAMBLE = b"\0" * 128 + b"DICM"
SHORT_HEAD, LONG_HEAD = struct.Struct("<6xH"), struct.Struct("<8xI")
"""Of an element, with its length (PS3.5 section 7.1.2)."""
TRANSFER_SYNTAX_UID = 0x00020010
MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003
META_ELEMENTS = Wanted(values=frozenset({TRANSFER_SYNTAX_UID}))
IDENTIFYING_META_ELEMENTS = Wanted(
    values=frozenset({MEDIA_STORAGE_SOP_CLASS_UID, MEDIA_STORAGE_SOP_INSTANCE_UID, TRANSFER_SYNTAX_UID})
)
MOST_META_BYTES = 64 * 1024
"""Of preamble and File Meta Information together; they are some hundreds."""
LAST_IDENTIFYING_GROUP = 0x0008
"""Elements ascend by tag (PS3.5 section 7.1): what begins above group 0008 has no SOPInstanceUID."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The wanted elements of one object."""

    transfer_syntax_uid: str
    attributes: Attributes
    pixel_data: PixelData | None
    source: ByteSource
    """At the first byte of the pixel data, or at the end."""
    begin: int
    """Position of the data set's first byte within ``source``."""


def scan(
    stream: BinaryIO, wanted: Wanted, transfer_syntax_uid: str | None = None, *, bare: bool = False
) -> Scan:
    """Read the wanted elements of an object, up to its pixel data.

    Parameters
    ----------
    stream : BinaryIO
        A PS3.10 file, or a bare data set when ``transfer_syntax_uid`` is given; at its first byte.
    wanted : Wanted
    transfer_syntax_uid : str, optional
        In force where there is no File Meta Information.
    bare : bool
        Whether the stream is at the first byte of the data set itself, whatever that looks like.

    Raises
    ------
    NotDicom, TruncatedObject, ObjectTooLarge
    """
    source, syntax = _data_set(stream, transfer_syntax_uid, bare=bare)
    begin = source.position
    walk = HeaderWalk(source, _encoding(source, syntax), wanted)
    attributes = walk.run()
    return Scan(
        transfer_syntax_uid=syntax,
        attributes=attributes,
        pixel_data=walk.pixel_data,
        source=source,
        begin=begin,
    )


def open_walk(stream: BinaryIO, wanted: Wanted, kind: type[WalkKind]) -> WalkKind:
    """Return a walk of its own kind over the data set of a PS3.10 file; ``stream`` is at its first byte.

    Raises
    ------
    NotDicom, TruncatedObject
    """
    begun = open_data_set(stream)
    return kind(begun.source, begun.encoding, wanted)


@dataclass(frozen=True, kw_only=True)
class BegunDataSet:
    """A data set of which nothing was read yet."""

    source: ByteSource
    """At its first byte, inflated where its transfer syntax says so."""
    encoding: Encoding
    transfer_syntax_uid: str


def open_data_set(stream: BinaryIO) -> BegunDataSet:
    """Go to the data set of a PS3.10 file; ``stream`` is at its first byte.

    Raises
    ------
    NotDicom, TruncatedObject, ObjectTooLarge
    """
    source, syntax = _data_set(stream, None)
    return BegunDataSet(source=source, encoding=_encoding(source, syntax), transfer_syntax_uid=syntax)


@dataclass(frozen=True, kw_only=True)
class FileMeta:
    """What the File Meta Information says of an object (PS3.10 section 7.1); empty where it does not."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    size: int
    """Bytes from the beginning of the file to its data set."""


def file_meta(head: bytes, *, whole: bool) -> FileMeta | None:
    """Read the File Meta Information of an object of which only the first bytes are there yet.

    Parameters
    ----------
    head : bytes
    whole : bool
        Whether no more bytes follow.

    Returns
    -------
    FileMeta or None
        None when more bytes are needed.

    Raises
    ------
    NotDicom
    """
    last = whole or len(head) >= MOST_META_BYTES
    source = FileBytes(open_bytes(head))
    try:
        source.skip(len(PREAMBLE))
        if not head.startswith(b"DICM", 128):
            raise NotDicom(
                "not a DICOM file: no preamble (PS3.10 section 7.1); store it again from its source"
            )
        meta = _FileMeta(
            source, Encoding(implicit=False, little_endian=True), IDENTIFYING_META_ELEMENTS
        ).run()
        source.read(2)  # of the data set: the group number that ends the File Meta Information
    except TruncatedObject:
        if last:
            raise NotDicom("no data set follows File Meta Information of a usual size") from None
        return None
    return FileMeta(
        sop_class_uid=meta.text(MEDIA_STORAGE_SOP_CLASS_UID),
        sop_instance_uid=meta.text(MEDIA_STORAGE_SOP_INSTANCE_UID),
        transfer_syntax_uid=meta.text(TRANSFER_SYNTAX_UID),
        size=source.position - 2,
    )


def data_set_bytes(stream: BinaryIO, end: int) -> bytes:
    """Return the data set of a PS3.10 file from its first byte to the position ``end`` of an earlier scan."""
    source, _ = _data_set(stream, None)
    return source.read(end - source.position)


def data_set_offset(stream: BinaryIO) -> int:
    """Return where the data set of a PS3.10 file begins; ``stream`` is at its first byte.

    Raises
    ------
    NotDicom, TruncatedObject
    """
    source = FileBytes(stream)
    if _file_meta_syntax(source) is None:
        raise NotDicom("no File Meta Information (PS3.10 section 7.1); store the object again")
    return source.position


def data_set_offset_within(head: bytes) -> int | None:
    """Return where the data set of a PS3.10 file begins of which the first bytes are given.

    Most files say it in the usual way, in some hundred bytes; of any other it is None, and `data_set_offset`
    finds it or tells why not.
    """
    if not head.startswith(b"DICM", len(PREAMBLE) - 4):
        return None
    at, has_syntax = len(PREAMBLE), False
    while head[at : at + 2] == b"\x02\0":
        short = head[at + 4 : at + 6] in SHORT_LENGTH_VRS
        layout = SHORT_HEAD if short else LONG_HEAD
        if at + layout.size > len(head):
            return None
        has_syntax |= head[at + 2 : at + 6] == b"\x10\0UI"
        at += layout.size + layout.unpack_from(head, at)[0]
    return at if has_syntax and at + 2 <= len(head) else None


def _data_set(
    stream: BinaryIO, transfer_syntax_uid: str | None, *, bare: bool = False
) -> tuple[ByteSource, str]:
    """Return the bytes of the data set, inflated where its transfer syntax says so, and that syntax."""
    source: ByteSource = FileBytes(stream)
    syntax = (None if bare else _file_meta_syntax(source)) or transfer_syntax_uid
    if syntax is None:
        raise NotDicom(
            "no preamble and no File Meta Information (PS3.10 section 7.1): not a DICOM file; "
            "store it again from its source"
        )
    return (InflatedBytes(source) if syntax in DEFLATED_DATA_SETS else source), syntax


def open_source(source: Source) -> BinaryIO:
    """Return a readable stream of a path, of bytes or of a stream (rewound)."""
    if isinstance(source, Path):
        return source.open("rb")
    if isinstance(source, bytes):
        return open_bytes(source)
    source.seek(0)
    return source


def _file_meta_syntax(source: ByteSource) -> str | None:
    """Read preamble and File Meta Information; None when the object has none."""
    head = source.peek(len(PREAMBLE))
    if head[128:] == b"DICM":
        source.skip(len(PREAMBLE))
    elif head[:6] != b"\x02\0\0\0UL":  # File Meta Information without its preamble, seen in the field
        return None
    meta = _FileMeta(source, Encoding(implicit=False, little_endian=True), META_ELEMENTS).run()
    syntax = meta.text(TRANSFER_SYNTAX_UID)
    if not is_valid_uid(syntax):
        raise NotDicom("the File Meta Information names no transfer syntax (0002,0010)")
    return syntax


class _FileMeta(Walk):
    """A walk that ends where group 0002 does, whatever the group length says."""

    def _at_end(self) -> bool:
        return super()._at_end() or self.source.peek(2) != b"\x02\0"


def _encoding(source: ByteSource, syntax: str) -> Encoding:
    """Return how the data set is written: byte order by its syntax, explicit or not by its first element.

    Some senders write explicit VR under the implicit syntax, or the reverse; the letters of a VR cannot be
    the length of a first element.
    """
    head = source.peek(8)
    if len(head) < 8:
        raise TruncatedObject("the object has no data set behind its File Meta Information")
    little_endian = syntax != EXPLICIT_BIG_ENDIAN
    group = struct.unpack_from("<H" if little_endian else ">H", head)[0]
    if group > LAST_IDENTIFYING_GROUP:
        raise NotDicom(
            f"the data set begins with group {group:04X} under transfer syntax {syntax}: "
            "it is not DICOM, or its transfer syntax is another one"
        )
    code = head[4:6]
    return Encoding(implicit=not (code.isalpha() and code.isupper()), little_endian=little_endian)


def part10_prefix(*, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return preamble and File Meta Information of an object that came by C-STORE (PS3.10 section 7.1).

    The sender is not named in it: the same data set gives the same file, whoever sent it.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid : str
        Of the C-STORE request.
    transfer_syntax_uid : str
        Of the accepted presentation context.

    Returns
    -------
    bytes
        To be followed by the data set as received.
    """
    elements = b"".join(
        (
            struct.pack("<HH2sHI2s", 0x0002, 0x0001, b"OB", 0, 2, b"\0\1"),
            _ui(0x0002, sop_class_uid),
            _ui(0x0003, sop_instance_uid),
            _ui(0x0010, transfer_syntax_uid),
            _ui(0x0012, IMPLEMENTATION_CLASS_UID),
            _short(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii"), b" "),
        )
    )
    return PREAMBLE + struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(elements)) + elements


def _ui(element: int, uid: str) -> bytes:
    return _short(element, b"UI", uid.encode("ascii"), b"\0")


def _short(element: int, vr: bytes, value: bytes, padding: bytes) -> bytes:
    if len(value) % 2:
        value += padding
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value
