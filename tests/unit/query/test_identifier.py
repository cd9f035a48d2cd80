"""What a query's identifier asks for."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pynetdicom.dsutils import encode

from node.domain.query import Level
from node.query.identifier import Negotiated, read_query


@pytest.mark.parametrize(
    ("combined", "narrowing"), [(True, {"StudyDate"}), (False, {"StudyDate", "StudyTime"})]
)
def test_the_hours_of_a_range_over_days_leave_no_row_out(combined: bool, narrowing: set[str]) -> None:
    """From ten o'clock of one day to nine of the next (PS3.4 C.2.2.2.5.4): noon is within."""
    asked = Dataset()
    asked.QueryRetrieveLevel = "STUDY"
    asked.StudyDate, asked.StudyTime = "20240101-20240102", "1000-0900"
    found = read_query(
        encode(asked, False, True) or b"",
        implicit=False,
        levels=tuple(Level),
        negotiated=Negotiated(relational=True, combined=combined),
    )
    assert found.narrowing.keys() == narrowing
