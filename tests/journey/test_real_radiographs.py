"""A public chest CR and public chest pictures through DCMTK, the node and Orthanc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from node.domain.identity import derived_uid
from node.report.render import report_text
from node.settings.infer import DEFAULT_MODELS_DIR
from tests.journey.hospital import Hospital
from tests.journey.test_main_job import validator_errors
from tests.radiograph_objects import radiograph_bundle, radiograph_object

PICTURES = ("Covid-19", "No_findings")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A node with an untrained model for radiographs beside the one for CT; the PACS takes demonstrations."""
    folder = tmp_path_factory.mktemp("room")
    models = folder / "models"
    models.mkdir()
    (models / "covid-ct-lite0").symlink_to(DEFAULT_MODELS_DIR / "covid-ct-lite0")
    radiograph_bundle(models)
    place = Hospital(folder, infer=f'models_dir = "{models}"\nradiograph_model = "tiny-cxr"')
    try:
        place.open()
        yield place
    finally:
        place.close()


def reported(room: Hospital, files: list[Path], folder: Path) -> tuple[pydicom.Dataset, dict[str, object]]:
    study_instance_uid = str(pydicom.dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)
    room.scan(files)
    (report,) = room.wait_for_reports(study_instance_uid, 1)
    heatmaps = room.heatmaps(study_instance_uid)
    for made in (report, *heatmaps):
        assert validator_errors(made, folder) == []
    finding = room.study(study_instance_uid)["finding"]
    assert len(heatmaps) == finding["slices_positive"]
    return report, finding


@pytest.mark.long
def test_a_chest_cr_with_inverted_values_is_screened(room: Hospital, real_data: Path, tmp_path: Path):
    files = sorted((real_data / "dicom" / "transfer_syntaxes_wg04").glob("RG1*.dcm"))
    report, finding = reported(room, files, tmp_path)
    assert finding["outcome"] in {"positive", "negative"}
    assert "XR unspecified body region" in str(report)
    assert "UNTRAINED MODEL: AI screening of chest radiographs" in report_text(report)


@pytest.mark.long
@pytest.mark.parametrize("name", PICTURES)
def test_chest_pictures_are_screened_as_cr(room: Hospital, real_data: Path, tmp_path: Path, name: str):
    files = []
    for number, picture in enumerate(sorted((real_data / "cxr" / "darkcovidnet" / name).iterdir())[:3], 1):
        grey = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
        data_set = radiograph_object(grey.astype(np.uint16) * 16, number=number, ViewPosition="AP")
        data_set.StudyInstanceUID = derived_uid("picture", name)
        data_set.SeriesInstanceUID = derived_uid("picture", name, "series")
        data_set.SOPInstanceUID = derived_uid("picture", name, str(number))
        data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
        files.append(tmp_path / f"{number}.dcm")
        data_set.save_as(files[-1], enforce_file_format=True)
    _, finding = reported(room, files, tmp_path)
    assert (finding["slices_received"], finding["slices_selected"]) == (3, 3)
