"""How old a server may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.infer.handshake import LEAST_VERSION, version_of

NUMBER = st.integers(0, 10**6 - 1)


@given(NUMBER, NUMBER, NUMBER, st.sampled_from(["", "dev", "-rc1", "+cu12"]))
def test_a_version_is_read_as_numbers(major: int, minor: int, patch: int, rest: str) -> None:
    assert version_of(f"{major}.{minor}.{patch}{rest}") == (major, minor, patch)


@pytest.mark.parametrize("text", ["2.59.1", "2.59.10", "2.60.0", "2.100.0", "3.0.0dev"])
def test_with_the_fixes(text: str) -> None:
    found = version_of(text)
    assert found is not None
    assert found >= LEAST_VERSION


@pytest.mark.parametrize("text", ["2.59.0", "2.51.0", "2.9.1", "1.100.100"])
def test_without_them(text: str) -> None:
    found = version_of(text)
    assert found is not None
    assert found < LEAST_VERSION


@given(st.text(max_size=30))
def test_any_text_is_a_version_or_none(text: str) -> None:
    found = version_of(text)
    assert found is None or all(number >= 0 for number in found)


@pytest.mark.parametrize("text", ["", "2.59", "v2.59.1", "latest", "2.59.x"])
def test_what_is_no_version(text: str) -> None:
    assert version_of(text) is None
