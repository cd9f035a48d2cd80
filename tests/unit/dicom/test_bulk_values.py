"""One value of a big endian object, little endian: word by word, as pydicom writes and reads it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from node.dicom.bulk_values import find_value, little_endian
from node.dicom.part10 import open_data_set
from node.dicom.reencode import Reencoder

PRIVATE = 0x00111010
PLACES = {False: (PRIVATE,), True: (0x00400275, 1, PRIVATE)}
NUMBERS = {"US": "u2", "SS": "i2", "UL": "u4", "SL": "i4", "UV": "u8", "SV": "i8", "FL": "f4", "FD": "f8"}
OTHERS = {"OB": "u1", "OW": "u2", "OF": "u4", "OL": "u4", "OD": "u8", "OV": "u8", "UN": "u1"}
"""The words of values that pydicom writes as they are given (PS3.5 table 6.2-1)."""


def written(data_set: Dataset, syntax: UID) -> io.BytesIO:
    data_set.SOPClassUID = SecondaryCaptureImageStorage
    data_set.SOPInstanceUID = "1.2.3"
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    data_set.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return stream


def holding(vr: str, value: Any, *, nested: bool) -> Dataset:
    inner, outer = Dataset(), Dataset()
    inner.add_new(0x00110010, "LO", "TEST")
    inner.add_new(PRIVATE, vr, value)
    outer.RequestAttributesSequence = [inner]
    return outer if nested else inner


def value_at(stream: io.BytesIO, *place: int) -> bytes:
    stream.seek(0)
    found = find_value(stream, place)
    assert found is not None
    return b"".join(found.pieces())


def reencoded(stream: io.BytesIO) -> Dataset:
    begun = open_data_set(stream)
    again = b"".join(Reencoder(begun.source, begun.encoding, implicit=False).blocks())
    return pydicom.dcmread(io.BytesIO(again), force=True)


@given(
    vr=st.sampled_from([*NUMBERS, *OTHERS, "AT"]),
    raw=st.binary(min_size=8, max_size=64).map(lambda raw: raw[: len(raw) // 8 * 8]),
    nested=st.booleans(),
)
def test_words_of_every_representation_are_turned(vr: str, raw: bytes, nested: bool) -> None:
    def value(order: str) -> Any:
        words = np.frombuffer(raw, f"<{(NUMBERS | OTHERS).get(vr, 'u4')}")
        return (
            words.tolist()
            if vr in NUMBERS or vr == "AT"
            else words.astype(f"{order}{words.dtype.str[1:]}").tobytes()
        )

    if vr in {"FL", "FD"} and not np.isfinite(np.frombuffer(raw, NUMBERS[vr])).all():
        return
    big = written(holding(vr, value(">"), nested=nested), ExplicitVRBigEndian)
    little = written(holding(vr, value("<"), nested=nested), ExplicitVRLittleEndian)
    assert value_at(big, *PLACES[nested]) == value_at(little, *PLACES[nested])


@pytest.mark.parametrize(
    ("bits", "vr"),
    [(8, "OB"), (8, "OW"), (16, "OW"), (32, "OW"), (32, "FloatPixelData"), (64, "DoubleFloatPixelData")],
)
def test_pixels_are_those_that_pydicom_reads(bits: int, vr: str) -> None:
    random = np.random.default_rng(bits)
    data_set = Dataset()
    data_set.Rows, data_set.Columns, data_set.SamplesPerPixel = 3, 4, 1
    data_set.PhotometricInterpretation = "MONOCHROME2"
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = bits, bits, bits - 1
    data_set.PixelRepresentation = 0
    kind = f"u{bits // 8}" if len(vr) == 2 else f"f{bits // 8}"
    words = random.integers(1, 200, (3, 4)).astype(kind)
    stored = words.astype(f">{kind}").tobytes()
    if (bits, vr) == (8, "OW"):
        stored = words.view("u2").byteswap().tobytes()
    keyword = "PixelData" if len(vr) == 2 else vr
    setattr(data_set, keyword, stored)
    if keyword == "PixelData":
        data_set["PixelData"].VR = vr
    stream = written(data_set, ExplicitVRBigEndian)
    read = pydicom.dcmread(stream)
    found = value_at(stream, read[keyword].tag)
    assert (read.pixel_array == words).all()
    assert (np.frombuffer(found, f"<{kind}").reshape(3, 4) == words).all()
    stream.seek(0)
    assert reencoded(stream)[keyword].value == found


def test_what_is_left_over_is_no_word() -> None:
    assert little_endian(b"\1\2\3\4\5", 2) == b"\2\1\4\3\5"
    assert little_endian(b"\1\2\3", 4) == b"\1\2\3"
