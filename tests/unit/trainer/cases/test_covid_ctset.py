"""COVID-CTset: the class from the group alone, tables of patients, published folds and made ones."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trainer.cases.layouts import write_slice, write_table
from trainer.cases import covid_ctset
from trainer.cases.case import Case
from trainer.cases.covid_ctset_folds import NORMAL_IMAGES, VALIDATION_PATIENTS, made_folds
from trainer.cases.readers import notes_on, read_cases
from trainer.cases.summary import summarise
from trainer.errors import EmptyClass, LayoutError


def test_the_class_is_that_of_the_group_whatever_the_folder_above_is_called(ctset_raw: Path) -> None:
    cases = read_cases(f"covid-ctset:{ctset_raw}")
    assert {(case.patient, case.positive) for case in cases} == {("patient3", True), ("patient146", False)}
    assert Counter(case.series for case in cases) == dict.fromkeys(
        ["patient3/SR_2", "patient3/SR_3", "patient146/SR_2", "patient146/SR_3"], 2
    )
    assert all(case.whole_series for case in cases)


def test_the_flat_set_is_read_and_its_slices_are_chosen_already(ctset_flat: Path) -> None:
    cases = read_cases(f"covid-ctset:{ctset_flat}")
    assert Counter(case.positive for case in cases) == {True: 36, False: 20}
    assert not any(case.whole_series for case in cases)
    assert {case.label for case in cases if not case.positive} == {
        "normal1",
        "cdnormal4",
        "cdunnormal",
        "normalcd3",
    }


@pytest.mark.parametrize("top", ["COVID-CTset", "merged"])
def test_a_folder_more_or_merged_folders_are_understood(ctset_raw: Path, tmp_path: Path, top: str) -> None:
    root = tmp_path / "root"
    if top == "merged":
        for group, patient in (("covid1", "patient3"), ("normal1", "patient146")):
            shutil.copytree(ctset_raw / group / patient, root / f"{group}_{patient}")
    else:
        shutil.copytree(ctset_raw, root / "COVID-CTset" / "COVID-CTset")
    cases = read_cases(f"covid-ctset:{root}")
    assert len(cases) == 8
    assert all(case.whole_series for case in cases)


def test_kernel_thickness_age_and_sex_come_from_the_tables(ctset_flat: Path) -> None:
    write_table(
        ctset_flat.parent / "Patients_metadata.csv",
        [
            [
                "Patient ID",
                "SR_2 ConvolutionKernel",
                "SR_3 ConvolutionKernel",
                "SR_2 SliceThickness",
                "SR_2 ImagePositionPatient",
                "SR_2 Manufacturer",
            ],
            ["patient1", "B70s", "B35s", "6", "[0.0, -155.0, -13.2]", "SIEMENS"],
            ["patient146", "B70s", "N/A", "6", "", "SIEMENS"],
        ],
    )
    write_table(
        ctset_flat.parent / "Patient_details.csv",
        [
            ["Patient ID", "SEX", "AGE", "Date", "COVID-19 Infection"],
            ["patient1", "F", "053Y", "", "Positive"],
        ],
    )
    cases = {case.image.name: case for case in read_cases(f"covid-ctset:{ctset_flat}")}
    one = cases["137covid_patient1_SR_2_IM00007.tif"]
    assert (one.kernel, one.thickness, one.vendor, one.sex, one.age) == ("B70s", 6.0, "SIEMENS", "F", 53.0)
    assert cases["137covid_patient1_SR_3_IM00007.tif"].kernel == "B35s"
    assert cases["137covid_patient1_SR_4_IM00007.tif"].kernel is None
    warnings = " ".join(summarise(list(cases.values())).warnings)
    assert "kernels B35s stand in one class only" in warnings


def test_index_warns_of_series_and_numbers_that_give_the_class_away(ctset_flat: Path) -> None:
    write_slice(ctset_flat / "other.tif", 1)
    argument = f"covid-ctset:{ctset_flat}"
    cases = read_cases(argument)
    warnings = " ".join(summarise(cases, notes_on(argument, cases)).warnings)
    assert "SR_3, SR_4 stand in one class only" in warnings
    assert "patients up to number 145 are all of one class and those from 146" in warnings
    assert "Patients_metadata.csv" in warnings
    assert "1 TIFF files with other names were left out" in warnings


def test_wrong_layouts_are_refused(ctset_raw: Path, ctset_flat: Path, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="count twice"):
        read_cases(f"covid-ctset:{tmp_path / 'covid_ctset'}")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LayoutError, match="holds no image"):
        read_cases(f"covid-ctset:{empty}")
    write_slice(empty / "mystery" / "patient1" / "SR_2" / "IM00001.tif", 0)
    with pytest.raises(LayoutError, match="gives no class"):
        read_cases(f"covid-ctset:{empty}")
    shutil.rmtree(ctset_raw / "normal1")
    with pytest.raises(EmptyClass, match="normal"):
        read_cases(f"covid-ctset:{ctset_raw}")
    write_slice(ctset_flat / "normal1_patient1_SR_2_IM00099.tif", 0)
    with pytest.raises(LayoutError, match="both classes"):
        read_cases(f"covid-ctset:{ctset_flat}")


def write_lists(root: Path, number: int) -> None:
    files = sorted(root.glob("*.tif"))
    parts: dict[str, list[list[str]]] = {"train": [], "validation": [], "test": []}
    for file in files:
        patient = int(file.name.split("patient")[1].split("_")[0])
        label = "covid" if patient < 146 else "normal"
        held = patient in (1, 2, 146, 147)
        parts["test" if held else "train"].append([file.name, label])
        if patient in (1, 3):
            parts["validation"].append([file.name, label])
    for part, rows in parts.items():
        write_table(root.parent / "CSV" / f"{part}{number}.csv", [["filename", "class"], *rows])


def test_published_folds_are_kept_and_nothing_judged_was_learnt_from(ctset_flat: Path) -> None:
    for number in range(1, 6):
        write_lists(ctset_flat, number)
    cases = read_cases(f"covid-ctset-fold3:{ctset_flat}")
    part = {case.patient: case.split for case in cases}
    assert (part["patient1"], part["patient3"], part["patient4"]) == ("test", "val", "train")
    assert Counter(case.split for case in cases)["test"] == 2 * 6 + 2 * 2


def test_lists_with_a_patient_on_both_sides_are_refused_unless_wanted(ctset_flat: Path) -> None:
    write_lists(ctset_flat, 1)
    one = next(iter(sorted(ctset_flat.glob("*patient4_*.tif")))).name
    with (ctset_flat.parent / "CSV" / "test1.csv").open("a", encoding="utf-8") as file:
        file.write(f"{one},covid\n")
    with pytest.raises(LayoutError, match="puts 1 patients, the first patient000004"):
        read_cases(f"covid-ctset-fold1:{ctset_flat}")
    taken = read_cases(f"covid-ctset-fold1-as-listed:{ctset_flat}")
    assert {case.split for case in taken if case.patient == "patient4"} == {"train", "test"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("../../137covid_patient1_SR_2_IM00007.tif,covid", "no plain file name"),
        ("absent.tif,covid", "missing, the first absent.tif"),
        ("137covid_patient1_SR_2_IM00007.tif,normal", "another one"),
    ],
)
def test_lists_that_do_not_fit_the_images_are_refused(ctset_flat: Path, line: str, reason: str) -> None:
    write_lists(ctset_flat, 1)
    with (ctset_flat.parent / "CSV" / "train1.csv").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    with pytest.raises(LayoutError, match=reason):
        read_cases(f"covid-ctset-fold1:{ctset_flat}")


def published_size() -> list[Case]:
    """As many patients and images as the set has: 95 with 2,282 images, 282 with 9,776."""
    cases = []
    for patients, images, positive, first in ((95, 2282, True, 1), (282, 9776, False, 146)):
        for number in range(images):
            patient = first + number % patients
            image = Path(f"{number}.tif")
            cases.append(
                Case(
                    image=image, positive=positive, source="covid-ctset", split="all", group=f"{patient:06d}"
                )
            )
    return cases


def test_made_folds_have_the_sizes_of_table_2() -> None:
    folds = made_folds(published_size(), 0)
    tested: Counter[str] = Counter()
    for fold, patients, share in zip(folds, VALIDATION_PATIENTS, NORMAL_IMAGES, strict=True):
        held = {case.group for case in fold if case.split == "test" and case.positive}
        learnt = Counter(case.positive for case in fold if case.split == "train")
        assert len(held) == patients
        tested.update(held)
        assert learnt[False] == pytest.approx(share * learnt[True], abs=40)
        assert not {case.group for case in fold if case.split == "train"} & {
            case.group for case in fold if case.split == "test"
        }
    assert len(tested) == 95
    assert set(tested.values()) == {1}
    assert folds != made_folds(published_size(), 1)
    assert folds == made_folds(published_size(), 0)


@given(positives=st.integers(5, 30), negatives=st.integers(2, 30), seed=st.integers(0, 99))
def test_made_folds_test_every_covid_patient_once(positives: int, negatives: int, seed: int) -> None:
    cases = [
        Case(
            image=Path("a.tif"),
            positive=number < positives,
            source="covid-ctset",
            split="all",
            group=f"{number:06d}",
        )
        for number in range(positives + negatives)
    ]
    folds = made_folds(cases, seed)
    tested = [case.group for fold in folds for case in fold if case.positive and case.split == "test"]
    assert sorted(tested) == [case.group for case in cases if case.positive]
    for fold in folds:
        assert {(case.split, case.positive) for case in fold} == {
            (split, positive) for split in ("train", "test") for positive in (True, False)
        }


def test_too_few_patients_make_no_folds(ctset_raw: Path) -> None:
    with pytest.raises(EmptyClass, match="do not make 5 folds"):
        read_cases(f"covid-ctset-fold1:{ctset_raw}")


def test_made_folds_are_said_to_be_made(ctset_flat: Path) -> None:
    argument = f"covid-ctset-fold2:{ctset_flat}"
    cases = read_cases(argument)
    assert {case.split for case in cases} == {"train", "test"}
    assert "was made by patients" in " ".join(notes_on(argument, cases))
    assert "was made by patients" not in " ".join(covid_ctset.notes(ctset_flat, cases))
