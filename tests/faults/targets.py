"""What is fuzzed: functions of bytes that end without an exception, whatever the bytes are.

Each of them calls the node as the node calls itself, and looks at what came out of it.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from node.dicom.codec_processes import CodecProcesses
from node.dicom.compare import compare
from node.dicom.decode import decode_stored
from node.dicom.elements import Attributes, Encoding, HeaderWalk, Walk
from node.dicom.pixel_file import PixelFile
from node.dicom.read import HEADER, read_dataset, read_header
from node.dicom.stream import FileBytes, open_bytes
from node.domain.codecs import CodecLimits
from node.domain.errors import DicomError
from node.domain.identity import is_valid_uid
from tests.faults import seeds
from tests.faults.pdus import messages as made_messages
from tests.faults.stream_targets import messages, multipart, pdus

MAX_DECODED_BYTES = 1 << 22
"""A larger frame is decoded by the tests of the limits; a fuzzer would do nothing else."""


def header(data: bytes) -> bool:
    """Read the header of an object as before a C-STORE is answered; return whether it is one."""
    try:
        found = read_header(data)
    except DicomError:
        return False
    assert is_valid_uid(found.sop_instance_uid)
    assert is_valid_uid(found.study_instance_uid)
    assert len(found.frames) <= max(len(data), 1)
    return True


def stored_object(data: bytes) -> bool:
    """Read what the stations read of an object that was taken: header, data set, values, the first frame."""
    if not header(data):
        return False
    with tempfile.NamedTemporaryFile(dir=SHARED_MEMORY) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.write(data)
        file.flush()
        path = Path(file.name)
        try:
            read_dataset(path)
            compare(path, path, CODECS)
            pixels = PixelFile(path, CODECS)
            if pixels.layout.frame_bytes <= MAX_DECODED_BYTES:
                frame = decode_stored(pixels, 1)
                assert frame.stored.shape[:2] == (pixels.layout.rows, pixels.layout.columns)
        except DicomError:
            return False
    return True


CODECS = CodecProcesses(CodecLimits(processes=1, seconds=5))
SHARED_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # nothing of it needs a disk


def walks(data: bytes) -> bool:
    """Walk over a data set, whose encoding the first byte says, in both ways; return whether it is one.

    The walk that takes plain elements at once must find what the one finds that takes each for itself.
    """
    kind = data[0] if data else 0
    encoding = Encoding(implicit=bool(kind & 1), little_endian=not kind & 2)
    quick, plain = (_walked(way, data[1:], encoding) for way in (HeaderWalk, Walk))
    assert quick == plain
    return not isinstance(quick, type)


def _walked(way: type[Walk], data: bytes, encoding: Encoding) -> object:
    walk = way(FileBytes(open_bytes(data)), encoding, HEADER)
    try:
        found = walk.run()
    except DicomError as error:
        return type(error)
    return _plain(found), walk.pixel_data, walk.source.position, walk.character_set


def _plain(found: Attributes) -> dict[int, object]:
    return {
        tag: (element.vr, element.value, tuple(_plain(item) for item in element.items))
        for tag, element in found.elements.items()
    }


TARGETS: dict[str, Callable[[bytes], bool]] = {
    "header": header,
    "object": stored_object,
    "walks": walks,
    "pdus": pdus,
    "messages": messages,
    "multipart": multipart,
}


def seeds_of(target: str) -> dict[str, bytes]:
    """Return the generated seeds of a target by name."""
    if target in {"pdus", "messages"}:
        return made_messages()
    if target == "multipart":
        return seeds.bodies()
    return seeds.data_sets() if target == "walks" else seeds.objects()


def quiet() -> None:
    """Keep the log of what is refused away from the terminal."""
    logging.disable(logging.CRITICAL)
