"""CT-COV19 and COVID-CT in their published layouts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.unit.trainer.cases.layouts import write_picture
from trainer.cases.readers import notes_on, read_cases
from trainer.cases.summary import summarise
from trainer.errors import EmptyClass, LayoutError


@pytest.fixture
def ct_cov19(tmp_path: Path) -> Path:
    root = tmp_path / "ct-covid"
    for number, name in enumerate(
        (
            "Train/COV/01/FILE00110.jpg",
            "Train/COV/30/pos_265.png",
            "Train/Normal/1/neg_0.png",
            "Train/CAP/7/FILE1.png",
            "Val/COV/malek_4/pos_10.png",
            "Val/Normal/2/neg_1.png",
            "Test/COV/30/pos_266.png",
            "Test/Normal/2020_4_23/neg_2.png",
        )
    ):
        write_picture(root / name, number, "RGB")
    return root


def test_ct_cov19_has_three_classes_and_its_splits(ct_cov19: Path) -> None:
    cases = read_cases(f"ct-cov19:{ct_cov19}")
    assert Counter((case.split, case.label) for case in cases) == {
        ("train", "COV"): 2,
        ("train", "Normal"): 1,
        ("train", "other"): 1,
        ("val", "COV"): 1,
        ("val", "Normal"): 1,
        ("test", "COV"): 1,
        ("test", "Normal"): 1,
    }
    assert {case.label for case in cases if case.positive} == {"COV"}


def test_index_says_that_ct_cov19_is_not_split_by_patients(ct_cov19: Path) -> None:
    argument = f"ct-cov19:{ct_cov19}"
    cases = read_cases(argument)
    warnings = " ".join(summarise(cases, notes_on(argument, cases)).warnings)
    assert "2 subject folders hold many subjects, the first COV/malek_4" in warnings
    assert "1 groups stand in several splits, the first COV/30" in warnings
    assert "files .jpg stand in one class only" in warnings


def test_ct_cov19_of_another_layout_is_refused(ct_cov19: Path, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="Train, Val and Test"):
        read_cases(f"ct-cov19:{tmp_path}")
    write_picture(ct_cov19 / "Val" / "Normal" / "neg_9.png", 9)
    with pytest.raises(LayoutError, match="subject's folder"):
        read_cases(f"ct-cov19:{ct_cov19}")
    (ct_cov19 / "Val" / "Normal" / "neg_9.png").unlink()
    (ct_cov19 / "Train" / "Fungus").mkdir()
    with pytest.raises(LayoutError, match="beside COV and Normal"):
        read_cases(f"ct-cov19:{ct_cov19}")
    (ct_cov19 / "Train" / "Fungus").rmdir()
    (ct_cov19 / "Val" / "Normal" / "2" / "neg_1.png").unlink()
    with pytest.raises(EmptyClass, match="Normal"):
        read_cases(f"ct-cov19:{ct_cov19}")


# COVID-CT with its official lists

COVID_CT = {
    "COVID": {
        "train": ["2020.03.13.20035212-p23-155.png", "2020.03.13.20035212-p23-156.png"],
        "val": ["2020.02.11-p1-1.png"],
        "test": ["Talaromyces-marneffei-p1-12%0.png", "2020.01.24 a-p3-1.png", "2020.01.24 a-p3-1.png"],
    },
    "NonCOVID": {"train": ["71%0.png", "10%1.jpg"], "val": ["102.png"], "test": ["7.png"]},
}


@pytest.fixture
def covid_ct(tmp_path: Path) -> Path:
    root = tmp_path / "COVID-CT"
    for label, lists in COVID_CT.items():
        for split, names in lists.items():
            file = root / "Data-split" / label / f"{split}CT_{label}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(names), encoding="utf-8")  # the last line has no newline
            for number, name in enumerate(names):
                write_picture(
                    root / "Images-processed" / f"CT_{label}" / name,
                    100 * len(label) + 10 * len(names[0]) + number,
                )
    return root


def test_covid_ct_is_read_by_its_official_lists(covid_ct: Path) -> None:
    argument = f"covid-ct:{covid_ct}"
    cases = read_cases(argument)
    assert Counter((case.split, case.positive) for case in cases) == {
        ("train", True): 2,
        ("train", False): 2,
        ("val", True): 1,
        ("val", False): 1,
        ("test", True): 2,
        ("test", False): 1,
    }
    assert "NonCOVID/10" in {case.group for case in cases}
    assert "testCT_COVID.txt has 3 lines and 2 pictures" in " ".join(notes_on(argument, cases))


def test_old_lists_of_covid_ct_are_understood(covid_ct: Path) -> None:
    (covid_ct / "Data-split").rename(covid_ct / "old_split")
    assert len(read_cases(f"covid-ct:{covid_ct}")) == 9


@pytest.mark.parametrize(
    ("line", "reason"),
    [("absent.png", "1 of 2 images"), ("../CT_NonCOVID/7.png", "no plain file name"), ("..", "no plain")],
)
def test_a_list_of_covid_ct_that_names_what_is_not_there_is_refused(
    covid_ct: Path, line: str, reason: str
) -> None:
    with (covid_ct / "Data-split" / "COVID" / "valCT_COVID.txt").open("a", encoding="utf-8") as file:
        file.write(f"\n{line}")
    with pytest.raises(LayoutError, match=reason):
        read_cases(f"covid-ct:{covid_ct}")
