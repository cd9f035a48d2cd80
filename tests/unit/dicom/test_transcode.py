"""Stored objects in other transfer syntaxes: the same data set, the same pixels, nothing lost."""

from __future__ import annotations

import contextlib
import copy
import io
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, SecondaryCaptureImageStorage

from node.dicom.codecs import InProcessCodecs
from node.dicom.part10 import data_set_offset
from node.dicom.pixel_file import IN_PROCESS, PixelFile
from node.dicom.transcode import Transcoder, possible
from node.dicom.transfer_syntaxes import (
    DECODERS,
    DEEPEST,
    ENCODERS,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    JPEG_LS_LOSSLESS,
    LOSSY,
    RLE_LOSSLESS,
    TARGETS,
    UNCOMPRESSED,
)
from node.dicom.write import save
from node.domain.errors import (
    DecodeFailed,
    DicomError,
    EncodeFailed,
    TruncatedObject,
    UnsupportedTransferSyntax,
)

BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
SOURCES = [*UNCOMPRESSED, BIG_ENDIAN, *ENCODERS]
TRANSCODER = Transcoder(IN_PROCESS)


def transcoded(path: Path, wanted: str) -> Dataset:
    return pydicom.dcmread(io.BytesIO(b"".join(TRANSCODER.part10(path, wanted))))


def written(data_set: Dataset, path: Path, syntax: str) -> Path:
    """Write with the library, which gives sequences the lengths that they have."""
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    data_set.file_meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    data_set.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("signed", [True, False])
def test_every_pair_of_transfer_syntaxes_keeps_attributes_and_pixels(
    make_data_set: Callable[..., Dataset], tmp_path: Path, signed: bool
) -> None:
    original = make_data_set(index=4, signed=signed)
    words = original.pixel_array
    path = tmp_path / "a.dcm"
    for stored in SOURCES:
        save(copy.deepcopy(original), path, stored)
        for wanted in TARGETS:
            found = transcoded(path, wanted)
            assert found.file_meta.TransferSyntaxUID == wanted
            np.testing.assert_array_equal(found.pixel_array, words, f"{stored} to {wanted}")
            del found.PixelData
            assert found == without_pixels(original), f"{stored} to {wanted}"


def without_pixels(data_set: Dataset) -> Dataset:
    left = copy.deepcopy(data_set)
    del left.PixelData
    return left


TEXTS = st.text("abc XYZ 09", max_size=12)


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 0) -> Dataset:
    """Draw a data set with sequences, private elements, and values of several kinds."""
    data_set = Dataset()
    if draw(st.booleans()):
        data_set.PixelRepresentation = draw(st.integers(0, 1))
        data_set.SmallestImagePixelValue = draw(st.integers(0, 99))  # US or SS
    data_set.add_new(0x00104000, "LT", draw(TEXTS).strip())
    if draw(st.booleans()):
        data_set.add_new(0x00189087, "FD", draw(st.floats(0, 1e9)))
    if draw(st.booleans()):
        block = data_set.private_block(0x0029, "GROUNDGLASS TEST", create=True)
        block.add_new(1, draw(st.sampled_from(["UN", "OB"])), draw(st.binary(max_size=8)).ljust(8, b"\0"))
    if depth < 3 and draw(st.booleans()):
        items = draw(st.lists(data_sets(depth + 1), max_size=2))
        data_set.add_new(draw(st.sampled_from([0x00081115, 0x52009230])), "SQ", Sequence(items))
        data_set[0x00081115 if 0x00081115 in data_set else 0x52009230].is_undefined_length = draw(
            st.booleans()
        )
    return data_set


