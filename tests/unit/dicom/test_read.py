"""Headers of good, bad and hostile objects."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from node.dicom.elements import MAX_DEPTH, MAX_KEPT_BYTES, MAX_VALUE_BYTES
from node.dicom.part10 import part10_prefix
from node.dicom.read import read_dataset, read_header
from node.domain.errors import DicomError, IdentityMissing, NotDicom, ObjectTooLarge, TruncatedObject
from node.domain.identity import is_valid_uid

EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"

Encode = Callable[[Dataset], bytes]
MakeDataSet = Callable[..., Dataset]


def bare(data: bytes) -> bytes:
    """Return a data set without preamble and File Meta Information."""
    length = struct.unpack_from("<I", data, 140)[0]
    return data[144 + length :]


@pytest.mark.parametrize(
    "syntax",
    [f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99", ".2", ".5", ".4.80", ".4.90")],
)
def test_every_transfer_syntax_gives_the_same_header(make_file: Callable[..., Path], syntax: str) -> None:
    plain = read_header(make_file("plain.dcm"))
    other = read_header(make_file("other.dcm", transfer_syntax_uid=syntax))
    assert other.transfer_syntax_uid == syntax
    assert {**vars(other), "transfer_syntax_uid": ""} == {**vars(plain), "transfer_syntax_uid": ""}


def test_fields(make_file: Callable[..., Path]) -> None:
    header = read_header(make_file(index=3, IssuerOfPatientID="HOSPITAL"))
    assert header.patient.patient_id == "PHANTOM"
    assert header.patient.issuer == "HOSPITAL"
    assert header.patient_age_years == 54
    assert (header.rows, header.columns, header.number_of_frames) == (64, 64, 1)
    assert header.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert header.convolution_kernel == "B70f"
    assert header.rescale_known
    assert header.gantry_tilt == 0
    (frame,) = header.frames
    assert frame.image_orientation == (1, 0, 0, 0, 1, 0)
    assert frame.image_position is not None
    assert frame.image_position[2] == pytest.approx(3.5 * 42.5, abs=1e-3)
    assert frame.pixel_spacing == pytest.approx((380 / 64, 380 / 64))


def test_bytes_paths_and_streams_are_read_alike(
    make_data_set: MakeDataSet, encoded: Encode, tmp_path: Path
) -> None:
    data = encoded(make_data_set())
    path = tmp_path / "a.dcm"
    path.write_bytes(data)
    stream = io.BytesIO(data)
    assert read_header(data) == read_header(path) == read_header(stream) == read_header(stream)
    assert not stream.closed


def test_a_bare_data_set_needs_its_transfer_syntax(make_data_set: MakeDataSet, encoded: Encode) -> None:
    data = encoded(make_data_set())
    assert read_header(bare(data), transfer_syntax_uid=EXPLICIT) == read_header(data)
    with pytest.raises(NotDicom, match="not a DICOM file"):
        read_header(bare(data))


def test_the_prefix_makes_a_file_of_a_received_data_set(make_data_set: MakeDataSet, encoded: Encode) -> None:
    data_set = make_data_set()
    received = bare(encoded(data_set))
    prefix = part10_prefix(
        sop_class_uid=data_set.SOPClassUID,
        sop_instance_uid=data_set.SOPInstanceUID,
        transfer_syntax_uid=EXPLICIT,
    )
    read = pydicom.dcmread(io.BytesIO(prefix + received))
    assert read.file_meta.MediaStorageSOPInstanceUID == data_set.SOPInstanceUID
    assert is_valid_uid(read.file_meta.ImplementationClassUID)
    assert len(read.file_meta.ImplementationVersionName) <= 16
    assert read.file_meta.FileMetaInformationGroupLength == len(prefix) - 144
    assert read.PixelData == data_set.PixelData


@pytest.mark.parametrize("data", [b"", b"<!DOCTYPE html><html></html>" * 20, b"\0" * 400, b"%PDF-1.7" * 50])
def test_what_is_not_dicom(data: bytes) -> None:
    with pytest.raises(NotDicom):
        read_header(data)
    with pytest.raises(DicomError):
        read_header(data, transfer_syntax_uid=EXPLICIT)


def test_another_byte_order_than_the_transfer_syntax_says(
    make_data_set: MakeDataSet, encoded: Encode
) -> None:
    with pytest.raises(NotDicom, match="transfer syntax"):
        read_header(bare(encoded(make_data_set())), transfer_syntax_uid="1.2.840.10008.1.2.2")


def test_implicit_bytes_under_an_explicit_syntax_are_read(make_file: Callable[..., Path]) -> None:
    data = bare(make_file(transfer_syntax_uid="1.2.840.10008.1.2").read_bytes())
    assert read_header(data, transfer_syntax_uid=EXPLICIT).modality == "CT"


def test_every_cut_is_noticed(make_data_set: MakeDataSet, encoded: Encode) -> None:
    data = encoded(make_data_set())
    heads = {
        element.file_tell - (12 if element.VR in {"OW", "SQ"} else 8)
        for element in pydicom.dcmread(io.BytesIO(data))
    }
    for size in [*range(140, 1500), len(data) - 1, len(data) // 2]:
        if size not in heads:  # cut there it is a whole data set, only a shorter one
            with pytest.raises((TruncatedObject, IdentityMissing, NotDicom)):
                read_header(data[:size])
    with pytest.raises(TruncatedObject):
        read_header(data[:-1])


@pytest.mark.parametrize("syntax", [DEFLATED, "1.2.840.10008.1.2.5"])
def test_cut_pixels_are_noticed_in_other_encodings(make_file: Callable[..., Path], syntax: str) -> None:
    data = make_file(transfer_syntax_uid=syntax).read_bytes()
    with pytest.raises(TruncatedObject):
        read_header(data[: len(data) - 9])


def test_a_deflate_bomb_is_refused(
    make_data_set: MakeDataSet, encoded: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(make_data_set())
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = compressor.compress(bare(data) + b"\0" * (1 << 22)) + compressor.flush()
    monkeypatch.setattr("node.dicom.stream.InflatedBytes.__init__.__defaults__", (1 << 12,), raising=False)
    prefix = part10_prefix(sop_class_uid="1.2", sop_instance_uid="1.2", transfer_syntax_uid=DEFLATED)
    with pytest.raises(ObjectTooLarge):
        read_header(prefix + bomb)


@pytest.mark.parametrize(
    "keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"]
)
@pytest.mark.parametrize("value", [None, "", "1.2.", "1.02.3", "a.b", "1." + "2" * 64])
def test_identity_is_required(
    make_data_set: MakeDataSet, encoded: Encode, keyword: str, value: str | None
) -> None:
    data_set = make_data_set()
    data = encoded(data_set)
    old = data_set[keyword].value.encode("ascii")
    tag = struct.pack("<HH", data_set[keyword].tag.group, data_set[keyword].tag.element)
    element = tag + b"UI" + struct.pack("<H", len(old) + len(old) % 2) + old + b"\0" * (len(old) % 2)
    assert data.count(element) == 1
    new = b"" if value is None else tag + b"UI" + struct.pack("<H", len(value)) + value.encode("ascii")
    with pytest.raises(IdentityMissing, match=keyword):
        read_header(data.replace(element, new))


@pytest.mark.parametrize(
    ("age", "birth", "study", "expected"),
    [
        ("045Y", "19000101", "20240101", 45),
        ("006M", "", "", 0.5),
        ("014D", "", "", 14 / 365.25),
        ("", "19800615", "20240614", 43),
        ("", "19800615", "20240615", 44),
        ("", "1980.06.15", "20240615", 44),
        ("XXXY", "", "20240101", None),
        ("", "20250101", "20240101", None),
        ("", "19801399", "20240101", None),
    ],
)
def test_age(
    make_file: Callable[..., Path], age: str, birth: str, study: str, expected: float | None
) -> None:
    data = _with_text(make_file().read_bytes(), 0x0010, 0x1010, b"AS", age)
    data = _with_text(data, 0x0010, 0x0030, b"DA", birth)
    data = _with_text(data, 0x0008, 0x0020, b"DA", study)
    assert read_header(data).patient_age_years == (pytest.approx(expected) if expected is not None else None)


def _with_text(data: bytes, group: int, element: int, vr: bytes, text: str) -> bytes:
    head = struct.pack("<HH2s", group, element, vr)
    at = data.index(head)
    length = struct.unpack_from("<H", data, at + 6)[0]
    value = text.encode("ascii") + b" " * (len(text) % 2)
    return data[:at] + head + struct.pack("<H", len(value)) + value + data[at + 8 + length :]


@pytest.mark.parametrize("text", ["", "abc", "1\\2", "nan", "inf", "1,5\\2\\3", "--1"])
def test_malformed_numbers_are_absent(make_file: Callable[..., Path], text: str) -> None:
    data = _with_text(make_file().read_bytes(), 0x0020, 0x0032, b"DS", text)
    data = _with_text(data, 0x0020, 0x0013, b"IS", text[:3])
    header = read_header(data)
    assert header.frames[0].image_position is None
    assert header.instance_number is None


@pytest.mark.parametrize(
    ("attributes", "known"),
    [
        ({}, True),
        ({"RescaleType": None}, True),
        ({"RescaleType": "US"}, False),
        ({"RescaleSlope": None}, False),
        ({"RescaleIntercept": None}, False),
        ({"RescaleSlope": 0}, False),
    ],
)
def test_rescale(make_file: Callable[..., Path], attributes: dict[str, object], known: bool) -> None:
    assert read_header(make_file(**attributes)).rescale_known is known


def test_device_uids_of_the_data_set_and_its_contributors(
    make_data_set: MakeDataSet, encoded: Encode
) -> None:
    data_set = make_data_set(DeviceUID="1.2.3")
    item = Dataset()
    item.DeviceUID = "1.2.4"
    data_set.ContributingEquipmentSequence = Sequence([item])
    assert read_header(encoded(data_set)).device_uids == ("1.2.3", "1.2.4")


@pytest.mark.parametrize("undefined", [False, True])
def test_functional_groups(make_data_set: MakeDataSet, encoded: Encode, undefined: bool) -> None:
    header = read_header(encoded(_multi_frame(make_data_set, undefined=undefined)))
    assert header.number_of_frames == 3
    assert [frame.image_position for frame in header.frames] == [(0, 0, 0), (0, 0, 2), (0, 0, 4)]
    assert {frame.pixel_spacing for frame in header.frames} == {(0.5, 0.5)}
    assert {frame.image_orientation for frame in header.frames} == {(1, 0, 0, 0, 1, 0)}
    assert header.rescale_known
    assert header.convolution_kernel == "B70f"


def test_functional_groups_that_do_not_match_the_frames(make_data_set: MakeDataSet, encoded: Encode) -> None:
    data_set = _multi_frame(make_data_set)
    data_set.NumberOfFrames = 4
    assert read_header(encoded(data_set)).frames == ()


def _multi_frame(make_data_set: MakeDataSet, *, undefined: bool = False) -> Dataset:
    data_set = make_data_set()
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(data_set, keyword)
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType", "ConvolutionKernel"):
        delattr(data_set, keyword)
    data_set.NumberOfFrames = 3
    data_set.PixelData *= 3
    shared = _item(
        PlaneOrientationSequence=_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelMeasuresSequence=_item(PixelSpacing=[0.5, 0.5], SliceThickness=2),
        PixelValueTransformationSequence=_item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU"),
        CTReconstructionSequence=_item(ConvolutionKernel="B70f"),
    )
    frames = [_item(PlanePositionSequence=_item(ImagePositionPatient=[0, 0, 2 * i])) for i in range(3)]
    data_set.SharedFunctionalGroupsSequence = Sequence([shared])
    data_set.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data_set["PerFrameFunctionalGroupsSequence"].is_undefined_length = undefined
    for frame in frames:
        frame.is_undefined_length_sequence_item = undefined
    return data_set


def _item(**attributes: object) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, Sequence([value]) if isinstance(value, Dataset) else value)
    return item


def test_sequences_nested_without_end() -> None:
    nested = struct.pack("<HH2s2xI", 0x0008, 0x1140, b"SQ", 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    with pytest.raises(NotDicom, match=f"deeper than {MAX_DEPTH}"):
        read_header(nested * 2000, transfer_syntax_uid=EXPLICIT)


def test_many_wanted_values_are_bounded_together() -> None:
    """One value may be of any allowed size, and a data set may not hold it without end."""
    value = b"A" * (MAX_VALUE_BYTES - 2)
    element = struct.pack("<HHI", 0x0008, 0x0060, len(value)) + value
    often = MAX_KEPT_BYTES // len(value)
    head = struct.pack("<HHI", 0x0008, 0x0016, 4) + b"1.2\0"
    with pytest.raises(NotDicom, match="more than 64 MiB"):
        read_header(head + element * (often + 1), transfer_syntax_uid="1.2.840.10008.1.2")


def test_a_huge_announced_length_allocates_nothing() -> None:
    with pytest.raises(TruncatedObject):
        read_header(
            struct.pack("<HH2s2xI", 0x0008, 0x0018, b"UT", 0xFFFFFFF0) + b"1.2", transfer_syntax_uid=EXPLICIT
        )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_spoiled_bytes_end_in_an_error_of_the_node_or_a_header(
    make_data_set: MakeDataSet, encoded: Encode, data: st.DataObject
) -> None:
    original = bytearray(encoded(_multi_frame(make_data_set))[:4000])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(original) - 1))
        original[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        header = read_header(bytes(original))
    except DicomError:
        return
    assert is_valid_uid(header.sop_instance_uid)


@given(st.binary(max_size=300))
def test_random_bytes_end_in_an_error_of_the_node(data: bytes) -> None:
    with pytest.raises(DicomError):
        read_header(data, transfer_syntax_uid=EXPLICIT)


def test_the_data_set_without_pixels_and_large_values(make_file: Callable[..., Path]) -> None:
    path = make_file(DeviceUID="1.2.3")
    data_set = pydicom.dcmread(path)
    data_set.add_new(0x00091010, "OB", b"\1" * (1 << 17))
    data_set.add_new(0x00090010, "LO", "SOMEONE")
    data_set.save_as(path)
    read = read_dataset(path)
    assert "PixelData" not in read
    assert 0x00091010 not in read
    assert read.PatientName == "Phantom^Thorax"
    assert read.file_meta.TransferSyntaxUID == EXPLICIT
    assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID
