"""Data sets as DICOM JSON: what another library says of them, and what nobody should write."""

from __future__ import annotations

import json
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from node.dicom.json_model import BULK_BASE, data_set_json, json_texts
from node.domain.errors import DicomError

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def read(data: bytes, inline_bytes: int = 64) -> dict[str, Any]:
    text = data_set_json(BytesIO(data), inline_bytes=inline_bytes)
    assert text.count(BULK_BASE) == text.count(b'"BulkDataURI":"\xff/bulkdata/')
    found: dict[str, Any] = json.loads(text.replace(BULK_BASE, b"U"))
    return found


def write(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "2.25.1"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = BytesIO()
    dcmwrite(
        stream,
        dataset,
        enforce_file_format=True,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
    )
    return stream.getvalue()


def rich() -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    dataset.PatientComments = "  one \\ and the same"
    dataset.ImageType = ["ORIGINAL", "", "AXIAL"]
    dataset.PixelSpacing = ["0.70", "7e-1"]
    dataset.SeriesNumber = 12
    dataset.AccessionNumber = None
    dataset.FrameIncrementPointer = [0x00181063, 0x00540010]
    dataset.PixelRepresentation = 1
    dataset.add_new(0x00280106, "SS", -3)
    dataset.SelectorFDValue = [1.5, float("nan"), float("-inf")]
    dataset.SelectorULValue = 4000000000
    dataset.SelectorUVValue = 2**60
    dataset.SelectorOWValue = b"\1\2\3\4"
    dataset.ICCProfile = b"x" * 65
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "T-1", "Brust"
    inner.ICCProfile = b"y" * 66
    dataset.ProcedureCodeSequence = [inner, Dataset()]
    dataset.ReferencedStudySequence = []
    block = dataset.private_block(0x0009, "GROUND", create=True)
    block.add_new(1, "LO", "private")
    dataset.add_new(0x7FE00010, "OW", b"\0\1" * 50)
    return dataset


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_kind_of_value_is_written(syntax: str) -> None:
    found = read(write(rich(), syntax))
    assert found["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}
    assert found["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]
    assert found["00104000"] == {"vr": "LT", "Value": ["  one \\ and the same"]}
    assert found["00080008"]["Value"] == ["ORIGINAL", None, "AXIAL"]
    assert found["00280030"] == {"vr": "DS", "Value": [0.7, 0.7]}
    assert found["00200011"] == {"vr": "IS", "Value": [12]}
    assert found["00080050"] == {"vr": "SH"}
    assert found["00280009"] == {"vr": "AT", "Value": ["00181063", "00540010"]}
    assert found["00280106"] == {"vr": "SS", "Value": [-3]}
    assert found["00720074"] == {"vr": "FD", "Value": [1.5, "NaN", "-inf"]}
    assert found["00720078"] == {"vr": "UL", "Value": [4000000000]}
    assert found["00720083"] == {"vr": "UV", "Value": [str(2**60)]}
    swapped = syntax == ExplicitVRBigEndian  # bulk data are little endian in JSON
    assert found["00720069"] == {"vr": "OW", "InlineBinary": "AgEEAw==" if swapped else "AQIDBA=="}
    assert found["00282000"] == {"vr": "OB", "BulkDataURI": "U/bulkdata/00282000"}
    items = found["00081032"]["Value"]
    assert items[0]["00080104"] == {"vr": "LO", "Value": ["Brust"]}
    assert items[0]["00282000"]["BulkDataURI"] == "U/bulkdata/00081032/1/00282000"
    assert items[1] == {}
    assert found["00081110"] == {"vr": "SQ"}
    assert found["00090010"] == {"vr": "LO", "Value": ["GROUND"]}
    assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": "U/bulkdata/7FE00010"}
    assert list(found) == sorted(found)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm", "test-SR.dcm", "rtplan.dcm"])
def test_another_library_reads_the_same_data_set(name: str) -> None:
    path = Path(str(get_testdata_file(name)))
    written = read(path.read_bytes(), inline_bytes=1 << 20)
    ours = Dataset.from_json(written, bulk_data_uri_handler=lambda *_: b"")
    theirs = dcmread(path)
    for element in theirs:
        if element.tag == 0x00080005 or element.tag.group in {0x7FE0, 0xFFFC}:
            continue
        if element.tag.is_private and theirs.is_implicit_VR:
            continue
        assert ours[element.tag].VR == element.VR, element.tag
        if element.VR not in {"SQ", "UN"}:
            assert ours[element.tag].value == element.value, element.tag


def test_what_is_malformed_within_is_left_out_and_the_rest_stays() -> None:
    dataset = Dataset()
    dataset.PatientID = "P1"
    dataset.add_new(0x00081032, "OB", b"\xfe\xff\0\xe0\xff\0\0\0")  # an item longer than its sequence
    data = write(dataset).replace(b"\x08\0\x32\x10OB", b"\x08\0\x32\x10SQ")
    found = read(data)
    assert "00081032" not in found
    assert found["00100020"]["Value"] == ["P1"]


def test_numbers_that_are_none_stay_as_they_are() -> None:
    assert json_texts("IS", ["1A", "", "+7", "9" * 40])["Value"] == ["1A", None, 7, "9" * 40]
    assert json_texts("DS", ["1e400", "inf", "1_0", ".5", "-2."])["Value"] == [
        "1e400",
        "inf",
        "1_0",
        0.5,
        -2.0,
    ]
    assert json_texts("PN", ["", "A^B"])["Value"] == [None, {"Alphabetic": "A^B"}]
    assert json_texts("LO", [""]) == {"vr": "LO"}


def test_no_list_of_numbers_takes_many_times_its_bytes() -> None:
    item = Dataset()
    item.add_new(0x00720078, "UL", list(range(1 << 20, (1 << 20) + 16_000)))
    dataset = Dataset()
    dataset.ProcedureCodeSequence = [item] * 32
    data = write(dataset)
    tracemalloc.start()
    try:
        text = data_set_json(BytesIO(data), inline_bytes=64)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert text.count(b"1048577") == 32
    assert peak < 4 * len(text)


BYTES = write(rich())


@settings(max_examples=150)
@given(st.data())
def test_no_bytes_do_more_than_fail(data: st.DataObject) -> None:
    broken = bytearray(BYTES[: data.draw(st.integers(140, len(BYTES)))])
    for _ in range(data.draw(st.integers(0, 4))):
        broken[data.draw(st.integers(132, len(broken) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(broken))
    except DicomError:
        return
    assert isinstance(found, dict)


@given(st.text(max_size=30))
def test_no_text_stands_for_an_address(text: str) -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    raw = text.encode("utf-8", "surrogatepass") + b'","BulkDataURI":"\xff/bulkdata/'
    raw += b" " * (len(raw) % 2)
    element = b"\x10\0\0\x40LT" + len(raw).to_bytes(2, "little") + raw
    assert read(write(dataset) + element)["00104000"].keys() == {"vr", "Value"}
