"""Objects that the fuzzers begin with: generated here, small, sound ones and hostile ones."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from node.dicom.part10 import part10_prefix
from node.dicom.write import PhantomLabels, phantom_data_set, save
from node.dicom.write_enhanced import enhanced_phantom
from node.imaging.phantom import ThoraxPhantom
from node.web.multipart import part_head

PHANTOM = ThoraxPhantom(slices=4, rows=64)
CHARACTER_SETS = ("ISO_IR 100", "\\ISO 2022 IR 87", "GB18030", "ISO_IR 192")
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
SYNTAXES = (
    IMPLICIT,
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    BIG_ENDIAN,
    "1.2.840.10008.1.2.4.80",
    JPEG_2000,
    "1.2.840.10008.1.2.5",
)


def small_ct(side: int = 8, **attributes: object) -> Dataset:
    """Return one slice of the phantom, cut down to ``side`` squared pixels; keywords set attributes."""
    data_set = phantom_data_set(PHANTOM, PHANTOM.slice_at(1), 1, PhantomLabels())
    data_set.Rows = data_set.Columns = side
    data_set.PixelData = data_set.PixelData[: 2 * side**2]
    for keyword, value in attributes.items():
        setattr(data_set, keyword, value)
    return data_set


def small_enhanced() -> Dataset:
    """Return the phantom as an Enhanced CT, cut down to 8 x 8 pixels a frame."""
    data_set = enhanced_phantom(PHANTOM, PhantomLabels())
    data_set.Rows = data_set.Columns = 8
    data_set.PixelData = data_set.PixelData[: 128 * int(data_set.NumberOfFrames)]
    return data_set


def file_bytes(data_set: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return the bytes of a PS3.10 file."""
    stream = io.BytesIO()
    save(data_set, stream, syntax)  # type: ignore[arg-type]  # what pydicom can write to
    return stream.getvalue()


def sound_objects() -> Iterator[tuple[str, bytes]]:
    """Return name and bytes of objects that the node takes."""
    for syntax in SYNTAXES:
        side = 32 if syntax == JPEG_2000 else 8  # its encoder takes nothing smaller
        yield f"ct-{syntax}", file_bytes(small_ct(side), syntax)
    for number, terms in enumerate(CHARACTER_SETS):
        yield f"characters-{number}", file_bytes(small_ct(SpecificCharacterSet=terms.split("\\")))
    yield "enhanced", file_bytes(small_enhanced())


def hostile_objects() -> Iterator[tuple[str, bytes]]:
    """Return name and bytes of objects that are wrong in ways that other nodes stumbled over."""
    sound = file_bytes(small_ct())
    meta_end = 132 + 12 + struct.unpack_from("<I", sound, 140)[0]
    head, body = sound[:meta_end], sound[meta_end:]
    item, endless = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF), 0xFFFFFFFF
    sequence = struct.pack("<HH2s2xI", 0x0008, 0x1140, b"SQ", endless)
    yield "cut", sound[: len(sound) // 2]
    yield "no-meta", body
    yield "nested", head + (sequence + item) * 40
    yield "huge-length", head + struct.pack("<HH2s2xI", 0x0008, 0x0018, b"UT", 0xFFFFFFF0)
    yield "odd-length", head + struct.pack("<HH2sH", 0x0008, 0x0018, b"UI", 3) + b"1.2" + body
    yield "twice", head + body + body
    yield "unknown-vr", head + struct.pack("<HH2sHI", 0x0008, 0x0001, b"ZZ", 0, 4) + b"\0" * 4 + body
    yield "item-too-long", head + sequence[:8] + struct.pack("<I", 8) + item[:4] + b"\xff\0\0\0" + body
    yield "sequence-of-noise", head + sequence[:8] + struct.pack("<I", 6) + b"noise!" + body
    yield "delimiter-first", head + struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + body
    deflated = part10_prefix(
        sop_class_uid="1.2.3", sop_instance_uid="1.2.4", transfer_syntax_uid="1.2.840.10008.1.2.1.99"
    )
    yield "deflate-noise", deflated + b"\xff" * 64
    yield "deflate-bomb", deflated + zlib.compress(b"\0" * (1 << 13), wbits=-15)
    yield "pixels-first", head + struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OB", endless) + item * 3
    rows = small_ct(Rows=65535, Columns=65535, NumberOfFrames=2**31 - 1)
    yield "bomb", file_bytes(rows)
    yield (
        "bomb-jpeg2000",
        file_bytes(small_ct(32), JPEG_2000).replace(
            b"\xff\x4f\xff\x51", b"\xff\x4f\xff\x51\x00\x29\x40\x00\xff\xff\xff\xff"
        ),
    )


def objects() -> dict[str, bytes]:
    """Return every seed of the stream parser."""
    return {**dict(sound_objects()), **dict(hostile_objects())}


def data_set_of(file: bytes) -> bytes:
    """Return what follows the File Meta Information of a seed."""
    return file[132 + 12 + struct.unpack_from("<I", file, 140)[0] :]


def data_sets() -> dict[str, bytes]:
    """Return every seed of the two walks: a byte that says the encoding, and a data set in it."""
    found = {}
    for kind, syntax in ((1, IMPLICIT), (0, ExplicitVRLittleEndian), (2, BIG_ENDIAN)):
        found[f"data-set-{kind}"] = bytes([kind]) + data_set_of(file_bytes(small_ct(), str(syntax)))
    for name, data in objects().items():
        if data[128:132] == b"DICM":
            found[f"{name}-bare"] = b"\0" + data_set_of(data)
    return found


def bodies() -> dict[str, bytes]:
    """Return every seed of the multipart reader: a line with the boundary, and a body."""
    found, object_ = {}, file_bytes(small_ct())[:1500]
    for name, boundary in (("short", "b"), ("long", "0123456789abcdef" * 4), ("marks", "a'()+_,-./:=? -b")):
        first = part_head(boundary, "application/dicom", first=True)
        other = part_head(boundary, "application/dicom", length=len(object_), location="/studies/1.2")
        body = first + object_ + other + object_ + f"\r\n--{boundary}--".encode()
        line = boundary.encode() + b"\n"
        found[f"{name}-whole"] = line + body
        found[f"{name}-preamble"] = line + b"preamble\r\n" + body + b"\r\nepilogue"
        found[f"{name}-cut"] = line + body[:-3]
        found[f"{name}-near"] = line + body.replace(object_, f"\r\n-\r\r\n--{boundary[:-1]}\r".encode())
        found[f"{name}-parts"] = line + first + other * 30 + f"\r\n--{boundary}--".encode()
    found["folded"] = b"b\n--b \t\r\nContent-Type: a;\r\n b=c\r\nx:\r\n\r\n\r\n--b--"
    found["no-header"] = b"b\n--b\r\n\r\ncontent\r\n--b\r\n\r\n\r\n--b--"
    found["long-header"] = b"b\n--b\r\nContent-Type: " + b"x" * 400 + b"\r\n\r\n"
    found["no-boundary"] = b"\xff\n--b\r\n\r\n\r\n--b--"
    return found
