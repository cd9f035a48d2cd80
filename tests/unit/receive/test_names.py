"""What a peer sends never becomes a path; request and data set must name one object."""

from __future__ import annotations

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from node.receive.sink import file_name


def test_a_uid_is_its_own_name():
    assert file_name("1.2.840.113619.2") == "1.2.840.113619.2.dcm"


@given(st.text())
def test_no_text_leaves_the_folder(text):
    name = file_name(text)

    assert PurePosixPath(name).name == name
    assert name not in {".", ".."}
    assert len(name) <= 68
    assert name.isascii()


@given(st.text(), st.text())
def test_different_objects_have_different_names(one, two):
    assert (file_name(one) == file_name(two)) == (one == two)
