from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import CanaryFailed, DecodeFailed, EngineUnavailable, OutOfSpace, SettingsError
from node.run.retry import RetryPolicy, after_error

POLICY = RetryPolicy(first=timedelta(seconds=10), factor=3.0, longest=timedelta(seconds=200), max_attempts=3)


@pytest.mark.parametrize(
    "error",
    [
        CanaryFailed("differs"),
        EngineUnavailable("gone"),
        OutOfSpace("full"),
        SettingsError("infer.triton.token_file: no such file"),
    ],
)
def test_what_is_not_the_studys_fault_waits_for_ever(error: Exception) -> None:
    retry = after_error(error, 1000, POLICY)
    assert retry.after == timedelta(seconds=200)
    assert not retry.counts
    assert str(error) in retry.reason


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 10), (2, 30)])
def test_other_errors_are_tried_again(attempts: int, seconds: int) -> None:
    retry = after_error(DecodeFailed("bad"), attempts, POLICY)
    assert (retry.after, retry.counts) == (timedelta(seconds=seconds), True)


def test_other_errors_fail_in_the_end() -> None:
    retry = after_error(DecodeFailed("bad"), 3, POLICY)
    assert retry.after is None
    assert retry.reason == "DecodeFailed: bad (after 3 attempts)"


def test_the_text_of_an_unknown_error_is_not_shown() -> None:
    assert after_error(ValueError("DOE^JANE"), 3, POLICY).reason == "unexpected ValueError (after 3 attempts)"


@given(st.integers(1, 10_000))
def test_waits_grow_and_stay_below_the_longest(attempts: int) -> None:
    this = after_error(EngineUnavailable("gone"), attempts, POLICY).after
    following = after_error(EngineUnavailable("gone"), attempts + 1, POLICY).after
    assert this is not None
    assert following is not None
    assert POLICY.first <= this <= following <= POLICY.longest
