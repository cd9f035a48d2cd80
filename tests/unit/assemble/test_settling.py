"""When a study settles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from node.assemble.settling import due_to_settle
from node.domain.identity import PatientKey
from node.domain.network import QuietTimes
from node.domain.study import Series, SeriesState, Study, StudyState, Verdict

START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
QUIET = QuietTimes(
    geometry=timedelta(seconds=30),
    plain=timedelta(seconds=120),
    study=timedelta(seconds=120),
    cap=timedelta(minutes=30),
    gap_multiple=3,
    floor=timedelta(seconds=30),
    ceiling=timedelta(seconds=300),
)
COMPLETE, OPEN, INCOMPLETE = SeriesState.COMPLETE, SeriesState.RECEIVING, SeriesState.INCOMPLETE


def series(modality: str, state: SeriesState, arrived: float, verdict: Verdict = Verdict.GEOMETRY) -> Series:
    return Series(
        id=1,
        study_id=1,
        series_instance_uid="1.2.3",
        modality=modality,
        series_number=2,
        series_description="",
        state=state,
        verdict=None if state is OPEN else verdict,
        verdict_reason="",
        instance_count=10,
        first_arrival_at=START,
        last_arrival_at=START + timedelta(seconds=arrived),
        calling_ae_title="CT1",
        not_before=None,
    )


def study(*members: Series) -> Study:
    return Study(
        id=1,
        study_instance_uid="1.2",
        state=StudyState.RECEIVING,
        hold_reason="",
        patient=PatientKey(patient_id="P"),
        patient_name="",
        patient_birth_date="",
        patient_sex="",
        accession_number="",
        study_date="",
        study_description="",
        first_arrival_at=START,
        last_arrival_at=START,
        series=members,
    )


@pytest.mark.parametrize(
    ("members", "after", "expected"),
    [
        ([series("CT", COMPLETE, 0)], 119, False),
        ([series("CT", COMPLETE, 0)], 120, True),
        ([series("CT", INCOMPLETE, 0)], 120, True),
        ([series("CT", COMPLETE, 0), series("CT", OPEN, 0)], 9999, False),
        ([series("CT", COMPLETE, 0), series("CT", COMPLETE, 60)], 120, False),
        ([series("CT", COMPLETE, 0), series("SR", OPEN, 110)], 120, True),
        ([series("CT", COMPLETE, 0), series("DX", OPEN, 0)], 9999, False),
        ([series("CR", COMPLETE, 0), series("SR", OPEN, 110)], 120, True),
        ([series("CR", COMPLETE, 60), series("DX", COMPLETE, 0)], 120, False),
        ([series("MR", OPEN, 0)], 9999, False),
        ([series("MR", COMPLETE, 0)], 120, True),
        ([series("CT", COMPLETE, 0, Verdict.BY_HAND)], 1, True),
        ([series("CT", COMPLETE, 0, Verdict.BY_HAND), series("CT", OPEN, 0)], 9999, False),
        ([], 9999, False),
    ],
)
def test_due_to_settle(members: list[Series], after: float, expected: bool) -> None:
    now = START + timedelta(seconds=after)
    assert due_to_settle(study(*members), QUIET, now) is expected
