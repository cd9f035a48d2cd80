"""What is no data set, or not a whole one, is refused by every reader with a sentence, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.trainer.cases.layouts import write_picture
from trainer.cases.case import Case
from trainer.cases.readers import READERS, read_cases
from trainer.cases.summary import summarise
from trainer.errors import DataError, EmptyClass, LayoutError, PictureError


@pytest.mark.parametrize("kind", sorted(READERS))
def test_what_is_no_data_set_is_refused_by_every_reader(kind: str, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="does not exist"):
        read_cases(f"{kind}:{tmp_path / 'absent'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        read_cases(f"{kind}:{tmp_path / 'empty'}")
    (tmp_path / "page.html").write_text("<html></html>", encoding="utf-8")
    with pytest.raises(DataError, match=r"page\.html"):
        read_cases(f"{kind}:{tmp_path / 'page.html'}")
    write_picture(tmp_path / "holiday" / "beach" / "IM00001.png", 1)
    with pytest.raises(DataError, match="holiday"):
        read_cases(f"{kind}:{tmp_path / 'holiday'}")


def test_a_name_that_the_file_system_refuses_is_no_traceback() -> None:
    with pytest.raises(LayoutError, match="cannot be read"):
        read_cases("folder:" + "a" * 5000)


@pytest.mark.parametrize("kind", ["folder", "sars-cov2-ct", "covid-ct"])
@pytest.mark.parametrize("empty", ["COVID", "NonCOVID"])
def test_an_empty_class_is_named(kind: str, empty: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("COVID", "NonCOVID"):
            write_picture(tmp_path / split / name / "1-p1.png", 1)
    (tmp_path / "test" / empty / "1-p1.png").unlink()
    with pytest.raises(EmptyClass, match=f"{empty} holds no picture"):
        read_cases(f"{kind}:{tmp_path}")


def test_an_empty_list_of_covid_ct_is_named(tmp_path: Path) -> None:
    for label in ("COVID", "NonCOVID"):
        write_picture(tmp_path / "Images-processed" / f"CT_{label}" / "1.png", 1)
        for split in ("train", "val", "test"):
            file = tmp_path / "Data-split" / label / f"{split}CT_{label}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n" if (label, split) == ("COVID", "val") else "1.png", encoding="utf-8")
    with pytest.raises(EmptyClass, match=r"valCT_COVID\.txt"):
        read_cases(f"covid-ct:{tmp_path}")


def case(file: Path, split: str, positive: bool) -> Case:
    return Case(image=file, positive=positive, source="folder", split=split, group=file.name)


def test_index_warns_of_a_split_with_one_class_and_of_files_that_are_no_images(tmp_path: Path) -> None:
    page = tmp_path / "page.png"
    page.write_text("<html></html>", encoding="utf-8")
    pictures = [write_picture(tmp_path / f"{number}.png", number) for number in range(3)]
    cases = [
        case(pictures[0], "train", True),
        case(pictures[1], "train", False),
        case(pictures[2], "val", True),
        case(page, "val", True),
    ]
    warnings = " ".join(summarise(cases).warnings)
    assert "split val holds no image without COVID-19" in warnings
    assert "1 files cannot be opened as images, fitting will stop at them: page.png" in warnings
    assert "train holds no" not in warnings
    assert "holds no" not in " ".join(summarise(cases[:1]).warnings)


def test_a_file_that_vanishes_while_the_set_is_counted_is_named(tmp_path: Path) -> None:
    file = write_picture(tmp_path / "gone.png", 0)
    cases = [case(file, "all", True)]
    file.unlink()
    with pytest.raises(PictureError, match=r"gone\.png"):
        summarise(cases)
