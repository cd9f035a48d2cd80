"""One series in by C-STORE, one result set back: once, whatever happens beside it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from node.dicom.write import PhantomLabels, write_phantom
from node.imaging.phantom import ThoraxPhantom
from tests.journey.hospital import COMPREHENSIVE_3D_SR, Hospital
from tests.journey.node_process import dcmsend
from tests.journey.orthanc import wait_for

PHANTOM = ThoraxPhantom(seed=7, slices=36, rows=256, patches=6)
LABELS = PhantomLabels(identity="journey", patient_name="Yamada^Tarou=山田^太郎", patient_id="J-1")
STUDY = LABELS.study_instance_uid


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_phantom(tmp_path_factory.mktemp("series"), PHANTOM, LABELS)


def validator_errors(dataset: pydicom.Dataset, folder: Path) -> list[str]:
    """Return the error lines of dciodvfy."""
    file = folder / "object.dcm"
    dataset.save_as(file)
    program = Path(sys.executable).with_name("dciodvfy")
    answer = subprocess.run([str(program), "-new", str(file)], capture_output=True, text=True, check=False)
    lines = (answer.stdout + answer.stderr).splitlines()
    return [line for line in lines if line.startswith("Error")]


def settled(hospital: Hospital) -> bool:
    """Whether nothing is pending in the node for the study."""
    study = hospital.study(STUDY)
    return (
        study["state"] == "settled"
        and not study["asides"]
        and all(item["state"] in {"done", "superseded"} for item in study["screenings"])
    )


def test_a_report_and_heatmaps_come_back_once_and_stay_the_same(
    hospital: Hospital, series: list[Path], tmp_path: Path
):
    hospital.open()
    hospital.scan(series)
    (report,) = hospital.wait_for_reports(STUDY, 1)

    source = pydicom.dcmread(series[0])
    assert report.SOPClassUID == COMPREHENSIVE_3D_SR
    assert (report.PatientID, report.AccessionNumber) == (source.PatientID, source.AccessionNumber)
    assert report.PatientName == source.PatientName
    assert validator_errors(report, tmp_path) == []
    dump = subprocess.run(
        ["dsrdump", str(tmp_path / "object.dcm")], capture_output=True, text=True, check=True
    )
    assert "Imaging Measurement Report" in dump.stdout
    assert "not a diagnosis" in dump.stdout.lower() or "not for diagnosis" in dump.stdout.lower()

    finding = hospital.study(STUDY)["finding"]
    heatmaps = hospital.heatmaps(STUDY)
    assert len(heatmaps) == min(finding["slices_positive"], 10)
    for heatmap in heatmaps:
        assert validator_errors(heatmap, tmp_path) == []
    everything = sorted(hospital.pacs.instances(STUDY))

    for _ in range(4):
        hospital.scan(series)
    hospital.pacs.post("/modalities/node/store", everything)
    wait_for(lambda: settled(hospital), seconds=30, what="the study to be settled again")

    assert sorted(hospital.pacs.instances(STUDY)) == everything
    study = hospital.study(STUDY)
    assert [item["instances"] for item in study["series"]] == [len(series)]
    assert {delivery["state"] for delivery in study["deliveries"]} == {"delivered"}
    assert {delivery["proof"] for delivery in study["deliveries"]} == {"storage commitment"}


def test_a_late_slice_makes_version_two_that_names_its_predecessor(hospital: Hospital, series: list[Path]):
    hospital.open()
    hospital.scan(series[:-1])
    (first,) = hospital.wait_for_reports(STUDY, 1)
    hospital.scan(series[-1:])
    old, new = hospital.wait_for_reports(STUDY, 2)

    assert old.SOPInstanceUID == first.SOPInstanceUID
    assert new.SeriesInstanceUID == old.SeriesInstanceUID
    predecessor = new.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPInstanceUID == old.SOPInstanceUID


def test_a_corrected_patient_name_holds_the_study(hospital: Hospital, series: list[Path], tmp_path: Path):
    hospital.open()
    hospital.scan(series)
    hospital.wait_for_reports(STUDY, 1)
    before = sorted(hospital.pacs.instances(STUDY))
    corrected = []
    for path in series:
        dataset = pydicom.dcmread(path)
        dataset.PatientName = "Suzuki^Hanako"
        corrected.append(tmp_path / path.name)
        dataset.save_as(corrected[-1])
    hospital.scan(corrected)

    wait_for(lambda: hospital.study(STUDY)["state"] == "held", seconds=30, what="the study to be held")
    study = hospital.study(STUDY)
    assert "PatientName" in study["hold_reason"]
    assert "Suzuki" not in json.dumps(study)
    assert sorted(hospital.pacs.instances(STUDY)) == before


def test_a_new_installation_is_silent_and_a_stranger_is_shown_to_the_operator(
    hospital: Hospital, series: list[Path]
):
    hospital.open(live=False)
    with pytest.raises(subprocess.CalledProcessError):
        dcmsend(series[:1], port=hospital.node.port, calling="STRANGER")
    hospital.scan(series)

    wait_for(lambda: hospital.study(STUDY)["deliveries"], seconds=60, what="the study's results")
    assert {delivery["state"] for delivery in hospital.study(STUDY)["deliveries"]} == {"withheld"}
    assert hospital.pacs.instances(STUDY) == []
    (caller,) = hospital.node.json("status")["refused_callers"]
    assert caller["calling_ae_title"] == "STRANGER"
    assert 'ae_title = "STRANGER"' in caller["settings"]

    hospital.node.run("go-live", "pacs", "--by", "tester", "--reason", "trial is over")
    assert hospital.pacs.instances(STUDY) == []


def test_the_demonstration_leaves_what_it_promises(tmp_path: Path, series: list[Path]):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for path in series:
        shutil.copy(path, source)
    (source / "page.dcm").write_text("<html>not an image</html>")
    command = [sys.executable, "-m", "node", "demo", "--input", str(source), "--out", str(out)]
    answer = subprocess.run(
        [*command, "--quiet-seconds", "1"], capture_output=True, text=True, check=False, timeout=180
    )
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]

    received = [pydicom.dcmread(path) for path in (out / "received").glob("*.dcm")]
    assert [item.SOPClassUID for item in received].count(COMPREHENSIVE_3D_SR) == 1
    assert "research use" in (out / "report.txt").read_text().lower()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["studies"][0]["study_instance_uid"] == STUDY
