"""The three sets of radiographs, with tables that must name nothing outside."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trainer.cases.layouts import write_picture, write_table
from trainer.cases.chexpert import FINDINGS, Uncertain, findings_of
from trainer.cases.covid_chestxray import components
from trainer.cases.kaggle_pneumonia import patient_of
from trainer.cases.readers import notes_on, read_cases
from trainer.cases.summary import summarise
from trainer.errors import EmptyClass, LayoutError

LATE = (
    "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,went_icu,in_icu,"
    "needed_supplemental_O2,extubated,temperature,pO2_saturation,leukocyte_count,neutrophil_count,"
    "lymphocyte_count,view,modality,date,location,folder,filename,doi,url,license,clinical_notes,other_notes,"
)
EARLY = "Patientid,offset,sex,age,finding,survival,view,date,location,filename,doi, url,license,notes"


def chestxray(root: Path, header: str, rows: list[dict[str, str]]) -> str:
    columns = header.split(",")
    lines = [[row.get(name.strip().lower(), "") for name in columns] for row in rows]
    write_table(root / "metadata.csv", [columns, *lines])
    for number, row in enumerate(rows):
        if "/" not in row["filename"]:
            write_picture(root / row.get("folder", "images") / row["filename"], number)
    return f"covid-chestxray:{root}"


def test_the_late_header_of_chestxray(tmp_path: Path) -> None:
    common = {"modality": "X-ray", "folder": "images", "view": "PA"}
    argument = chestxray(
        tmp_path,
        LATE,
        [
            common
            | {"patientid": "2", "finding": "Pneumonia/Viral/COVID-19", "filename": "a b.jpg", "age": "65"}
            | {"sex": "M", "clinical_notes": "cough, fever\nthen none"},
            common | {"patientid": "3", "finding": "Pneumonia/Viral/SARS", "filename": "b.png", "view": "AP"},
            common | {"patientid": "3", "finding": "No Finding", "filename": "c.png", "view": "AP Supine"},
            common | {"patientid": "4", "finding": "todo", "filename": "d.png"},
            common
            | {"patientid": "5", "finding": "Pneumonia/Viral/COVID-19", "filename": "e.png", "view": "L"},
            {"patientid": "6", "finding": "Pneumonia/Viral/COVID-19", "filename": "f.png", "view": "Axial"}
            | {"modality": "CT", "folder": "volumes"},
        ],
    )
    cases = read_cases(argument)
    assert [(case.image.name, case.positive, case.patient) for case in cases] == [
        ("a b.jpg", True, "2"),
        ("b.png", False, "3"),
        ("c.png", False, "3"),
    ]
    assert (cases[0].sex, cases[0].age) == ("M", 65.0)
    notes = " ".join(notes_on(argument, cases))
    for remark in ("1 rows were left out: CT", "no finding decided", "not a frontal view", "1 of 3 images"):
        assert remark in notes


def test_the_early_header_of_chestxray(tmp_path: Path) -> None:
    argument = chestxray(
        tmp_path,
        EARLY,
        [
            {"patientid": "2", "finding": "COVID-19, ARDS", "filename": "a.jpg", "view": "PA"},
            {"patientid": "3", "finding": "ARDS", "filename": "b.jpg", "view": "AP"},
            {"patientid": "4", "finding": "COVID-19", "filename": "c.jpg", "view": "CT"},
        ],
    )
    assert [(case.image.name, case.positive) for case in read_cases(argument)] == [
        ("a.jpg", True),
        ("b.jpg", False),
    ]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"filename": "../../b.png"}, "no plain file name"),
        ({"folder": "/etc", "filename": "x/passwd"}, "names the folder"),
        ({"folder": "..", "filename": "x/b.png"}, "names the folder"),
    ],
)
def test_a_table_of_chestxray_never_names_what_lies_outside(
    tmp_path: Path, cells: dict[str, str], reason: str
) -> None:
    row = {"modality": "X-ray", "folder": "images", "view": "PA", "patientid": "2", "finding": "COVID-19"}
    argument = chestxray(tmp_path, LATE, [row | cells])
    with pytest.raises(LayoutError, match=reason):
        read_cases(argument)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", 'patientid,finding,view,filename\n"open', "\x00\x01"])
def test_a_table_of_chestxray_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "metadata.csv").write_text(text, encoding="utf-8")
    with pytest.raises(LayoutError, match=r"metadata\.csv"):
        read_cases(f"covid-chestxray:{tmp_path}")


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="cannot be read"):
        read_cases(f"covid-chestxray:{tmp_path}")


def test_sars_cov_2_is_no_component_of_another_finding() -> None:
    assert components("Pneumonia/Viral/COVID-19") == ["Pneumonia", "Viral", "COVID-19"]
    assert components("COVID-19, ARDS") == ["COVID-19", "ARDS"]


# CheXpert

CHEXPERT = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS]


def chexpert_row(path: str, **cells: str) -> list[str]:
    given = {name.replace("_", " "): value for name, value in cells.items()}
    return [path, "Female", "68", "Frontal", "AP", *(given.get(finding, "") for finding in FINDINGS)]


def chexpert(root: Path, *rows: list[str], table: str = "train.csv") -> str:
    write_table(root / table, [CHEXPERT, *rows])
    for number, (path, *_) in enumerate(rows):
        inside = path.partition("/")[2]
        if path.endswith(".jpg") and ".." not in path:
            write_picture(root / inside, number)
    return f"chexpert:{root}"


TOP = "CheXpert-v1.0-small"


def test_chexpert_masks_what_is_uncertain_or_not_mentioned(tmp_path: Path) -> None:
    argument = chexpert(
        tmp_path,
        chexpert_row(
            f"{TOP}/train/patient00001/study1/view1_frontal.jpg",
            Pneumonia="1.0",
            Edema="-1.0",
            Fracture="0.0",
        ),
        chexpert_row(f"{TOP}/train/patient00002/study2/view1_frontal.jpg", No_Finding="1.0"),
        chexpert_row(f"{TOP}/train/patient00002/study2/view2_lateral.jpg", No_Finding="1.0"),
        chexpert_row(f"{TOP}/train/patient00003/study1/view1_frontal.jpg", Pneumonia="-1.0"),
    )
    cases = read_cases(argument)
    assert [case.patient for case in cases] == ["patient00001", "patient00002", "patient00003"]
    assert dict(cases[0].findings) == {"Pneumonia": 1.0, "Fracture": 0.0}
    healthy = dict(cases[1].findings)
    assert len(healthy) == 13
    assert "Support Devices" not in healthy
    assert healthy["No Finding"] == 1.0
    assert sum(healthy.values()) == 1.0
    assert [case.positive for case in cases] == [True, False, False]
    assert [case.truth_known for case in cases] == [True, True, False]
    assert "in 1 of 3 images" in " ".join(notes_on(argument, cases))
    summary = summarise(cases)
    assert summary.about == "pneumonia"
    assert [(part.positive, part.images) for part in summary.parts] == [(True, 1), (False, 1)]
    ones, zeros = (read_cases(f"chexpert-{policy}:{tmp_path}") for policy in ("ones", "zeros"))
    assert [dict(case.findings).get("Edema") for case in (cases[0], zeros[0], ones[0])] == [None, 0.0, 1.0]
    assert [dict(case.findings).get("Pneumonia") for case in (zeros[2], ones[2])] == [0.0, 1.0]
    assert all(case.truth_known for case in (*zeros, *ones))


def test_chexpert_without_one_known_absence_is_refused(tmp_path: Path) -> None:
    argument = chexpert(
        tmp_path,
        chexpert_row(f"{TOP}/train/patient00001/study1/view1_frontal.jpg", Pneumonia="1.0"),
        chexpert_row(f"{TOP}/train/patient00003/study1/view1_frontal.jpg", Pneumonia="-1.0"),
    )
    with pytest.raises(EmptyClass):
        read_cases(argument)


@given(cells=st.lists(st.sampled_from(["1.0", "0.0", "-1.0", ""]), min_size=14, max_size=14))
def test_policies_differ_in_uncertain_cells_only(cells: list[str]) -> None:
    row = {finding.lower(): cell for finding, cell in zip(FINDINGS, cells, strict=True)}
    known = {policy: dict(findings_of(row, policy)) for policy in Uncertain}
    uncertain = {finding for finding, cell in zip(FINDINGS, cells, strict=True) if cell == "-1.0"}
    assert not uncertain & known[Uncertain.IGNORE].keys()
    for policy, value in ((Uncertain.ZEROS, 0.0), (Uncertain.ONES, 1.0)):
        assert known[policy] == known[Uncertain.IGNORE] | dict.fromkeys(uncertain, value)


@pytest.mark.parametrize(
    ("path", "cells", "reason"),
    [
        (f"{TOP}/train/../../study1/view1_frontal.jpg", {}, "wanted is train"),
        ("/etc/passwd", {}, "wanted is train"),
        (f"{TOP}/train/patient00001/study1/view1_frontal.jpg", {"Edema": "2"}, "known are 1, 0, -1"),
    ],
)
def test_rows_of_chexpert_that_are_none_are_refused(
    tmp_path: Path, path: str, cells: dict[str, str], reason: str
) -> None:
    argument = chexpert(tmp_path, chexpert_row(path, **cells))
    with pytest.raises(LayoutError, match=reason):
        read_cases(argument)


def test_chexpert_without_tables_or_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"train\.csv"):
        read_cases(f"chexpert:{tmp_path}")
    argument = chexpert(tmp_path, chexpert_row(f"{TOP}/train/patient00001/study1/view1_frontal.jpg"))
    with pytest.raises(EmptyClass, match="pneumonia"):
        read_cases(argument)
    (tmp_path / "train" / "patient00001" / "study1" / "view1_frontal.jpg").unlink()
    with pytest.raises(LayoutError, match="are missing"):
        read_cases(argument)


# Kaggle


def kaggle(top: Path) -> None:
    for number, name in enumerate(
        (
            "train/NORMAL/IM-0115-0001.jpeg",
            "train/NORMAL/NORMAL2-IM-0927-0001.jpeg",
            "train/PNEUMONIA/person1_bacteria_1.jpeg",
            "train/PNEUMONIA/person1_bacteria_2.jpeg",
            "train/PNEUMONIA/person1_virus_6.jpeg",
            "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
            "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
            "test/NORMAL/IM-0001-0001.jpeg",
            "test/PNEUMONIA/person1_virus_6.jpeg",
        )
    ):
        write_picture(top / name, number)


@pytest.mark.parametrize("top", ["", "chest_xray", "chest_xray/chest_xray"])
def test_kaggle_is_read_wherever_the_archive_put_it(tmp_path: Path, top: str) -> None:
    kaggle(tmp_path / top)
    (tmp_path / "chest_xray" / "__MACOSX" / "train" / "NORMAL").mkdir(parents=True)
    (tmp_path / top / "train" / "NORMAL" / "._IM-0115-0001.jpeg").write_bytes(b"finder")
    argument = f"kaggle-pneumonia:{tmp_path}"
    cases = read_cases(argument)
    assert Counter((case.split, case.positive) for case in cases) == {
        ("train", False): 2,
        ("train", True): 3,
        ("val", False): 1,
        ("val", True): 1,
        ("test", False): 1,
        ("test", True): 1,
    }
    assert len({case.group for case in cases if case.split == "train" and case.positive}) == 2
    assert {case.label for case in cases if case.positive} == {"PNEUMONIA/bacteria", "PNEUMONIA/virus"}
    assert "has 2 images" in " ".join(notes_on(argument, cases))


def test_kaggle_names_of_the_first_release() -> None:
    assert patient_of(Path("BACTERIA-1008087-0001.jpeg")) == ("BACTERIA-1008087", None)
    assert patient_of(Path("IM-0125-0001-0002.jpeg")) == ("IM-0125", None)
    assert patient_of(Path("else.jpeg")) == ("else", None)


def test_kaggle_without_classes_or_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="NORMAL and PNEUMONIA"):
        read_cases(f"kaggle-pneumonia:{tmp_path}")
    kaggle(tmp_path)
    (tmp_path / "val" / "NORMAL" / "NORMAL2-IM-1427-0001.jpeg").unlink()
    with pytest.raises(EmptyClass, match="val"):
        read_cases(f"kaggle-pneumonia:{tmp_path}")
