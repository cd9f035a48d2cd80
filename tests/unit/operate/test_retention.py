"""Retention over a real store: what goes first, when it ends, and what does not stop it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from node.domain.errors import StoreError
from node.domain.retention import Answer, Extent, RetentionRule
from node.domain.study import Arrival, SeriesEvent, Verdict
from node.operate.retention import BY_ITSELF, Retention
from node.store.store import Store
from tests.conftest import ct_header
from tests.unit.store.conftest import empty_index, store

__all__ = ["empty_index", "store"]

SIZE = 1000
DAY = 86400
OLD = RetentionRule(
    name="old", remove=Extent.IMAGES, older_than=timedelta(days=1.5), answer=Answer.NONE, archives=frozenset()
)
CROWDED = RetentionRule(name="crowded", remove=Extent.IMAGES, more_studies_than=3, answer=Answer.ANY)
FULL = RetentionRule(name="full", remove=Extent.STUDY, free_below=2 * SIZE + 1, answer=Answer.NONE)


@dataclass
class Shelf:
    """A store with five settled studies, one a day, that nothing was to be said of."""

    store: Store
    clock: Any

    def put(self, number: int) -> None:
        header = ct_header(
            number,
            study_instance_uid=f"1.2.{number}",
            series_instance_uid=f"1.2.{number}.1",
            sop_instance_uid=f"1.2.{number}.1.1",
        )
        stored = self.store.files.store(bytes([number]) * SIZE)
        self.store.intake.add(
            Arrival(
                header=header,
                object_key=stored.key,
                sha256=stored.sha256,
                size=stored.size,
                received_at=self.clock.now(),
                calling_ae_title="CT1",
                association_id=None,
            )
        )
        for item in self.store.studies.receiving_series():
            self.store.studies.conclude_series(
                item.id, SeriesEvent.EVIDENCE, Verdict.QUIET, "quiet", instance_count=1
            )
        study = self.store.studies.get(f"1.2.{number}")
        self.store.studies.settle(study.id, [], last_arrival_at=study.last_arrival_at)

    def retention(self, *rules: RetentionRule, free: int = 0, most: int = 100) -> Retention:
        return Retention(self.store, rules, clock=self.clock, free_bytes=lambda: free, most=most)

    def run(self, *rules: RetentionRule, **how: int) -> list[str]:
        return [item.facts.study_instance_uid for item in self.retention(*rules, **how).run_once()]

    @property
    def left(self) -> list[str]:
        return sorted(item.study_instance_uid for item in self.store.studies.list())


@pytest.fixture
def shelf(store: Store, clock: Any) -> Shelf:
    made = Shelf(store, clock)
    for number in range(1, 6):
        made.put(number)
        clock.advance(DAY)
    return made


def test_what_is_old_goes_oldest_first(shelf: Shelf) -> None:
    planned = list(shelf.retention(OLD).planned())
    assert [item.facts.study_instance_uid for item in planned] == ["1.2.1", "1.2.2", "1.2.3", "1.2.4"]
    assert {item.extent for item in planned} == {Extent.STUDY}, "nothing would be left of them to find"
    assert {(item.weight.instances, item.weight.size) for item in planned} == {(1, SIZE)}
    assert len(shelf.left) == 5, "a plan removes nothing"
    assert shelf.run(OLD) == ["1.2.1", "1.2.2", "1.2.3", "1.2.4"]
    assert shelf.left == ["1.2.5"]
    assert {item.by for item in shelf.store.retention.removals()} == {BY_ITSELF}


def test_it_ends_when_there_is_room_again(shelf: Shelf) -> None:
    assert shelf.run(CROWDED) == ["1.2.1", "1.2.2"]
    assert shelf.run(CROWDED) == []
    assert shelf.run(FULL, free=SIZE) == ["1.2.3", "1.2.4"]
    assert shelf.run(FULL, free=10 * SIZE) == []


def test_one_run_removes_no_more_than_it_may(shelf: Shelf) -> None:
    shelf.clock.advance(3650 * DAY)
    assert shelf.run(OLD, most=2) == ["1.2.1", "1.2.2"]


def test_each_study_goes_by_the_first_rule_that_applies(shelf: Shelf) -> None:
    full = replace(FULL, free_below=10 * SIZE)
    found = list(shelf.retention(OLD, CROWDED, full).planned())
    assert [item.rule.name for item in found] == ["old"] * 4 + ["full"]


def test_what_stays_is_counted_by_its_reason(shelf: Shelf) -> None:
    shelf.store.studies.hold(1, "Ada", "a question")
    shelf.store.retention.hold(2, "Ada", "teaching")
    assert shelf.retention(OLD).reasons() == {
        "held": 1,
        "kept by an operator's order": 1,
        "goes by rule old": 2,
        "no rule applies": 1,
    }
    assert shelf.run(OLD) == ["1.2.3", "1.2.4"]


def test_a_study_that_cannot_be_removed_does_not_stop_the_others(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    remove = shelf.store.retention.remove

    def failing(study_id: int, *args: Any, **how: Any) -> Any:
        if study_id == 2:
            raise StoreError("the index refused")
        return remove(study_id, *args, **how)

    monkeypatch.setattr(shelf.store.retention, "remove", failing)
    assert shelf.run(OLD) == ["1.2.1", "1.2.3", "1.2.4"]
    assert "study 2 cannot be removed: the index refused" in caplog.text


def test_what_arrives_between_plan_and_removal_stays(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = shelf.store.retention.remove

    def late(study_id: int, *args: Any, **how: Any) -> Any:
        if study_id == 1:
            shelf.store.studies.hold(1, "Ada", "a question")
        return remove(study_id, *args, **how)

    monkeypatch.setattr(shelf.store.retention, "remove", late)
    assert shelf.run(OLD) == ["1.2.2", "1.2.3", "1.2.4"]
    assert shelf.left == ["1.2.1", "1.2.5"]


def test_without_a_rule_nothing_goes(shelf: Shelf) -> None:
    assert shelf.run() == []
