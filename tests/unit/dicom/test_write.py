"""The phantom's objects are valid and the same for the same labels."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from node.dicom.pixel_file import IN_PROCESS
from node.dicom.read import read_header
from node.dicom.slices import slice_sources
from node.dicom.write import PhantomLabels, write_phantom
from node.dicom.write_enhanced import write_enhanced_phantom
from node.domain.study import Instance
from node.imaging.phantom import ThoraxPhantom

PHANTOM = ThoraxPhantom(slices=3, rows=64)


@pytest.mark.parametrize("signed", [True, False])
def test_dciodvfy_finds_no_error(tmp_path: Path, signed: bool) -> None:
    paths = write_phantom(tmp_path, PHANTOM, PhantomLabels(signed=signed))
    for path in paths:
        checked = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0
        assert "Error" not in checked.stderr
        assert "CTImage" in checked.stderr + checked.stdout


def test_the_same_labels_give_the_same_bytes(tmp_path: Path) -> None:
    first = write_phantom(tmp_path / "a", PHANTOM)
    second = write_phantom(tmp_path / "b", PHANTOM)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_series_and_studies_are_told_apart(tmp_path: Path) -> None:
    one = read_header(write_phantom(tmp_path / "a", PHANTOM, PhantomLabels(identity="x", series_number=2))[0])
    two = read_header(write_phantom(tmp_path / "b", PHANTOM, PhantomLabels(identity="x", series_number=3))[0])
    other = read_header(write_phantom(tmp_path / "c", PHANTOM, PhantomLabels(identity="y"))[0])
    assert one.study_instance_uid == two.study_instance_uid != other.study_instance_uid
    assert one.series_instance_uid != two.series_instance_uid
    assert len({one.sop_instance_uid, two.sop_instance_uid, other.sop_instance_uid}) == 3


def test_the_enhanced_object_is_valid(tmp_path: Path) -> None:
    path = write_enhanced_phantom(tmp_path / "enhanced.dcm", PHANTOM)
    checked = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
    assert "Error" not in checked.stderr
    assert "EnhancedCTImage" in checked.stderr


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.80"]
)
def test_the_frames_of_the_enhanced_object_are_the_slices(tmp_path: Path, syntax: str) -> None:
    path = write_enhanced_phantom(tmp_path / "enhanced.dcm", PHANTOM, transfer_syntax_uid=syntax)
    instance = Instance(
        id=1,
        series_id=1,
        object_key="enhanced.dcm",
        sha256="",
        size=0,
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        calling_ae_title="CT1",
        header=read_header(path),
    )
    sources = slice_sources([instance], lambda key: tmp_path / key, IN_PROCESS)
    assert [source.frame for source in sources] == [1, 2, 3]
    for source, item in zip(sources, PHANTOM, strict=True):
        np.testing.assert_array_equal(source.hounsfield(), item.hu)
        assert source.pixel_spacing == pytest.approx((PHANTOM.pixel_spacing_mm,) * 2)
    assert instance.header.convolution_kernel == "B70f"


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 192", "山田^太郎"),
        ("GB18030", "王^小东"),
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 138", "שרון"),
    ],
)
def test_names_in_other_character_sets(tmp_path: Path, character_set: str, name: str) -> None:
    labels = PhantomLabels(patient_name=name, character_set=character_set)
    assert read_header(write_phantom(tmp_path, PHANTOM, labels)[0]).patient_name == name
