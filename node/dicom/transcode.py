"""A stored object in another transfer syntax, without loss and with flat memory.

Between uncompressed syntaxes only the encoding of the elements changes. Compressed pixel data are decoded
frame by frame, and encoded by a lossless codec where that is wanted; what was compressed with loss is decoded
and never encoded anew. The SOP Instance UID stays: nothing of the image changes (PS3.3 C.7.6.1.1.5).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from node.dicom.codecs import Codecs
from node.dicom.elements import Wanted
from node.dicom.part10 import Scan, data_set_offset, open_data_set, part10_prefix, scan
from node.dicom.pixel_transcode import TranscodedPixels
from node.dicom.reencode import BLOCK, Reencoder
from node.dicom.stored_frames import StoredFrames
from node.dicom.stream import ByteSource, FileBytes
from node.dicom.tags import Tag
from node.dicom.transfer_syntaxes import (
    DECODERS,
    DEEPEST,
    DEFLATED_LITTLE_ENDIAN,
    ENCODERS,
    IMPLICIT_LITTLE_ENDIAN,
    LOSSY,
    NATIVE,
    TARGETS,
    UNCOMPRESSED,
)
from node.domain.errors import EncodeFailed, IdentityMissing, UnsupportedTransferSyntax
from node.domain.identity import is_valid_uid

IDENTITY = Wanted(values=frozenset({Tag.SOPClassUID, Tag.SOPInstanceUID}))


def possible(stored: str, wanted: str) -> bool:
    """Whether any object in one transfer syntax can be given in another without loss; itself always can.

    Parameters
    ----------
    stored, wanted : str
        Transfer syntax UIDs.
    """
    if stored == wanted or (stored in NATIVE and wanted in TARGETS):
        return True
    if stored not in DECODERS or stored in DEEPEST:
        return False
    return wanted in UNCOMPRESSED or (wanted in ENCODERS and stored not in LOSSY)


class Transcoder:
    """Gives stored objects in other transfer syntaxes.

    Parameters
    ----------
    codecs : Codecs
        Who decodes and encodes.
    """

    def __init__(self, codecs: Codecs) -> None:
        self._codecs = codecs

    def possible(self, stored: str, wanted: str) -> bool:
        """Whether it can be done without loss; see `possible`."""
        return possible(stored, wanted)

    def data_set(self, path: Path, wanted: str) -> Iterator[bytes]:
        """Return the data set of a file in a transfer syntax, in blocks, without File Meta Information.

        What can be refused is refused by the call: the first frame is transcoded by then. What is damaged
        further on is an error of the iterator.

        Parameters
        ----------
        path : Path
            PS3.10 file.
        wanted : str
            Transfer syntax UID.

        Raises
        ------
        UnsupportedTransferSyntax
            It cannot be done without loss; see `possible`.
        DecodeFailed, EncodeFailed, NotDicom, TruncatedObject, ObjectTooLarge
        """
        found = _scan(path)
        if found.transfer_syntax_uid == wanted:
            return _begun(_as_stored(path))
        _require_possible(found, wanted)
        return _begun(self._transcoded(path, found, wanted))

    def part10(self, path: Path, wanted: str) -> Iterator[bytes]:
        """Return a file in a transfer syntax, in blocks: preamble, File Meta Information and data set.

        Raises
        ------
        DicomError
            See `data_set`.
        """
        attributes = _scan(path).attributes
        sop_class_uid, sop_instance_uid = map(attributes.text, (Tag.SOPClassUID, Tag.SOPInstanceUID))
        if not (is_valid_uid(sop_class_uid) and is_valid_uid(sop_instance_uid)):
            raise IdentityMissing("SOPClassUID or SOPInstanceUID is absent or malformed")
        prefix = part10_prefix(
            sop_class_uid=sop_class_uid, sop_instance_uid=sop_instance_uid, transfer_syntax_uid=wanted
        )
        return chain((prefix,), self.data_set(path, wanted))

    def frame(self, path: Path, number: int, wanted: str) -> bytes:
        """Return one frame in a transfer syntax.

        Parameters
        ----------
        path : Path
            PS3.10 file.
        number : int
            Frame number from 1.
        wanted : str
            Transfer syntax UID.

        Returns
        -------
        bytes
            Little endian words, or one codestream without padding.

        Raises
        ------
        DicomError
            See `data_set`.
        """
        found = _scan(path)
        stored = found.transfer_syntax_uid
        if stored == wanted or (stored in NATIVE and wanted in NATIVE):
            return b"".join(StoredFrames(path).pieces(number))
        _require_possible(found, wanted)
        return TranscodedPixels(path, wanted, self._codecs, first=number).frame(number)

    def _transcoded(self, path: Path, found: Scan, wanted: str) -> Iterator[bytes]:
        blocks = self._blocks(path, found, wanted)
        return _deflated(blocks) if wanted == DEFLATED_LITTLE_ENDIAN else blocks

    def _blocks(self, path: Path, found: Scan, wanted: str) -> Iterator[bytes]:
        if wanted in ENCODERS and found.pixel_data is None:
            raise EncodeFailed("an object without pixel data has nothing to compress")
        implicit = wanted == IMPLICIT_LITTLE_ENDIAN
        pixels = None
        if found.pixel_data is not None and not (found.transfer_syntax_uid in NATIVE and wanted in NATIVE):
            pixels = TranscodedPixels(path, wanted, self._codecs)
            pixels.require_room()
        with path.open("rb") as stream:
            begun = open_data_set(stream)
            given = begun.encoding
            if pixels is None and given.implicit == implicit and given.little_endian:
                yield from _rest(begun.source)
                return
            changes = pixels.changes() if pixels is not None else None
            yield from Reencoder(
                begun.source,
                given,
                implicit=implicit,
                changes=changes,
                pixels=pixels.element if pixels is not None else None,
            ).blocks()


def _scan(path: Path) -> Scan:
    with path.open("rb") as stream:
        return scan(stream, IDENTITY)


def _require_possible(found: Scan, wanted: str) -> None:
    if not possible(found.transfer_syntax_uid, wanted):
        raise UnsupportedTransferSyntax(
            f"what is stored in {found.transfer_syntax_uid} is not given in {wanted}; ask for it as it is, "
            "or uncompressed"
        )


def _begun(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Go as far as the first block, so that most errors come before anything is sent."""
    return chain((next(blocks, b""),), blocks)


def _as_stored(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(data_set_offset(stream))
        yield from _rest(FileBytes(stream))


def _rest(source: ByteSource) -> Iterator[bytes]:
    while block := source.peek(BLOCK):
        source.skip(len(block))
        yield block


def _deflated(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Compress a data set (PS3.5 section A.5): RFC 1951 without a header, to an even length."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    written = 0
    for block in blocks:
        data = deflate.compress(block)
        written += len(data)
        if data:
            yield data
    data = deflate.flush()
    yield data + b"\0" * ((written + len(data)) % 2)
