"""Readers of the true layouts, folds by blocks, and what ``index`` warns of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.cases.case import Case
from trainer.cases.folds import grouped_folds
from trainer.cases.readers import held_out, read_cases, split_argument, training_part
from trainer.cases.sars_cov2_ct import block_of
from trainer.cases.summary import summarise
from trainer.errors import DataError, EmptyClass, LayoutError


def numbered(positive: bool, numbers: range) -> list[Case]:
    files = [Path(f"{number:04d}.png") for number in numbers]
    return [
        Case(
            image=file,
            positive=positive,
            source="sars-cov2-ct",
            split="train",
            group=block_of(file, positive),
        )
        for file in files
    ]


@given(positives=st.integers(60, 300), negatives=st.integers(60, 300), count=st.integers(2, 5))
def test_no_number_of_a_training_part_is_near_a_validation_number_of_its_class(
    positives: int, negatives: int, count: int
) -> None:
    cases = numbered(True, range(1, positives)) + numbered(False, range(1, negatives))
    folds = grouped_folds(cases, count, 1)
    seen = [case for fold in folds for case in fold.validation]
    assert sorted(map(repr, seen)) == sorted(map(repr, cases))
    for fold in folds:
        for flag in (True, False):
            held = {int(case.image.stem) for case in fold.validation if case.positive is flag}
            learnt = {int(case.image.stem) for case in fold.train if case.positive is flag}
            assert held
            assert learnt
            assert min(abs(one - other) for one in held for other in learnt) > 10


def test_too_few_groups_for_the_folds_are_refused() -> None:
    cases = numbered(True, range(20, 30)) + numbered(False, range(1, 200))
    with pytest.raises(EmptyClass, match="fewer folds"):
        grouped_folds(cases, 3, 0)


def test_the_sars_layout_is_read_with_its_split_and_blocks(sars_root: Path) -> None:
    cases = read_cases(f"sars-cov2-ct:{sars_root}")
    assert len(training_part(cases)) == 80
    assert {case.group for case in held_out(cases)} == {"COVID/0050", "non-COVID/0050"}
    assert sum(case.positive for case in cases) == 50


def test_one_part_of_a_split_counts_as_all(sars_root: Path) -> None:
    cases = read_cases(f"folder:{sars_root / 'val'}")
    assert {case.split for case in cases} == {"all"}
    assert len(held_out(cases)) == 20


def test_covid_ct_is_grouped_by_paper_and_leading_number(tmp_path: Path) -> None:
    for folder, names in (
        ("COVID", ("2020.01.24.919183-p27-132.png", "2020.01.24.919183-p27-133.png", "2020.02.11-p1-1.png")),
        ("NonCOVID", ("71%0.png", "71%1.png", "102.png")),
    ):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_bytes(b"")
    groups = {case.group for case in read_cases(f"covid-ct:{tmp_path}")}
    assert groups == {"COVID/2020.01.24.919183", "COVID/2020.02.11", "NonCOVID/71", "NonCOVID/102"}


@pytest.mark.parametrize("argument", ["nowhere", "unknown:/", "folder:", ":x"])
def test_what_is_not_kind_and_path_is_refused(argument: str) -> None:
    with pytest.raises(DataError, match="KIND:PATH"):
        split_argument(argument)


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="COVID"):
        read_cases(f"folder:{tmp_path}")
    with pytest.raises(LayoutError, match="does not exist"):
        read_cases(f"folder:{tmp_path / 'absent'}")


def test_an_empty_class_is_refused(sars_root: Path, tmp_path: Path) -> None:
    shutil.copytree(sars_root / "val" / "COVID", tmp_path / "COVID")
    (tmp_path / "NonCOVID").mkdir()
    with pytest.raises(EmptyClass, match="NonCOVID"):
        read_cases(f"folder:{tmp_path}")


def test_dicom_is_never_trained_on() -> None:
    case = Case(image=Path("a"), positive=False, source="dicom", split="all", group="1.2", series="1.2")
    with pytest.raises(DataError, match="never trained on"):
        training_part([case])


def test_index_warns_of_duplicates_leaks_and_telling_formats(sars_root: Path, tmp_path: Path) -> None:
    clean = summarise(read_cases(f"sars-cov2-ct:{sars_root}"))
    assert clean.warnings == ()
    assert [part.images for part in clean.parts] == [40, 40, 10, 10]
    root = tmp_path / "spoilt"
    shutil.copytree(sars_root, root)
    shutil.copy(root / "train" / "COVID" / "0001.png", root / "val" / "non-COVID" / "0001.png")
    for file in (root / "train" / "COVID").glob("000*.png"):
        file.rename(file.with_suffix(".bmp"))
    warnings = " ".join(summarise(read_cases(f"sars-cov2-ct:{root}")).warnings)
    assert "1 images are there more than once" in warnings
    assert "in several splits" in warnings
    assert "in several classes" in warnings
    assert ".bmp stand in one class only" in warnings
