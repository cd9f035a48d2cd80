"""Status codes, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dimse.status import Status, answer_to, meaning_of
from node.domain import errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotDicom("x"), Status.CANNOT_UNDERSTAND),
        (errors.TruncatedObject("x"), Status.CANNOT_UNDERSTAND),
        (errors.IdentityMissing("x"), Status.CANNOT_UNDERSTAND),
        (errors.IdentityMismatch("x"), Status.MISMATCH),
        (errors.ObjectTooLarge("x"), Status.OUT_OF_RESOURCES),
        (errors.OutOfSpace("x"), Status.OUT_OF_RESOURCES),
        (errors.StoreError("x"), Status.OUT_OF_RESOURCES),
    ],
)
def test_every_refusal_has_the_status_of_the_standard(error, status):
    assert answer_to(error).status is status


def test_the_comment_fits_its_value_representation():
    assert len(answer_to(errors.NotDicom("why " * 100)).comment) == 64  # LO


def test_what_no_object_can_cause_is_not_hidden():
    with pytest.raises(errors.ModelError):
        answer_to(errors.ModelError("x"))


@pytest.mark.parametrize(
    ("status", "delivered", "retryable"),
    [
        (0x0000, True, False),
        (0xB000, True, False),
        (0xB006, True, False),
        (0xB007, True, False),
        (0x0111, True, False),
        (0xA700, False, True),
        (0xA7FF, False, True),
        (0x0110, False, True),
        (0x0213, False, True),
        (0xA900, False, False),
        (0xA9FF, False, False),
        (0xC000, False, False),
        (0xCFFF, False, False),
        (0x0122, False, False),
        (0x0124, False, False),
        (0xFF00, False, False),
        (0xFE00, False, False),
    ],
)
def test_the_meaning_of_a_status(status, delivered, retryable):
    meaning = meaning_of(status)

    assert (meaning.delivered, meaning.retryable) == (delivered, retryable)
    assert meaning.text.startswith(f"{status:04X}H ")


@given(st.integers(0, 0xFFFF))
def test_every_status_means_something_and_never_two_things(status):
    meaning = meaning_of(status)

    assert meaning.text
    assert not (meaning.delivered and meaning.retryable)
