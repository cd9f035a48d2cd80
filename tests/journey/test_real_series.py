"""Public CT series of three vendors and two single slices, through DCMTK, the node and Orthanc."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from tests.journey.hospital import Hospital
from tests.journey.node_process import environment
from tests.journey.orthanc import wait_for
from tests.journey.test_main_job import validator_errors

SERIES = {
    "siemens_lungpetctdx_A0002_B70f": (30, 12),
    "philips_lungpetctdx_A0001_L": (64, 36),
    "ge_lidc_0001": (133, 64),
}
"""Folder: slices received, slices on which the lungs are open."""


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    place = Hospital(tmp_path_factory.mktemp("ward"))
    try:
        place.open()
        yield place
    finally:
        place.close()


def images(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.dcm"))


@pytest.mark.long
@pytest.mark.parametrize("name", SERIES)
def test_a_whole_chest_ct_is_screened_and_reported(
    ward: Hospital, real_data: Path, name: str, tmp_path: Path
):
    files = images(real_data / "dicom" / name)
    study_instance_uid = str(pydicom.dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)
    ward.scan(files)
    (report,) = ward.wait_for_reports(study_instance_uid, 1, seconds=180)
    finding = ward.study(study_instance_uid)["finding"]

    received, selected = SERIES[name]
    assert (finding["slices_received"], finding["slices_selected"]) == (received, selected)
    assert finding["outcome"] in {"positive", "negative"}
    assert validator_errors(report, tmp_path) == []
    heatmaps = ward.heatmaps(study_instance_uid)
    assert len(heatmaps) == min(finding["slices_positive"], 10)
    for heatmap in heatmaps:
        assert validator_errors(heatmap, tmp_path) == []


@pytest.mark.long
def test_a_single_slice_is_not_analysed(ward: Hospital, real_data: Path, tmp_path: Path):
    for file in images(real_data / "dicom" / "nysbu_covid_A002304"):
        study_instance_uid = str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)
        alone = tmp_path / file.stem
        alone.mkdir()
        shutil.copy(file, alone)
        ward.scan(alone)
        ward.wait_for_reports(study_instance_uid, 1)
        finding = ward.study(study_instance_uid)["finding"]
        assert finding["outcome"] == "not-analysed"
        assert "too few slices" in str(finding)


@pytest.mark.long
def test_with_a_lower_minimum_a_single_slice_gets_an_answer_that_says_so(real_data: Path, tmp_path: Path):
    place = Hospital(tmp_path, select="minimum_slices = 1")
    try:
        place.open()
        for file in images(real_data / "dicom" / "nysbu_covid_A002304"):
            study_instance_uid = str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)
            place.scan([file])
            place.wait_for_reports(study_instance_uid, 1)
            finding = place.study(study_instance_uid)["finding"]
            assert finding["outcome"] != "not-analysed"
            assert "1 slice" in str(finding["warnings"])
    finally:
        place.close()


@pytest.mark.long
def test_hostile_files_are_answered_and_disturb_nothing(ward: Hospital, real_data: Path):
    """Every file that DCMTK can send gets a status; the node goes on."""
    options = [
        "-q",
        "-aet",
        "SCANNER",
        "-aec",
        "GROUNDGLASS",
        "--no-halt",
        "--no-uid-checks",
        "--read-dataset",
    ]
    place = ["127.0.0.1", str(ward.node.port), str(real_data / "dicom" / "hostile")]
    subprocess.run(
        ["dcmsend", *options, "+sd", "+r", *place], check=False, capture_output=True, env=environment()
    )
    assert ward.node.ready()

    def decided() -> bool:
        return all(study["state"] in {"settled", "held"} for study in ward.node.json("studies", "list"))

    wait_for(decided, seconds=120, what="every study to be settled or held")
