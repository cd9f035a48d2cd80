"""Pixel data to stored values and Hounsfield units: every encoding, signs, masks, padding, limits."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from node.dicom.codestream import FrameSize, frame_size
from node.dicom.decode import DecodedFrame, decode_stored, hounsfield, read_hounsfield
from node.dicom.functional_groups import Rescale
from node.dicom.pixel_file import PixelFile
from node.dicom.write import save
from node.domain.errors import DecodeFailed, DicomError, HounsfieldUnknown, UnsupportedTransferSyntax
from node.imaging.phantom import ThoraxPhantom

SYNTAXES = [
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
]


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_transfer_syntax_gives_the_phantom_back(
    make_file: Callable[..., Path], phantom: ThoraxPhantom, syntax: str, signed: bool
) -> None:
    file = PixelFile(make_file(index=4, signed=signed, transfer_syntax_uid=syntax))
    units = read_hounsfield(file, 1)
    assert units.dtype == np.int16
    np.testing.assert_array_equal(units, phantom.slice_at(4).hu)


def _with_words(
    make_data_set: Callable[..., Dataset], path: Path, words: object, **attributes: object
) -> Path:
    data_set = make_data_set(**attributes)
    array = np.asarray(words)
    data_set.Rows, data_set.Columns = array.shape
    data_set.PixelData = array.astype("<u2").tobytes()
    save(data_set, path)
    return path


def test_bits_above_bits_stored_are_not_part_of_the_value(
    make_data_set: Callable[..., Dataset], tmp_path: Path
) -> None:
    path = _with_words(make_data_set, tmp_path / "a.dcm", [[0xF001, 0x1FFF], [0x0800, 0x07FF]], signed=False)
    np.testing.assert_array_equal(decode_stored(PixelFile(path), 1).stored, [[1, 4095], [2048, 2047]])
    path = _with_words(
        make_data_set,
        tmp_path / "b.dcm",
        [[0xF001, 0x1FFF], [0x0800, 0x07FF]],
        signed=True,
        BitsStored=12,
        HighBit=11,
    )
    np.testing.assert_array_equal(decode_stored(PixelFile(path), 1).stored, [[1, -1], [-2048, 2047]])


def test_a_high_bit_above_the_stored_bits_shifts(
    make_data_set: Callable[..., Dataset], tmp_path: Path
) -> None:
    path = _with_words(
        make_data_set, tmp_path / "a.dcm", [[0x0010, 0xFFF7], [0, 0x0020]], signed=False, HighBit=15
    )
    np.testing.assert_array_equal(decode_stored(PixelFile(path), 1).stored, [[1, 4095], [0, 2]])


@pytest.mark.parametrize(
    ("signed", "padding", "limit", "words", "expected"),
    [
        (True, 63536, None, [[63536, 0], [100, 65535]], [[True, False], [False, False]]),
        (True, 32768, None, [[32768, 32767], [0, 1]], [[True, False], [False, False]]),
        (True, 63536, 63540, [[63536, 63538], [63540, 63541]], [[True, True], [True, False]]),
        (True, 63540, 63536, [[63536, 63538], [63540, 63541]], [[True, True], [True, False]]),
        (False, 0, None, [[0, 1], [4095, 0]], [[True, False], [False, True]]),
        (False, 63536, None, [[63536, 0], [1, 4095]], [[True, False], [False, False]]),
    ],
)
def test_padding_in_the_stored_domain(
    make_data_set: Callable[..., Dataset],
    tmp_path: Path,
    signed: bool,
    padding: int,
    limit: int | None,
    words: list[list[int]],
    expected: list[list[bool]],
) -> None:
    data_set = make_data_set(signed=signed)
    data_set.add_new("PixelPaddingValue", "US", padding)
    if limit is not None:
        data_set.add_new("PixelPaddingRangeLimit", "US", limit)
    array = np.asarray(words)
    data_set.Rows, data_set.Columns = array.shape
    data_set.PixelData = array.astype("<u2").tobytes()
    save(data_set, tmp_path / "a.dcm")
    file = PixelFile(tmp_path / "a.dcm")
    np.testing.assert_array_equal(decode_stored(file, 1).padded, expected)
    assert (read_hounsfield(file, 1)[np.asarray(expected)] == -1024).all()


@given(
    stored=st.lists(st.integers(-40_000, 40_000), min_size=4, max_size=4),
    slope=st.sampled_from([1.0, 0.5, 2.0, 1.25]),
    intercept=st.sampled_from([-1024.0, 0.0, -1000.5]),
)
def test_rescale_is_rounded_and_clipped(stored: list[int], slope: float, intercept: float) -> None:
    array = np.asarray(stored, dtype=np.int64).reshape(2, 2)
    frame = DecodedFrame(stored=array, padded=np.zeros((2, 2), dtype=np.bool_))
    units = hounsfield(frame, Rescale(slope=slope, intercept=intercept))
    exact = np.clip(array * slope + intercept, -32768, 32767)
    assert (np.abs(units - exact) <= 0.5).all()


@pytest.mark.parametrize("attributes", [{"RescaleSlope": None}, {"RescaleType": "OD"}])
def test_without_rescale_there_are_no_hounsfield_units(
    make_file: Callable[..., Path], attributes: dict[str, object]
) -> None:
    with pytest.raises(HounsfieldUnknown):
        read_hounsfield(PixelFile(make_file(**attributes)), 1)


@pytest.mark.parametrize(
    "attributes",
    [
        {"Rows": 0},
        {"Rows": 65},
        {"Columns": 65535, "Rows": 65535},
        {"BitsAllocated": 12},
        {"BitsStored": 17, "HighBit": 16},
        {"HighBit": 3},
        {"NumberOfFrames": 2_000_000_000},
        {"PixelData": None},
    ],
)
def test_impossible_layouts_are_refused(
    make_data_set: Callable[..., Dataset], tmp_path: Path, attributes: dict[str, object]
) -> None:
    path = tmp_path / "a.dcm"
    save(make_data_set(**attributes), path)
    with pytest.raises(DecodeFailed):
        decode_stored(PixelFile(path), 1)


def test_a_frame_that_is_not_there(make_file: Callable[..., Path]) -> None:
    with pytest.raises(DecodeFailed, match="no frame 2"):
        decode_stored(PixelFile(make_file()), 2)


def test_a_transfer_syntax_without_decoder(make_data_set: Callable[..., Dataset], tmp_path: Path) -> None:
    data_set = make_data_set()
    data_set.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG2
    data_set["PixelData"].is_undefined_length = True
    data_set.PixelData = pydicom.encaps.encapsulate([b"\0" * 10])
    data_set.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(UnsupportedTransferSyntax):
        PixelFile(tmp_path / "a.dcm")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"])
def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(
    make_file: Callable[..., Path], change: Callable[..., Path], syntax: str
) -> None:
    path = make_file(transfer_syntax_uid=syntax)
    with pytest.raises(DecodeFailed, match="the codestream holds 64 x 64"):
        decode_stored(PixelFile(change(path, Rows=32)), 1)


@pytest.mark.parametrize("syntax", SYNTAXES[4:])
def test_spoiled_codestreams_end_in_an_error_of_the_node(make_file: Callable[..., Path], syntax: str) -> None:
    path = make_file(transfer_syntax_uid=syntax)
    data = bytearray(path.read_bytes())
    middle = len(data) - 400
    data[middle - 600 : middle] = b"\xff\xd9" * 300
    path.write_bytes(bytes(data))
    try:
        frame = decode_stored(PixelFile(path), 1)
    except DicomError:
        return
    assert frame.stored.shape == (64, 64)  # a decoder may bridge the damage


def test_frame_sizes() -> None:
    start_of_frame = struct.pack(">HHBHHB", 0xFFC3, 11, 16, 300, 200, 1)
    comment = b"\xff\xfe" + struct.pack(">H", 6) + b"abcd"
    frame_header = b"\xff\xd8" + comment + start_of_frame + b"\0" * 3
    scan = b"\xff\xda" + struct.pack(">H", 8)
    assert frame_size(frame_header + scan) == FrameSize(rows=300, columns=200, samples=1, bits=16)
    assert frame_size(frame_header) is None
    assert frame_size(frame_header + b"noise" + scan) is None
    siz = b"\xff\x4f\xff\x51" + struct.pack(">HHIIII16xH", 41, 0, 200, 300, 0, 0, 3)
    assert frame_size(siz + b"\0" * 8) == FrameSize(rows=300, columns=200, samples=3, bits=1)
    assert frame_size(b"") is None
    assert frame_size(b"\xff\xd8\xff") is None


@given(st.binary(max_size=80))
def test_any_bytes_have_a_size_or_none(data: bytes) -> None:
    for prefix in (b"", b"\xff\xd8", b"\xff\x4f\xff\x51"):
        size = frame_size(prefix + data)
        assert size is None or isinstance(size, FrameSize)


@pytest.mark.parametrize("intercept", [1e15, -1e15, 1e300, float(1 << 31), -1024.0])
@pytest.mark.parametrize("value", [0, 65535])
def test_no_offset_is_too_large_for_the_stored_values(
    make_data_set: Callable[..., Dataset], tmp_path: Path, intercept: float, value: int
) -> None:
    path = _with_words(
        make_data_set, tmp_path / "a.dcm", [[value] * 2], signed=False, BitsStored=16, HighBit=15
    )
    frame = decode_stored(PixelFile(path), 1)
    assert frame.stored.nbytes <= 4 * frame.stored.size, "a frame takes no more memory than it must"
    units = hounsfield(frame, Rescale(slope=1.0, intercept=intercept))
    assert (units == np.clip(value + intercept, -32768, 32767)).all()
