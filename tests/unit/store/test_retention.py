"""Removing from a real store: what goes, what stays known, and what a stop in between leaves."""

from __future__ import annotations

import contextlib
import threading
from datetime import timedelta

import pytest
from sqlalchemy import insert, inspect, select

from node.domain.commitment import AskedInstance
from node.domain.errors import ObjectMissing, StoreError, UnknownSubject
from node.domain.job import Assignment
from node.domain.query import Level
from node.domain.result import Withdrawal
from node.domain.retention import Extent, StudyFacts
from node.domain.study import Intake, StudyState
from node.store.columns import metadata
from node.store.integrity import ProblemKind, check
from node.store.schema import patients
from node.store.schema_metadata import object_metadata
from node.store.schema_retention import removed_files

WHY = {"rule": "old", "by": "Ada", "reason": "rule old"}
MODEL = "covid"


def facts(ward) -> StudyFacts:
    (found,) = ward.store.retention.page()
    return found


def deliver(ward, destination: str = "pacs") -> None:
    ward.store.operations.go_live(destination, "Ada", "test")
    for item in ward.store.outbox.claim(destination, limit=50):
        ward.store.outbox.delivered(item.id, "0000H", "the answer")


def remove(ward, extent: Extent, *, still=lambda _: True):
    return ward.store.retention.remove(ward.study.id, extent, still=still, **WHY)


def rows_by_table(ward) -> dict[str, int]:
    with ward.store.database.read() as connection:
        return {table.name: len(connection.execute(select(table)).all()) for table in metadata.sorted_tables}


def found_uids(ward, level: Level, keyword: str) -> list[str]:
    pages = ward.store.matches.find(level, {}, frozenset({keyword}))
    return [str(item.values[keyword]) for page in pages for item in page]


@pytest.fixture
def screened(ward):
    """Two images and a returned result, screened, the results delivered to the archive."""
    ward.add(1)
    ward.add(2)
    ward.screened()
    ward.add(9, sop_instance_uid="1.2.9", device_uids=("2.25.7",), own=frozenset({"2.25.7"}))
    deliver(ward)
    return ward


def test_the_facts_of_a_study_from_arrival_to_proof(ward):
    ward.add(1)
    assert facts(ward).state is StudyState.RECEIVING
    ward.settle()
    assert facts(ward).in_screening
    assert not facts(ward).shown
    ward.finish(ward.claim(), destinations=(("pacs", True), ("silent", False)))
    now = facts(ward)
    assert (now.in_screening, now.shown, now.versions_in_force) == (False, True, 1)
    assert (now.undelivered, now.unproven, now.kept_only_here, now.proven_at) == (3, 3, 3, frozenset())
    deliver(ward)
    now = facts(ward)
    assert (now.undelivered, now.unproven, now.kept_only_here) == (0, 3, 0)
    assert now.proven_at == {"pacs"}
    assert now.modalities == {"CT"}


def test_a_report_that_is_not_proven_proves_nothing_of_the_study(ward):
    ward.add(1)
    ward.screened()
    ward.store.operations.go_live("pacs", "Ada", "test")
    *heatmaps, report = ward.store.outbox.claim("pacs", limit=50)
    for item in heatmaps:
        ward.store.outbox.delivered(item.id, "0000H", "the answer")
    ward.store.outbox.accepted(report.id, "0000H")
    assert (facts(ward).unproven, facts(ward).proven_at) == (1, frozenset())


def test_a_failed_screening_is_seen_until_another_one_succeeds(ward):
    ward.add(1)
    ward.settle()
    ward.store.screenings.fail(ward.claim().id, "gone")
    assert facts(ward).screening_failed
    ward.store.screenings.requeue(ward.study.id, Assignment(model_name=MODEL), "Ada", "again")
    ward.finish(ward.claim())
    assert not facts(ward).screening_failed