@settings(max_examples=60, deadline=None)
@given(data_set=data_sets(), stored=st.sampled_from([*UNCOMPRESSED, BIG_ENDIAN]))
def test_any_data_set_is_written_as_the_library_writes_it(
    tmp_path_factory: pytest.TempPathFactory, data_set: Dataset, stored: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    data_set.SOPClassUID, data_set.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    path = written(copy.deepcopy(data_set), folder / "any.dcm", stored)
    known = pydicom.dcmread(path) if stored == IMPLICIT_LITTLE_ENDIAN else data_set  # no VR was written
    for wanted in UNCOMPRESSED:
        expected = pydicom.dcmread(written(copy.deepcopy(known), folder / "expected.dcm", wanted))
        assert transcoded(path, wanted) == expected


def test_words_of_big_endian_values_are_turned(make_data_set: Callable[..., Dataset], tmp_path: Path) -> None:
    data_set = make_data_set()
    data_set.add_new(0x00281201, "OW", b"\x01\x02\x03\x04")
    data_set.add_new(0x00660016, "OF", b"\x01\x02\x03\x04")
    data_set.add_new(0x00421011, "OB", b"\x01\x02\x03\x04")
    save(data_set, tmp_path / "a.dcm", BIG_ENDIAN)
    found = transcoded(tmp_path / "a.dcm", EXPLICIT_LITTLE_ENDIAN)
    assert found[0x00281201].value == b"\x02\x01\x04\x03"
    assert found[0x00660016].value == b"\x04\x03\x02\x01"
    assert found[0x00421011].value == b"\x01\x02\x03\x04"


def test_a_value_that_explicit_vr_has_no_length_for_becomes_unknown(
    make_data_set: Callable[..., Dataset], tmp_path: Path
) -> None:
    long = "1\\" * 40_000 + "1"
    data_set = make_data_set()
    save(data_set, tmp_path / "a.dcm", IMPLICIT_LITTLE_ENDIAN)
    data = (tmp_path / "a.dcm").read_bytes()
    at = data.index(struct.pack("<HH", 0x0028, 0x1052))
    element = struct.pack("<HHI", 0x0028, 0x1051, len(long) + 1) + long.encode() + b" "
    (tmp_path / "a.dcm").write_bytes(data[:at] + element + data[at:])
    found = transcoded(tmp_path / "a.dcm", EXPLICIT_LITTLE_ENDIAN)
    assert found.get_item(0x00281051).VR == "UN"
    assert len(found.get_item(0x00281051).value) == len(long) + 1


def test_what_is_possible() -> None:
    for stored in (*SOURCES, *LOSSY):
        assert possible(stored, stored)
        told_by_syntax = stored not in DEEPEST
        assert all(possible(stored, wanted) is told_by_syntax for wanted in UNCOMPRESSED)
    for stored in LOSSY:
        assert not any(possible(stored, wanted) for wanted in ENCODERS)
    assert not possible(EXPLICIT_LITTLE_ENDIAN, JPEG_BASELINE)
    assert not possible("1.2.840.10008.1.2.4.100", EXPLICIT_LITTLE_ENDIAN)
    assert possible("1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.100")
    assert set(DECODERS) >= LOSSY


def test_what_is_impossible_is_refused_by_the_call(make_file: Callable[..., Path]) -> None:
    path = make_file(transfer_syntax_uid=JPEG_2000_LOSSLESS)
    with pytest.raises(UnsupportedTransferSyntax):
        TRANSCODER.data_set(path, JPEG_BASELINE)
    with pytest.raises(UnsupportedTransferSyntax):
        TRANSCODER.frame(path, 1, "1.2.840.10008.1.2.4.91")


def test_stored_bytes_are_not_touched(make_file: Callable[..., Path]) -> None:
    path = make_file(transfer_syntax_uid=RLE_LOSSLESS)
    data = path.read_bytes()
    assert b"".join(TRANSCODER.data_set(path, RLE_LOSSLESS)) == data[data_set_offset(io.BytesIO(data)) :]


@pytest.mark.parametrize("wanted", [JPEG_LS_LOSSLESS, JPEG_2000_LOSSLESS])
def test_values_beyond_the_stored_bits_are_refused_where_a_codec_would_lose_them(
    make_file: Callable[..., Path], wanted: str
) -> None:
    path = make_file(signed=True, BitsStored=11, HighBit=10)  # the phantom has padding of -2000
    with pytest.raises(EncodeFailed):
        TRANSCODER.data_set(path, wanted)
    kept = path.with_name("kept.dcm")
    kept.write_bytes(b"".join(TRANSCODER.part10(path, RLE_LOSSLESS)))
    np.testing.assert_array_equal(PixelFile(kept).raw(1), PixelFile(path).raw(1).view(np.int16))


@pytest.fixture
def frames_in_colour(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Three frames in colour, plane by plane, with an icon."""
    rng = np.random.default_rng(7)
    words = rng.integers(0, 256, (3, 40, 47, 3), dtype=np.uint8)
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    data_set.Rows, data_set.Columns, data_set.NumberOfFrames = 40, 47, 3
    data_set.SamplesPerPixel, data_set.PhotometricInterpretation = 3, "RGB"
    data_set.PlanarConfiguration, data_set.PixelRepresentation = 1, 0
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = 8, 8, 7
    data_set.add_new(0x7FE00010, "OB", words.transpose(0, 3, 1, 2).tobytes())
    return written(data_set, tmp_path / "colour.dcm", EXPLICIT_LITTLE_ENDIAN), words


@pytest.mark.parametrize("wanted", list(ENCODERS))
def test_frames_in_colour_go_there_and_back(
    frames_in_colour: tuple[Path, np.ndarray], tmp_path: Path, wanted: str
) -> None:
    path, words = frames_in_colour
    there = tmp_path / "there.dcm"
    there.write_bytes(b"".join(TRANSCODER.part10(path, wanted)))
    np.testing.assert_array_equal(pydicom.dcmread(there).pixel_array, words)
    back = transcoded(there, IMPLICIT_LITTLE_ENDIAN)
    assert (back.PlanarConfiguration, back.PhotometricInterpretation) == (0, "RGB")
    np.testing.assert_array_equal(back.pixel_array, words)
    assert TRANSCODER.frame(there, 2, EXPLICIT_LITTLE_ENDIAN) == words[1].tobytes()
    assert TRANSCODER.frame(there, 3, wanted) == PixelFile(there).codestream(3)
    one = TRANSCODER.frame(path, 3, wanted)
    layout = PixelFile(there).layout
    np.testing.assert_array_equal(InProcessCodecs().decode(one, wanted, layout).words, words[2])


def test_an_image_compressed_with_loss_is_decoded_and_says_so(
    make_file: Callable[..., Path], tmp_path: Path
) -> None:
    grey = make_file(signed=False, BitsStored=8, HighBit=7, BitsAllocated=8, PixelData=bytes(range(64)) * 64)
    lossy = tmp_path / "lossy.dcm"
    subprocess.run(["dcmcjpeg", "+eb", grey, lossy], check=True)
    found = transcoded(lossy, EXPLICIT_LITTLE_ENDIAN)
    assert found.LossyImageCompression == "01"
    assert found.SOPInstanceUID == pydicom.dcmread(lossy).SOPInstanceUID
    np.testing.assert_array_equal(found.pixel_array, pydicom.dcmread(lossy).pixel_array)
    with pytest.raises(UnsupportedTransferSyntax):
        TRANSCODER.data_set(lossy, JPEG_LS_LOSSLESS)


def test_colours_of_fewer_chrominance_samples_are_full_when_decoded(
    frames_in_colour: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, _ = frames_in_colour
    one = pydicom.dcmread(path)
    one.NumberOfFrames, one.PixelData = 1, one.PixelData[: 40 * 47 * 3] + b"\0" * (40 * 47 * 3 % 2)
    written(one, path, EXPLICIT_LITTLE_ENDIAN)
    lossy = tmp_path / "lossy.dcm"
    subprocess.run(["dcmcjpeg", "+eb", "+cy", "+s2", path, lossy], check=True)
    data_set = pydicom.dcmread(lossy)
    assert data_set.PhotometricInterpretation == "YBR_FULL_422"
    del data_set.LossyImageCompression
    data_set.save_as(lossy)
    for wanted in UNCOMPRESSED:
        found = transcoded(lossy, wanted)
        assert found.PhotometricInterpretation == "YBR_FULL"
        assert found.LossyImageCompression == "01"
        np.testing.assert_array_equal(
            pydicom.pixels.pixel_array(found, raw=True), pydicom.pixels.pixel_array(lossy, raw=True)
        )


@pytest.mark.parametrize("vr", ["OB", "OW"])
def test_bytes_that_lie_in_big_endian_words_are_turned(tmp_path: Path, vr: str) -> None:
    frames = np.random.default_rng(3).integers(0, 256, (3, 7, 11), dtype=np.uint8)
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    data_set.Rows, data_set.Columns, data_set.NumberOfFrames = 7, 11, 3
    data_set.SamplesPerPixel, data_set.PhotometricInterpretation = 1, "MONOCHROME2"
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = 8, 8, 7
    data_set.PixelRepresentation = 0
    content = frames.tobytes() + b"\0"
    swapped = np.frombuffer(content, ">u2").astype("<u2").tobytes()
    data_set.add_new(0x7FE00010, vr, swapped if vr == "OW" else content)
    path = written(data_set, tmp_path / "a.dcm", BIG_ENDIAN)
    for number in (1, 2, 3):
        np.testing.assert_array_equal(PixelFile(path).raw(number), frames[number - 1])
        assert TRANSCODER.frame(path, number, EXPLICIT_LITTLE_ENDIAN) == frames[number - 1].tobytes()
    for wanted in (EXPLICIT_LITTLE_ENDIAN, RLE_LOSSLESS):
        np.testing.assert_array_equal(transcoded(path, wanted).pixel_array, frames)


def test_pixels_of_32_bits_are_turned_as_a_whole(tmp_path: Path) -> None:
    words = np.random.default_rng(3).integers(0, 1 << 32, (6, 8), dtype=np.uint32)
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    data_set.Rows, data_set.Columns, data_set.SamplesPerPixel = 6, 8, 1
    data_set.PhotometricInterpretation, data_set.PixelRepresentation = "MONOCHROME2", 0
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = 32, 32, 31
    data_set.add_new(0x7FE00010, "OW", words.astype(">u4").tobytes())
    path = written(data_set, tmp_path / "a.dcm", BIG_ENDIAN)
    np.testing.assert_array_equal(PixelFile(path).raw(1), words)
    np.testing.assert_array_equal(transcoded(path, EXPLICIT_LITTLE_ENDIAN).pixel_array, words)


@pytest.mark.parametrize("stored", [EXPLICIT_LITTLE_ENDIAN, JPEG_LS_LOSSLESS])
def test_what_follows_the_pixels_is_kept_but_for_their_signatures(
    make_data_set: Callable[..., Dataset], tmp_path: Path, stored: str
) -> None:
    data_set = make_data_set()
    private = data_set.private_block(0x7FE1, "GROUNDGLASS TEST", create=True)
    private.add_new(1, "OB", b"moves")
    signature = Dataset()
    signature.MACIDNumber = 1
    data_set.DigitalSignaturesSequence = [signature]
    data_set.DataSetTrailingPadding = b"\0\0"
    words = data_set.pixel_array
    save(data_set, tmp_path / "a.dcm", stored)
    for wanted in {*TARGETS} - {stored}:
        found = transcoded(tmp_path / "a.dcm", wanted)
        np.testing.assert_array_equal(found.pixel_array, words)
        assert found.private_block(0x7FE1, "GROUNDGLASS TEST")[1].value.strip(b"\0") == b"moves"
        assert "DataSetTrailingPadding" in found
        if stored not in UNCOMPRESSED or wanted not in UNCOMPRESSED:
            assert "DigitalSignaturesSequence" not in found


def test_an_icon_is_left_out_with_the_codec(make_data_set: Callable[..., Dataset], tmp_path: Path) -> None:
    data_set = make_data_set()
    icon = Dataset()
    icon.Rows = icon.Columns = 1
    icon.add_new(0x7FE00010, "OB", encapsulate([b"\xff\xd8\xff\xd9"]))
    icon[0x7FE00010].is_undefined_length = True
    data_set.IconImageSequence = [icon]
    data_set.compress(RLE_LOSSLESS, generate_instance_uid=False)
    data_set.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert "IconImageSequence" in transcoded(tmp_path / "a.dcm", RLE_LOSSLESS)
    assert "IconImageSequence" not in transcoded(tmp_path / "a.dcm", EXPLICIT_LITTLE_ENDIAN)


def test_damage_is_an_error_of_the_call_or_of_the_iterator(make_file: Callable[..., Path]) -> None:
    path = make_file(transfer_syntax_uid=JPEG_LS_LOSSLESS)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\xff\xf7", b"\xff\xf6"))  # no JPEG-LS frame header any more
    with pytest.raises(DecodeFailed):
        TRANSCODER.data_set(path, EXPLICIT_LITTLE_ENDIAN)
    whole = make_file("b.dcm")
    whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(TruncatedObject):
        b"".join(TRANSCODER.data_set(whole, IMPLICIT_LITTLE_ENDIAN))


@given(at=st.integers(132, 3000), byte=st.integers(0, 255), wanted=st.sampled_from(TARGETS))
@settings(max_examples=60, deadline=None)
def test_any_damaged_header_ends_in_an_error_of_the_node(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, wanted: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.dcm"
    data = bytearray(DAMAGEABLE)
    data[at % len(data)] = byte
    path.write_bytes(data)
    with contextlib.suppress(DicomError):
        b"".join(TRANSCODER.part10(path, wanted))


def _damageable() -> bytes:
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.4"
    data_set.ReferencedImageSequence = [item, item]
    data_set["ReferencedImageSequence"].is_undefined_length = True
    data_set.Rows = data_set.Columns = 4
    data_set.SamplesPerPixel, data_set.PhotometricInterpretation = 1, "MONOCHROME2"
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = 16, 12, 11
    data_set.PixelRepresentation = 0
    data_set.add_new(0x7FE00010, "OW", bytes(32))
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE_ENDIAN)
    stream = io.BytesIO()
    data_set.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


DAMAGEABLE = _damageable()
