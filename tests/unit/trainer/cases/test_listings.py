"""Tables and lists are text from elsewhere; splits cut no group."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.cases.case import GROUPED_BY, Case
from trainer.cases.listings import plain_name, read_table
from trainer.cases.readers import NOTES
from trainer.cases.splits import grouped_split
from trainer.errors import EmptyClass, LayoutError


@given(name=st.text(max_size=30))
def test_no_text_of_a_list_leads_out_of_its_folder(name: str) -> None:
    folder = Path("/data/images")
    try:
        path = folder / plain_name(name, Path("list.txt"))
    except LayoutError:
        return
    assert os.path.normpath(path) == str(path)
    assert path.parent == folder


@given(text=st.text(max_size=200))
def test_any_text_is_a_table_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("table") / "t.csv"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        rows = read_table(file, {"a"})
    except LayoutError:
        return
    assert all(isinstance(row, dict) for row in rows)


def test_every_source_says_what_its_groups_are() -> None:
    assert NOTES.keys() <= GROUPED_BY.keys()


@given(
    groups=st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=4, max_size=40),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 9),
)
def test_no_group_is_cut_by_a_split(groups: list[tuple[int, bool]], share: float, seed: int) -> None:
    cases = [
        Case(image=Path(f"{n}.png"), positive=flag, source="folder", split="all", group=f"{group:03d}")
        for n, (group, flag) in enumerate(groups)
    ]
    positive = {case.group for case in cases if case.positive}
    if min(len(positive), len({case.group for case in cases} - positive)) < 2:
        with pytest.raises(EmptyClass):
            grouped_split(cases, share, "val", seed)
        return
    parts = grouped_split(cases, share, "val", seed)
    assert [case.image for case in parts] == [case.image for case in cases]
    held = {case.group for case in parts if case.split == "val"}
    assert held
    assert not held & {case.group for case in parts if case.split == "train"}
    assert {case.group in positive for case in parts if case.split == "val"} == {True, False}
    assert {case.group in positive for case in parts if case.split == "train"} == {True, False}