def test_what_lies_aside_is_asked_for_or_kept_by_order_is_seen(screened):
    before = facts(screened)
    assert not any((before.set_aside, before.promised, before.kept_by_order))
    asked = AskedInstance(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid=screened.store.studies.instances(1)[1].header.sop_instance_uid,
    )
    screened.store.commitments.ask("2.25.5", "CT1", [asked])
    screened.add(1, data=b"other bytes")
    screened.store.retention.hold(screened.study.id, "Ada", "a teaching case")
    assert facts(screened).set_aside
    assert facts(screened).promised
    assert facts(screened).kept_by_order
    (hold,) = screened.store.retention.holds()
    assert (hold.study_instance_uid, hold.reason) == (screened.study.study_instance_uid, "a teaching case")
    screened.store.retention.release(screened.study.id, "Ada", "done")
    assert not facts(screened).kept_by_order
    with pytest.raises(UnknownSubject):
        screened.store.retention.release(screened.study.id, "Ada", "again")


def test_without_its_images_a_study_shows_its_results(screened):
    keys = set(screened.store.files.names())
    weight = remove(screened, Extent.IMAGES)
    assert weight is not None
    assert weight.instances == 3
    assert len(keys - set(screened.store.files.names())) == 3
    assert check(screened.store) == []
    assert screened.store.studies.instances(1) == []
    assert len(found_uids(screened, Level.STUDY, "StudyInstanceUID")) == 1
    assert found_uids(screened, Level.STUDY, "NumberOfStudyRelatedInstances") == ["3"]
    assert screened.store.screenings.current_version(screened.study.id, MODEL).version == 1
    assert screened.store.retention.page(whole=False) == []
    assert screened.store.retention.studies_with_images() == 0
    with pytest.raises(UnknownSubject, match="removed by retention"):
        screened.store.screenings.requeue(screened.study.id, Assignment(model_name=MODEL), "Ada", "again")


def test_images_that_come_again_are_new_and_open_the_study(screened):
    remove(screened, Extent.IMAGES)
    assert screened.add(1) is Intake.NEW
    assert screened.study.state is StudyState.RECEIVING
    screened.settle()
    assert screened.finish(screened.claim(), version=None), "the same recipe again: nothing new is said"
    assert screened.store.screenings.recipes(screened.study.id, MODEL) == ["recipe-1"]
    assert check(screened.store) == []


def test_results_can_be_withdrawn_when_the_images_are_gone(screened):
    remove(screened, Extent.IMAGES)
    screened.store.withdrawals.withdraw(
        screened.study.id, title=Withdrawal.QUALITY, by="Ada", reason="wrong series"
    )
    (item,) = screened.store.withdrawals.to_note()
    assert item.destinations == ["pacs"]
    assert all(screened.store.files.path(made.object_key) for made in item.objects)
    assert facts(screened).withdrawal_pending


def test_a_whole_study_leaves_no_row_and_no_file(screened):
    with screened.store.database.write() as connection:
        connection.execute(
            insert(object_metadata),
            [{"object_key": key, "document": b"names the patient"} for key in screened.store.files.names()],
        )
    before = rows_by_table(screened)
    remove(screened, Extent.STUDY)
    after = rows_by_table(screened)
    assert list(screened.store.files.names()) == []
    left = {name for name, count in after.items() if count}
    assert left == {
        "audit",
        "open_destinations",
        "removals",
        "removed_results",
        "removed_versions",
    } | {name for name in ("breakers", "sender_gaps") if before[name]}
    assert found_uids(screened, Level.PATIENT, "PatientID") == []


