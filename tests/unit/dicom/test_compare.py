"""What came again under a known UID: the same, a correction, or another object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from node.dicom.compare import Comparison, Likeness
from node.dicom.compare import compare as compare_with
from node.dicom.pixel_file import IN_PROCESS
from node.domain.errors import DicomError


def compare(first: Path, second: Path) -> Comparison:
    return compare_with(first, second, IN_PROCESS)


@pytest.mark.parametrize(
    "syntax",
    [f"1.2.840.10008.1.2{end}" for end in ("", ".1.99", ".2", ".5", ".4.80", ".4.90")],
)
def test_another_transfer_syntax_is_the_same(make_file: Callable[..., Path], syntax: str) -> None:
    again = make_file("again.dcm", transfer_syntax_uid=syntax)
    assert compare(make_file(), again).likeness is Likeness.SAME
    assert compare(again, make_file()).likeness is Likeness.SAME


@pytest.mark.parametrize(
    "attributes",
    [
        {"InstanceCreationTime": "101112"},
        {"PatientName": "PHANTOM^THORAX^^"},
        {"SpecificCharacterSet": "ISO_IR 100"},
        {"WindowCenter": 40},
        {"SliceThickness": "42.50"},
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]},
        {"ReferringPhysicianName": "^^"},
    ],
)
def test_what_changes_nothing_is_the_same(
    make_file: Callable[..., Path], change: Callable[..., Path], attributes: dict[str, object]
) -> None:
    path = make_file()
    assert compare(path, change(path, **attributes)).likeness is Likeness.SAME


def test_private_attributes_do_not_count(make_file: Callable[..., Path], tmp_path: Path) -> None:
    path = make_file()
    data_set = pydicom.dcmread(path)
    data_set.private_block(0x0009, "SOMEONE", create=True).add_new(1, "LO", "anything")
    data_set.save_as(tmp_path / "b.dcm")
    assert compare(path, tmp_path / "b.dcm").likeness is Likeness.SAME


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "Phantom^Other"),
        ("PatientID", "OTHER"),
        ("PatientBirthDate", "19800101"),
        ("PatientSex", "F"),
        ("AccessionNumber", "OTHER"),
        ("StudyDescription", "other"),
        ("StudyDate", "20200101"),
        ("IssuerOfPatientID", "ELSEWHERE"),
    ],
)
def test_other_patient_or_study_attributes_are_a_correction(
    make_file: Callable[..., Path], change: Callable[..., Path], keyword: str, value: str
) -> None:
    path = make_file()
    outcome = compare(path, change(path, **{keyword: value}))
    assert outcome.likeness is Likeness.CORRECTION
    assert outcome.keywords == (keyword,)


def test_a_correction_in_another_transfer_syntax(make_file: Callable[..., Path]) -> None:
    again = make_file("b.dcm", PatientName="Other^Name", transfer_syntax_uid="1.2.840.10008.1.2.4.80")
    assert compare(make_file(), again).likeness is Likeness.CORRECTION


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImagePositionPatient", [0, 0, 7]),
        ("RescaleIntercept", 0),
        ("PixelSpacing", [1, 1]),
        ("SeriesInstanceUID", "1.2.3"),
        ("ConvolutionKernel", "B30f"),
        ("ImageType", ["ORIGINAL", "SECONDARY", "AXIAL"]),
    ],
)
def test_the_same_pixels_with_another_meaning_are_another_object(
    make_file: Callable[..., Path], change: Callable[..., Path], keyword: str, value: object
) -> None:
    path = make_file()
    outcome = compare(path, change(path, **{keyword: value}, PatientName="Other^Name"))
    assert outcome.likeness is Likeness.OTHER_PIXELS
    assert outcome.keywords == (keyword,)


def test_one_other_pixel_is_another_object(
    make_file: Callable[..., Path], make_data_set: Callable[..., Dataset]
) -> None:
    words = np.frombuffer(make_data_set().PixelData, dtype="<i2").copy()
    words[2000] += 1
    for syntax in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"):
        other = make_file("b.dcm", PixelData=words.tobytes(), transfer_syntax_uid=syntax)
        outcome = compare(make_file(), other)
        assert outcome.likeness is Likeness.OTHER_PIXELS
        assert "PixelData" in outcome.keywords


def test_pixels_on_one_side_only(make_file: Callable[..., Path]) -> None:
    assert compare(make_file(), make_file("b.dcm", PixelData=None)).likeness is Likeness.OTHER_PIXELS


def test_without_pixels_every_other_content_counts(make_file: Callable[..., Path]) -> None:
    first = make_file(PixelData=None)
    assert compare(first, make_file("b.dcm", PixelData=None)).likeness is Likeness.SAME
    named = make_file("c.dcm", PixelData=None, PatientName="Other^Name")
    assert compare(first, named).likeness is Likeness.CORRECTION
    other = make_file("d.dcm", PixelData=None, ImageComments="another text")
    assert compare(first, other).likeness is Likeness.OTHER_PIXELS


def test_what_cannot_be_read_is_said(make_file: Callable[..., Path], tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.dcm"
    spoiled.write_bytes(make_file().read_bytes()[:700])
    with pytest.raises(DicomError):
        compare(make_file(), spoiled)
