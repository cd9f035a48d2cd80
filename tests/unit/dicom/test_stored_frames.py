"""Frames and large values as they lie in a stored object."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from node.dicom.bulk_values import find_value
from node.dicom.stored_frames import StoredFrames
from node.domain.errors import DecodeFailed, DicomError, NotDicom, TruncatedObject

NATIVE = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes an image of some frames; keywords set attributes."""
    numbers = itertools.count()

    def write(syntax: str, frames: int, pixels: bytes, **attributes: object) -> Path:
        data_set = Dataset()
        data_set.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7.3"
        data_set.SOPInstanceUID = "2.25.7"
        data_set.SamplesPerPixel, data_set.PhotometricInterpretation = 1, "MONOCHROME2"
        data_set.Rows, data_set.Columns, data_set.NumberOfFrames = 4, 6, frames
        data_set.BitsAllocated = 16
        for keyword, value in attributes.items():
            setattr(data_set, keyword, value)
        uid = UID(syntax)
        if "FloatPixelData" not in attributes:
            data_set.add_new(0x7FE00010, "OB" if uid.is_encapsulated else "OW", pixels)
            data_set["PixelData"].is_undefined_length = uid.is_encapsulated
        data_set.file_meta = FileMetaDataset()
        data_set.file_meta.TransferSyntaxUID = uid
        path = tmp_path / f"{next(numbers)}.dcm"
        dcmwrite(
            path,
            data_set,
            enforce_file_format=True,
            implicit_vr=uid.is_implicit_VR,
            little_endian=uid.is_little_endian,
        )
        return path

    return write


def read(path: Path) -> list[bytes]:
    """Return the bytes of every frame; their size is what was told before."""
    frames = StoredFrames(path)
    found = []
    for number in range(1, frames.number_of_frames + 1):
        data = b"".join(frames.pieces(number))
        assert len(data) == frames.size(number)
        found.append(data)
    return found


@pytest.mark.parametrize("syntax", NATIVE)
def test_frames_that_are_not_compressed_come_little_endian(syntax: str, written: Callable[..., Path]) -> None:
    pixels = np.arange(3 * 24, dtype="<u2") * 257 + 3
    stored = pixels.byteswap() if syntax == ExplicitVRBigEndian else pixels
    assert b"".join(read(written(syntax, 3, stored.tobytes()))) == pixels.tobytes()


def test_frames_of_single_bits_are_packed_anew(written: Callable[..., Path]) -> None:
    bits = np.random.default_rng(5).integers(0, 2, (3, 5, 3), dtype=np.uint8)
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    path = written(ExplicitVRLittleEndian, 3, packed, Rows=5, Columns=3, BitsAllocated=1)
    for data, frame in zip(read(path), bits, strict=True):
        unpacked = np.unpackbits(np.frombuffer(data, np.uint8), count=15, bitorder="little")
        assert unpacked.tolist() == frame.ravel().tolist()


def test_floats_and_subsampled_colours_are_as_long_as_they_are(written: Callable[..., Path]) -> None:
    floats = np.linspace(-1, 1, 48, dtype="<f4").tobytes()
    path = written(ExplicitVRLittleEndian, 2, b"", FloatPixelData=floats)
    assert read(path) == [floats[:96], floats[96:]]
    colours = bytes(range(96))
    path = written(
        ExplicitVRLittleEndian,
        2,
        colours,
        BitsAllocated=8,
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_FULL_422",
    )
    assert read(path) == [colours[:48], colours[48:]]


def fragmented(frames: Sequence[Sequence[bytes]], *, table: bool) -> bytes:
    """Return encapsulated pixel data whose frames have several fragments."""
    items = [
        b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in frame) for frame in frames
    ]
    starts = [0, *itertools.accumulate(map(len, items))][:-1]
    offsets = struct.pack(f"<{len(starts)}I", *starts) if table else b""
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(offsets)) + offsets + b"".join(items)


CODESTREAMS = (b"\xff\xd8ab\xff\xd9", b"\xff\xd8abcdef\xff\xd9", b"\xff\xd8abcdefgh\xff\xd9\x00\x00")


def test_compressed_frames_are_found_by_every_kind_of_table(written: Callable[..., Path]) -> None:
    whole = list(CODESTREAMS)
    data, offsets, lengths = encapsulate_extended(whole)
    parts = [[item[:4], item[4:]] for item in whole]
    for pixels, more in (
        (encapsulate(whole, has_bot=True), {}),
        (encapsulate(whole, has_bot=False), {}),
        (data, {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}),
        (fragmented(parts, table=True), {}),
        (fragmented(parts, table=False), {}),
    ):
        assert read(written(JPEGLSLossless, 3, pixels, **more)) == whole
    assert read(written(JPEGLSLossless, 1, fragmented([[b"ab", b"cd"], [b"ef"]], table=True))) == [b"abcdef"]


