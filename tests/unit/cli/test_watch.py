"""Where a study of the demo stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cli.demo.watch import SETTLED, Standing, standing
from node.domain.delivery import DeliveryState
from node.domain.job import ScreeningState
from node.domain.study import StudyState

DONE = ScreeningState.DONE


@pytest.mark.parametrize(
    ("study", "screening", "deliveries", "expected"),
    [
        (StudyState.RECEIVING, None, [], Standing.RECEIVING),
        (StudyState.SETTLED, None, [], Standing.SCREENING),
        (StudyState.SETTLED, ScreeningState.PARKED, [], Standing.SCREENING),
        (StudyState.SETTLED, ScreeningState.CANCELLED, [], Standing.SCREENING),
        (StudyState.SETTLED, ScreeningState.FAILED, [], Standing.FAILED),
        (StudyState.SETTLED, DONE, [], Standing.NOTHING_TO_SEND),
        (StudyState.SETTLED, DONE, [DeliveryState.DELIVERED, DeliveryState.PENDING], Standing.DELIVERING),
        (StudyState.SETTLED, DONE, [DeliveryState.SENDING, DeliveryState.REFUSED], Standing.DELIVERING),
        (StudyState.SETTLED, DONE, [DeliveryState.DELIVERED, DeliveryState.REFUSED], Standing.NOT_DELIVERED),
        (StudyState.SETTLED, DONE, [DeliveryState.DELIVERED, DeliveryState.CANCELLED], Standing.DELIVERED),
        (StudyState.HELD, DONE, [DeliveryState.PENDING], Standing.HELD),
    ],
)
def test_standing(
    study: StudyState,
    screening: ScreeningState | None,
    deliveries: list[DeliveryState],
    expected: Standing,
) -> None:
    assert standing(study, screening, deliveries) is expected


@given(
    st.sampled_from(ScreeningState) | st.none(),
    st.lists(st.sampled_from(DeliveryState), max_size=4),
)
def test_delivered_is_never_said_while_something_is_open_or_lost(
    screening: ScreeningState | None, deliveries: list[DeliveryState]
) -> None:
    found = standing(StudyState.SETTLED, screening, deliveries)
    if found is Standing.DELIVERED:
        assert set(deliveries) <= {DeliveryState.DELIVERED, DeliveryState.CANCELLED}
        assert screening is ScreeningState.DONE
    if {DeliveryState.PENDING, DeliveryState.SENDING} & set(deliveries) and screening is ScreeningState.DONE:
        assert found not in SETTLED
