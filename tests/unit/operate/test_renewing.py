from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from node.domain.errors import StoreError
from node.domain.job import Purpose, Screening, ScreeningCause, ScreeningState
from node.operate.renewing import RenewedLeases
from node.run.progress import ScreeningEnd, Stage

SCREENING = Screening(
    id=7,
    study_id=1,
    study_instance_uid="2.25.1",
    model_name="tiny",
    model_version=0,
    purpose=Purpose.REPORT,
    state=ScreeningState.RUNNING,
    cause=ScreeningCause.SETTLED,
    reason="",
    attempts=1,
    queued_at=datetime(2026, 1, 1, tzinfo=UTC),
)


class Records:
    """Counts renewals; the first ones may fail."""

    def __init__(self, failures: int = 0) -> None:
        self.renewed: list[Screening] = []
        self._failures = failures

    def renew(self, screening: Screening) -> None:
        if self._failures:
            self._failures -= 1
            raise StoreError("the index is locked")
        self.renewed.append(screening)


@pytest.mark.parametrize(("failures", "renewals"), [(0, 3), (1, 2)])
def test_a_screening_that_gets_on_keeps_its_lease(clock, failures: int, renewals: int) -> None:
    records = Records(failures)
    leases = RenewedLeases(records.renew, clock, timedelta(seconds=900))
    leases.stage_started(SCREENING, Stage.INFER)
    for done in range(80):  # 800 s: at 225, 450 and 675 s and no more often
        clock.advance(10)
        leases.stage_advanced(SCREENING, Stage.INFER, done, 80)
    assert records.renewed == [SCREENING] * renewals


def test_one_that_stands_still_does_not_and_the_next_begins_anew(clock) -> None:
    records = Records()
    leases = RenewedLeases(records.renew, clock, timedelta(seconds=900))
    leases.stage_started(SCREENING, Stage.INFER)
    clock.advance(10_000)
    assert records.renewed == []
    leases.ended(SCREENING, ScreeningEnd.PARKED, "")
    leases.stage_started(SCREENING, Stage.CHOOSE)
    assert records.renewed == [], "it was claimed just now"
