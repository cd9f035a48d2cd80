"""Which instances are served, and how they are found."""

from __future__ import annotations

from node.dicom.read import read_header
from node.dicom.write import write_phantom
from node.imaging.phantom import ThoraxPhantom
from node.store.metadata import together
from node.store.stored_instances import Scope
from tests.unit.store.test_query_plans import SMALL, WHOLE_TABLE, plans


def listed(ward, **scope):
    pages = ward.store.stored.pages(Scope(study_instance_uid=ward.study.study_instance_uid, **scope))
    return [item for page in pages for item in page]


def test_images_and_results_in_force_are_listed_as_they_were_stored(ward):
    for number in (2, 1):
        ward.add(number)
    images = listed(ward)
    assert [item.sop_instance_uid for item in images] == [
        ward.make_header(number).sop_instance_uid for number in (2, 1)
    ]
    assert images[0].transfer_syntax_uid == ward.make_header(2).transfer_syntax_uid
    assert images[0].size == len(images[0].sop_instance_uid)
    screening = ward.screened()
    made = ward.store.screenings.results(screening.id)
    everything = listed(ward)
    assert everything[:2] == images
    assert {item.object_key for item in everything[2:]} == {item.object_key for item in made}
    assert listed(ward, series_instance_uid=made[0].series_instance_uid)[0].object_key in {
        item.object_key for item in made
    }
    first = everything[0]
    named = Scope(
        study_instance_uid=first.study_instance_uid,
        series_instance_uid=first.series_instance_uid,
        sop_instance_uid=first.sop_instance_uid,
    )
    assert ward.store.stored.first(named) == first
    elsewhere = Scope(study_instance_uid="2.25.9", series_instance_uid=first.series_instance_uid)
    assert ward.store.stored.first(elsewhere) is None
    assert ward.store.stored.digest(elsewhere) == ""


def test_the_digest_of_a_study_changes_with_what_is_in_force(ward):
    ward.add(1)
    scope = Scope(study_instance_uid=ward.study.study_instance_uid)
    seen = [ward.store.stored.digest(scope)]
    assert ward.store.stored.digest(scope) == seen[0]
    ward.add(2)
    seen.append(ward.store.stored.digest(scope))
    ward.screened("recipe-1")
    seen.append(ward.store.stored.digest(scope))
    assert len(set(seen)) == 3


def test_what_is_served_is_found_by_an_index(ward):
    ward.add(1)
    ward.screened()
    [item, *_] = listed(ward)
    scope = Scope(
        study_instance_uid=item.study_instance_uid,
        series_instance_uid=item.series_instance_uid,
        sop_instance_uid=item.sop_instance_uid,
    )

    def serve():
        for wanted in (scope, Scope(study_instance_uid=item.study_instance_uid)):
            for page in ward.store.stored.pages(wanted):
                ward.store.metadata.of(page)
        ward.store.metadata.fill()

    found = plans(ward.store.database.engine, serve)
    scans = [
        (step, statement)
        for statement, steps in found.items()
        for step in steps
        if (match := WHOLE_TABLE.match(step)) and match.group(1) not in SMALL
    ]
    assert scans == []


def test_metadata_are_made_once_and_go_with_their_object(ward, tmp_path, caplog):
    [path, *_] = write_phantom(tmp_path, ThoraxPhantom(slices=1, rows=64))
    ward.store.intake.add(ward.arrival(read_header(path), data=path.read_bytes()))
    [item] = listed(ward)
    [document] = ward.store.metadata.of([item])
    assert item.sop_instance_uid.encode() in document
    ward.store.files.path(item.object_key).write_bytes(b"gone")
    assert ward.store.metadata.of([item]) == [document]
    ward.add(2)
    assert ward.store.metadata.fill() == 2
    assert ward.store.metadata.fill() == 0
    assert "cannot be read" in caplog.text
    [unread] = listed(ward)
    [least] = ward.store.metadata.of([unread])
    assert unread.sop_instance_uid.encode() in least


def test_the_process_that_makes_metadata_ends_when_nothing_comes(ward, monkeypatch):
    monkeypatch.setattr("node.store.metadata.IDLE_RUNS", 2)
    process = ward.store.metadata._documents
    ward.add(1)
    assert process.pid is None
    assert ward.store.metadata.fill() == 1
    first = process.pid
    assert first is not None
    assert ward.store.metadata.fill() == 0
    assert process.pid == first
    assert ward.store.metadata.fill() == 0
    assert process.pid is None
    ward.add(2)
    assert ward.store.metadata.fill() == 1
    ward.store.metadata.close()
    assert process.pid is None


def test_metadata_of_large_objects_are_not_in_memory_together(ward, monkeypatch):
    for number in (1, 2, 3):
        ward.add(number)
    items = listed(ward)
    assert list(together(items)) == [items]
    monkeypatch.setattr("node.store.metadata.TOGETHER_BYTES", 2 * items[0].size)
    assert list(together(items)) == [items[:2], items[2:]]
    monkeypatch.setattr("node.store.metadata.TOGETHER_BYTES", 1)
    assert list(together(items)) == [[item] for item in items]
    assert list(together([])) == []
    assert [ward.store.metadata.fill(batches=most) for most in (1, 2, 2)] == [1, 2, 0]


def test_no_metadata_are_made_while_objects_arrive_until_they_waited_long(ward, clock):
    metadata = ward.store.metadata
    for number in (1, 2):
        ward.add(number)
        assert metadata.tick() == 0
        clock.advance(2)
    assert metadata.tick() == 2  # nothing came since the last look
    assert metadata.tick() == 0
    made = []
    for number in range(3, 20):
        ward.add(number)
        made.append(metadata.tick())
        clock.advance(2)
    assert made == [0] * 15 + [16, 1]