def test_what_does_not_tell_its_frames_is_refused(written: Callable[..., Path]) -> None:
    with pytest.raises(DecodeFailed, match="tell 2 frames apart"):
        read(written(JPEGLSLossless, 2, fragmented([[b"ab", b"cd", b"ef"]], table=False)))
    broken = bytearray(fragmented([[b"abcd"], [b"efgh"]], table=True))
    struct.pack_into("<I", broken, 12, 10)
    with pytest.raises(DicomError):
        read(written(JPEGLSLossless, 2, bytes(broken)))
    with pytest.raises(DecodeFailed, match="have 48"):
        StoredFrames(written(ExplicitVRLittleEndian, 2, bytes(48)))
    with pytest.raises(DecodeFailed, match="no frame 2"):
        StoredFrames(written(ExplicitVRLittleEndian, 1, bytes(48))).size(2)
    with pytest.raises(DecodeFailed, match="beyond the limit"):
        StoredFrames(written(ExplicitVRLittleEndian, 2_000_000_000, bytes(48)))


@given(cut=st.integers(min_value=0, max_value=400), at=st.integers(0, 400), byte=st.integers(0, 255))
@settings(max_examples=60)
def test_spoilt_files_give_errors_of_the_node(
    cut: int, at: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(HOSTILE)
    if at < len(data) - 132:
        data[132 + at] = byte
    path = tmp_path_factory.getbasetemp() / "spoilt.dcm"
    path.write_bytes(data[: len(data) - cut])
    try:
        frames = StoredFrames(path)
        for number in range(1, min(frames.number_of_frames, 4) + 1):
            assert sum(map(len, frames.pieces(number))) == frames.size(number)
    except DicomError:
        pass


def _hostile() -> bytes:
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", 22) + b"1.2.840.10008.1.2.4.80"
    head = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)) + meta
    values = b"".join(
        struct.pack("<HH2sHH", 0x28, element, b"US", 2, value)
        for element, value in ((0x02, 1), (0x10, 4), (0x11, 6), (0x100, 16))
    )
    frames = struct.pack("<HH2sH", 0x28, 0x08, b"IS", 2) + b"3 "
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF)
    body = fragmented([[item] for item in CODESTREAMS], table=True)
    first = struct.pack("<HH2sH", 8, 0x60, b"CS", 2) + b"OT"
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return bytes(128) + b"DICM" + head + first + values + frames + pixels + body + end


HOSTILE = _hostile()


@pytest.fixture(params=NATIVE)
def document(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return an object with large values at several depths."""
    uid = UID(request.param)
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.8"
    data_set.EncapsulatedDocument = bytes(range(256))
    first, second, inner = Dataset(), Dataset(), Dataset()
    first.TextValue = "none of these"
    inner.LUTData = list(range(256, 512))
    inner["LUTData"].VR = "US"
    second.ModalityLUTSequence = [inner]
    data_set.ContentSequence = [first, second]
    data_set["ContentSequence"].is_undefined_length = True
    second.is_undefined_length_sequence_item = True
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = uid
    path = tmp_path / "document.dcm"
    dcmwrite(
        path,
        data_set,
        enforce_file_format=True,
        implicit_vr=uid.is_implicit_VR,
        little_endian=uid.is_little_endian,
    )
    return path


def test_values_are_found_by_their_place(document: Path) -> None:
    entries = np.arange(256, 512, dtype="<u2").tobytes()
    with document.open("rb") as stream:

        def value(*place: int) -> bytes | None:
            stream.seek(0)
            found = find_value(stream, place)
            return None if found is None else b"".join(found.pieces())

        assert value(0x00420011) == bytes(range(256))
        assert value(0x0040A730, 2, 0x00283000, 1, 0x00283006) == entries
        for absent in (
            (0x00420010,),
            (0x0040A730,),
            (0x0040A730, 3, 0x00283000),
            (0x0040A730, 1, 0x00283000, 1, 0x00283006),
            (0x0040A730, 2),
            (0x00420011, 1, 0x00080005),
        ):
            assert value(*absent) is None


def test_a_value_that_is_not_all_there_is_an_error(document: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.dcm"
    whole = document.read_bytes()
    cut.write_bytes(whole[: len(whole) - 30])

    def value() -> bytes:
        with cut.open("rb") as stream:
            found = find_value(stream, (0x00420011,))
            assert found is not None
            return b"".join(found.pieces())

    with pytest.raises((TruncatedObject, NotDicom)):
        value()


def test_few_bytes_with_frames_that_take_hours_are_refused(written: Callable[..., Path]) -> None:
    path = written(DeflatedExplicitVRLittleEndian, 90_000, bytes(48 * 90_000))
    assert path.stat().st_size < 10_000
    with pytest.raises(DecodeFailed, match="in good time"):
        StoredFrames(path)
    assert StoredFrames(written(ExplicitVRLittleEndian, 60_000, bytes(48 * 60_000))).size(60_000) == 48