def test_another_study_of_the_patient_stays_as_it_is(screened):
    other = {"study_instance_uid": "1.2.3.77", "series_instance_uid": "1.2.3.77.1"}
    uid = screened.study.study_instance_uid
    screened.clock.advance(10)
    screened.add(5, sop_instance_uid="1.2.3.77.1.5", **other)
    first = screened.store.studies.get(uid)
    assert screened.store.retention.remove(first.id, Extent.STUDY, still=lambda _: True, **WHY)
    assert found_uids(screened, Level.IMAGE, "SOPInstanceUID") == ["1.2.3.77.1.5"]
    assert check(screened.store) == []
    with screened.store.database.read() as connection:
        assert len(connection.execute(select(patients)).all()) == 1


def test_bytes_that_another_row_names_stay(screened):
    """The same file may be an image here and a returned result of another study."""
    data = screened.store.studies.instances(1)[0].header.sop_instance_uid.encode()
    own = {"device_uids": ("2.25.7",), "own": frozenset({"2.25.7"})}
    screened.add(8, data=data, sop_instance_uid="1.2.8", study_instance_uid="1.2.3.78", **own)
    remove(screened, Extent.STUDY)
    assert len(list(screened.store.files.names())) == 1
    assert check(screened.store) == []


def test_a_study_that_comes_again_goes_on_from_its_versions(screened):
    remove(screened, Extent.STUDY)
    assert screened.add(1) is Intake.NEW
    screened.settle()
    records, study = screened.store.screenings, screened.study.id
    assert records.recipes(study, MODEL) == ["recipe-1"]
    assert records.next_version(study, MODEL) == 2
    before = records.current_version(study, MODEL)
    assert before is not None
    assert (before.version, before.recipe) == (1, "")
    claimed = screened.claim()
    with pytest.raises(StoreError, match="issued before"):
        screened.finish(claimed, "recipe-1", version=2)
    assert screened.finish(claimed, "recipe-2", version=2)
    assert records.current_version(study, MODEL).recipe == "recipe-2"
    assert records.recipes(study, MODEL) == ["recipe-1", "recipe-2"]
    deliver(screened)
    remove(screened, Extent.STUDY)
    screened.add(1)
    assert records.next_version(screened.study.id, MODEL) == 3
    assert records.current_version(screened.study.id, MODEL).version == 2


def test_what_was_withdrawn_before_a_removal_stays_withdrawn(screened):
    screened.store.withdrawals.withdraw(
        screened.study.id, title=Withdrawal.QUALITY, by="Ada", reason="wrong series"
    )
    (item,) = screened.store.withdrawals.to_note()
    screened.store.withdrawals.noted(item.id, screened.results("note", heatmaps=0)[0])
    deliver(screened)
    remove(screened, Extent.STUDY)
    screened.add(1)
    assert screened.store.screenings.current_version(screened.study.id, MODEL) is None
    assert screened.store.screenings.next_version(screened.study.id, MODEL) == 2


def test_a_removed_result_that_comes_back_is_known_as_ours(screened):
    (result, *_) = screened.results("recipe-1")
    remove(screened, Extent.STUDY)
    assert screened.add(3, sop_instance_uid=result.sop_instance_uid) is Intake.OWN
    screened.add(1)
    assert screened.store.retention.drop_returned() == 0, "its study is here again"
    remove(screened, Extent.STUDY)
    screened.add(3, sop_instance_uid=result.sop_instance_uid)
    assert screened.store.retention.drop_returned() == 1
    assert screened.store.retention.drop_files() == 1
    assert list(screened.store.files.names()) == []


def test_what_changed_meanwhile_is_looked_at_under_the_lock(screened):
    seen: list[StudyFacts] = []

    def still(now: StudyFacts) -> bool:
        seen.append(now)
        return now.state is StudyState.SETTLED

    screened.add(3)
    assert remove(screened, Extent.STUDY, still=still) is None
    assert seen[0].state is StudyState.RECEIVING
    assert screened.store.retention.removals() == []
    assert len(screened.store.studies.instances(1)) == 3
    assert screened.store.retention.remove(99, Extent.STUDY, still=lambda _: True, **WHY) is None


