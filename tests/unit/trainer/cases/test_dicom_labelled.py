"""A hospital's own series with a table of labels: patients are numbered, whole series are selected later."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from node.dicom.write import PhantomLabels, write_phantom
from node.imaging.phantom import ThoraxPhantom
from tests.unit.trainer.cases.layouts import write_table
from trainer.cases.case import Case
from trainer.cases.readers import notes_on, read_cases, training_part
from trainer.cases.summary import summarise
from trainer.errors import EmptyClass, LayoutError

PATIENTS = {"ID-9": "B70f", "ID-2": "B30f", "ID-5": "B70f"}
SERIES = {patient: PhantomLabels(identity=patient, patient_id=patient) for patient in PATIENTS}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    root = tmp_path / "objects"
    for patient, kernel in PATIENTS.items():
        labels = PhantomLabels(identity=patient, patient_id=patient, convolution_kernel=kernel)
        write_phantom(root / patient, ThoraxPhantom(seed=1, slices=3, rows=32), labels)
    (root / "notes.txt").write_text("no DICOM", encoding="utf-8")
    return root


def labelled(root: Path, *rows: list[str], column: str = "SeriesInstanceUID") -> str:
    write_table(root / "labels.csv", [[column, "label", "split"], *rows])
    return f"dicom-labelled:{root}"


def by_series(patient: str, label: str, split: str = "") -> list[str]:
    return [SERIES[patient].series_instance_uid, label, split]


def test_series_are_labelled_and_patients_numbered(archive: Path) -> None:
    argument = labelled(archive, by_series("ID-9", "COVID", "train"), by_series("ID-2", "Non-COVID", "test"))
    cases = read_cases(argument)
    assert Counter((case.split, case.positive) for case in cases) == {("train", True): 3, ("test", False): 3}
    assert {case.group for case in cases} == {"patient 00001", "patient 00002"}
    assert not any("ID-" in str(case.group) + str(case.patient) for case in cases)
    assert {case.kernel for case in cases} == {"B70f", "B30f"}
    assert all(case.whole_series and case.thickness and case.age == 54 for case in cases)
    assert training_part(cases) == [case for case in cases if case.positive]
    warnings = " ".join(summarise(cases, notes_on(argument, cases)).warnings)
    assert "3 CT images of series without a label" in warnings
    assert "kernels B30f, B70f stand in one class only" in warnings


@pytest.mark.parametrize("column", ["PatientID", "StudyInstanceUID"])
def test_patients_or_studies_may_be_labelled_by_a_table_of_any_name(archive: Path, column: str) -> None:
    names = {one: one if column == "PatientID" else SERIES[one].study_instance_uid for one in PATIENTS}
    labelled(archive, [names["ID-9"], "1", ""], [names["ID-5"], "0", ""], column=column)
    (archive / "labels.csv").rename(archive / "trial.csv")
    cases = read_cases(f"dicom-labelled:{archive / 'trial.csv'}")
    assert Counter(case.positive for case in cases) == {True: 3, False: 3}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([by_series("ID-9", "perhaps")], "line 2: wanted are"),
        ([by_series("ID-9", "COVID", "holdout")], "line 2: wanted are"),
        ([["", "COVID", ""]], "line 2: wanted are"),
        ([by_series("ID-9", "COVID"), by_series("ID-9", "normal")], "line 3: this"),
        ([by_series("ID-9", "COVID"), ["1.2.3", "normal", ""]], "1 of 2 lines"),
        ([], "has no line"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(archive: Path, rows: list[list[str]], reason: str) -> None:
    with pytest.raises(LayoutError, match=reason):
        read_cases(labelled(archive, *rows))


def test_a_missing_table_and_a_missing_class_are_refused(archive: Path) -> None:
    with pytest.raises(LayoutError, match=r"labels\.csv"):
        read_cases(f"dicom-labelled:{archive}")
    with pytest.raises(EmptyClass, match="not COVID-19"):
        read_cases(labelled(archive, by_series("ID-9", "COVID")))


def test_index_warns_of_a_patient_in_two_splits() -> None:
    cases = [
        Case(
            image=Path(__file__),
            positive=split == "train",
            source="dicom-labelled",
            split=split,
            group="patient 00001",
            patient="patient 00001",
        )
        for split in ("train", "test")
    ]
    warnings = " ".join(summarise(cases).warnings)
    assert "1 patients or groups stand in several splits" in warnings
    assert "1 groups have images of both classes" in warnings
