"""What the index remembers of destinations that fail."""

from __future__ import annotations

import pytest

from node.domain.breaker import Failing
from node.store.store import open_store


@pytest.fixture
def failing(clock) -> Failing:
    return Failing(
        destination="pacs", failures=3, open_until=clock.now(), detail="no answer", changed_at=clock.now()
    )


def test_a_restart_forgets_no_failure(ward, clock, uids, tmp_path, failing):
    ward.store.breakers.failed(failing)
    again = open_store(tmp_path / "data", clock=clock, uids=uids)
    assert again.breakers.failing("pacs") == failing
    assert again.breakers.all_failing() == {"pacs": failing}
    assert again.breakers.failing("other") is None
    again.close()


@pytest.mark.parametrize("how", ["answered", "go-live", "release"])
def test_an_answer_or_an_operator_ends_it(ward, failing, how):
    ward.add(1)
    ward.screened()
    ward.store.breakers.failed(failing)
    if how == "answered":
        ward.store.breakers.answered("pacs")
    elif how == "go-live":
        ward.store.operations.go_live("pacs", "Ada", "the PACS is back")
    else:
        ward.store.outbox.release(ward.study.id, "pacs", "Ada", "the PACS is back")
    assert ward.store.breakers.all_failing() == {}