def test_every_removal_stands_in_the_audit_trail_without_the_patient(screened):
    uid = screened.study.study_instance_uid
    remove(screened, Extent.IMAGES)
    remove(screened, Extent.STUDY)
    found = screened.store.retention.removals(study_instance_uid=uid)
    assert [(item.extent, item.rule, item.by) for item in found] == [
        (Extent.STUDY, "old", "Ada"),
        (Extent.IMAGES, "old", "Ada"),
    ]
    acts = [act for act in screened.store.operations.audit_trail() if act.action.startswith("remove")]
    assert [act.action for act in acts] == ["remove study", "remove images"]
    assert uid in acts[0].subject
    header = screened.make_header(1)
    for text in (header.patient_name, header.patient.patient_id):
        assert text not in repr(acts)


def test_a_stop_before_the_files_went_leaves_them_to_the_next_run(screened, monkeypatch):
    monkeypatch.setattr(screened.store.retention, "drop_files", lambda: 0)
    remove(screened, Extent.STUDY)
    left = list(screened.store.files.names())
    assert left
    monkeypatch.undo()
    # What arrives again before the files go keeps its file.
    screened.add(1)
    assert screened.store.retention.drop_files() == len(left) - 1
    assert check(screened.store) == []
    with screened.store.database.read() as connection:
        assert connection.execute(select(removed_files)).first() is None


def test_bytes_that_arrive_while_they_are_removed_are_never_missing(ward):
    """An arrival is indexed with its file, or its sender learns that it must send again."""
    indexed: list[Intake] = []

    def arrive() -> None:
        for _ in range(25):
            with contextlib.suppress(ObjectMissing):
                indexed.append(ward.add(1))

    sender = threading.Thread(target=arrive)
    sender.start()
    removed = 0
    while sender.is_alive():
        for found in ward.store.retention.page():
            removed += (
                ward.store.retention.remove(found.study_id, Extent.STUDY, still=lambda _: True, **WHY)
                is not None
            )
    sender.join()
    assert removed
    assert Intake.NEW in indexed
    assert {problem.kind for problem in check(ward.store)} <= {ProblemKind.ORPHAN}


def test_a_removal_that_fails_changes_nothing(screened, monkeypatch):
    before = rows_by_table(screened)

    def broken(*_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("node.store.retention._remove_rows", broken)
    with pytest.raises(OSError, match="gone"):
        remove(screened, Extent.STUDY)
    assert rows_by_table(screened) == before
    assert check(screened.store) == []


def test_pages_come_oldest_first_and_lose_none(ward):
    for number in range(7):
        uid = f"1.2.3.{number}"
        if number % 3 == 0:
            ward.clock.advance(60)
        ward.add(
            number, study_instance_uid=uid, series_instance_uid=f"{uid}.1", sop_instance_uid=f"{uid}.1.1"
        )
    found, after = [], None
    while page := ward.store.retention.page(after, limit=2):
        found += [item.study_instance_uid for item in page]
        after = (page[-1].last_arrival_at, page[-1].study_id)
    assert found == [f"1.2.3.{number}" for number in range(7)]
    until = ward.clock.now() - timedelta(seconds=1)
    assert len(ward.store.retention.page(until=until)) == 6


def test_everything_that_refers_to_a_study_is_found_by_an_index(store):
    """Deleting a row looks up what refers to it: each such column leads an index."""
    with store.database.read() as connection:
        inspector = inspect(connection)
        for table in metadata.sorted_tables:
            leading = {index["column_names"][0] for index in inspector.get_indexes(table.name)}
            leading |= {item["column_names"][0] for item in inspector.get_unique_constraints(table.name)}
            leading.add(inspector.get_pk_constraint(table.name)["constrained_columns"][0])
            for key in table.foreign_keys:
                if key.column.table.name in {
                    "studies",
                    "series",
                    "instances",
                    "result_objects",
                    "screenings",
                }:
                    assert key.parent.name in leading, (table.name, key.parent.name)
