"""What is fetched, what archives say, and what of it outlasts a restart."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.archives import (
    PULL,
    ArchivedSeries,
    ArchivedStudy,
    FetchState,
    PullCause,
    PullEvent,
    PullRequest,
    PullState,
    Sought,
)
from node.domain.errors import IllegalTransition, UnknownSubject

ASKED = PullRequest(archive="pacs", cause=PullCause.ASKED, sought=Sought(patient_id="P1"))
BOTH = {"pacs", "mirror"}
AGAIN = {PullEvent.SEARCH_AGAIN, PullEvent.FETCH_AGAIN}
ENDED = {PullState.DONE, PullState.SHORT, PullState.FAILED, PullState.CANCELLED}


def a_series(uid: str, count: int | None = 2) -> ArchivedSeries:
    return ArchivedSeries(
        study_instance_uid="1.2",
        series_instance_uid=uid,
        modality="CT",
        body_part_examined="CHEST",
        series_description="",
        instance_count=count,
    )


def a_study(uid: str, count: int | None) -> ArchivedStudy:
    return ArchivedStudy(
        study_instance_uid=uid,
        study_date="20260101",
        study_description="",
        modalities=("CT",),
        patient_id="",
        accession_number="",
        instance_count=count,
    )


@given(st.lists(st.sampled_from(list(PullEvent)), max_size=6))
@settings(max_examples=100, deadline=None)
def test_what_has_ended_stays_so(events):
    state = PullState.SEARCHING
    for event in events:
        if state in ENDED and event not in AGAIN:
            assert not PULL.allows(state, event)
        if state is PullState.DONE:
            assert not PULL.allows(state, event)
        if PULL.allows(state, event):
            state = PULL.step(state, event)


def test_a_pull_goes_from_the_search_to_its_end_series_by_series(ward):
    pulls, clock = ward.store.pulls, ward.clock
    number = pulls.ask(ASKED)
    assert pulls.due_search("another") is None
    searched = pulls.due_search("pacs")
    assert (searched.id, searched.request, searched.state) == (number, ASKED, PullState.SEARCHING)
    later = clock.now() + timedelta(seconds=30)
    pulls.search_failed(number, "no answer", later)
    assert pulls.due_search("pacs") is None
    clock.advance(30)
    pulls.found(number, [a_series("1.2.1"), a_series("1.2.2", 3), a_series("1.2.1")])
    assert pulls.due_search("pacs") is None
    first = pulls.due_fetch("pacs")
    assert (first.series_instance_uid, first.expected) == ("1.2.1", 2)
    pulls.postpone(first.id, "1 of 2 came", clock.now() + timedelta(seconds=60))
    second = pulls.due_fetch("pacs")
    assert second.series_instance_uid == "1.2.2"
    pulls.fetched(second.id)
    assert pulls.due_fetch("pacs") is None
    pulls.recover()  # as after a restart with a clock that was set back
    assert pulls.due_fetch("pacs").attempts == 1
    assert pulls.progress(number).series_ended == 1
    pulls.fell_short(first.id, "1 of 2 came")
    progress = pulls.progress(number)
    assert (progress.pull.state, progress.series, progress.series_ended) == (PullState.SHORT, 2, 2)
    assert (progress.expected, progress.here, progress.studies) == (5, 0, 1)
    assert progress.pull.ended_at == clock.now()


def test_a_search_that_finds_nothing_or_fails_for_good_ends_the_pull(ward):
    pulls = ward.store.pulls
    nothing, failed = pulls.ask(ASKED), pulls.ask(ASKED)
    pulls.found(nothing, [])
    pulls.search_failed(failed, "it said no", None)
    pulls.found(failed, [a_series("1.2.1")])
    assert [item.pull.state for item in pulls.list()] == [PullState.FAILED, PullState.DONE]
    assert pulls.due_fetch("pacs") is None
    with pytest.raises(UnknownSubject):
        pulls.progress(77)


def test_a_cancelled_pull_fetches_nothing_more(ward):
    pulls = ward.store.pulls
    number = pulls.ask(ASKED)
    pulls.found(number, [a_series("1.2.1")])
    fetch = pulls.due_fetch("pacs")
    pulls.cancel(number)
    assert pulls.due_fetch("pacs") is None
    pulls.fetched(fetch.id)
    assert pulls.progress(number).pull.state is PullState.CANCELLED
    with pytest.raises(IllegalTransition):
        pulls.cancel(number)


def test_series_that_wait_already_are_not_asked_for_twice(ward):
    request = PullRequest(archive="pacs", cause=PullCause.MISSING, sought=Sought())
    pulls = ward.store.pulls
    assert pulls.ask_for(request, [a_series("1.2.1")]) is not None
    assert pulls.ask_for(request, [a_series("1.2.1")]) is None
    assert pulls.ask_for(request, [a_series("1.2.1"), a_series("1.2.2")]) is not None
    assert {item.series for item in pulls.list()} == {1}


def test_what_is_absent_is_told_in_its_order_and_what_lies_aside_is_here(ward):
    ward.add(1)
    ward.add(2)
    ward.add(2, data=b"other bytes")
    here = [ward.make_header(number).sop_instance_uid for number in (1, 2)]
    many = [f"1.9.{number}" for number in range(1200)]
    assert ward.store.pulls.absent([*many, *here]) == many


def test_a_count_holds_when_it_was_given_twice_alike(ward):
    ward.add(1)
    uid = ward.study.series[0].series_instance_uid
    records, clock = ward.store.archives, ward.clock
    since = clock.now() - timedelta(days=1)
    assert records.largest_counts([uid], BOTH) == {}
    seen = []
    for count in (1, 2, 2, 2, 5):
        records.counted("pacs", {uid: count})
        said = records.largest_counts([uid], BOTH)[uid]
        seen.append((said.count, said.unchanged))
        clock.advance(30)
    assert seen == [(1, False), (2, False), (2, True), (2, True), (5, False)]
    records.counted("mirror", {uid: 7})
    assert records.largest_counts([uid], BOTH)[uid].archive == "mirror"
    (item,) = records.open_series(since=since, limit=10)
    assert (item.here, item.carried_now, item.being_fetched, item.missed_at) == (1, False, False, None)
    assert {name: said.count for name, said in item.counts.items()} == {"pacs": 5, "mirror": 7}
    clock.advance(31 * 86400)
    records.counted("pacs", {})
    assert records.largest_counts([uid], BOTH) == {}
    ward.conclude()
    assert records.open_series(since=since, limit=10) == []


def test_what_is_missing_is_known_to_be_asked_for(ward):
    ward.add(1)
    uid = ward.study.series[0].series_instance_uid
    request = PullRequest(archive="pacs", cause=PullCause.MISSING, sought=Sought())
    ward.store.pulls.ask_for(request, [a_series(uid)])
    (item,) = ward.store.archives.open_series(since=ward.clock.now(), limit=10)
    assert (item.being_fetched, item.missed_at) == (True, ward.clock.now())


def test_what_a_rule_saw_of_a_study_is_remembered(ward):
    records, start = ward.store.archives, ward.clock.now()
    told, untold = a_study("1.1", 10), a_study("1.2", None)
    assert records.polled("chest") == {}
    seen = []
    for counted in (3, 3, 4):
        records.saw("chest", told, counted=None, forget_before=start)
        records.saw("chest", untold, counted=counted, forget_before=start)
        said = records.polled("chest")["1.2"]
        assert (said.instance_count, said.counted, said.seen_at) == (None, counted, ward.clock.now())
        seen.append((said.grown_at - start).total_seconds())
        ward.clock.advance(60)
    assert seen == [0, 0, 120]
    assert records.polled("chest")["1.1"].instance_count == 10
    assert records.polled("other") == {}
    records.saw("chest", told, counted=None, forget_before=ward.clock.now())
    assert set(records.polled("chest")) == {"1.1"}


def test_how_an_archive_answers_is_remembered(ward):
    records = ward.store.archives
    records.failed("pacs", "no answer")
    records.failed("pacs", "no answer")
    (contact,) = records.contacts()
    assert (contact.failures, contact.answered_at, contact.detail) == (2, None, "no answer")
    records.answered("pacs")
    records.failed("pacs", "x" * 1000)
    (contact,) = records.contacts()
    assert (contact.failures, contact.answered_at, len(contact.detail)) == (1, ward.clock.now(), 500)


def test_what_ended_too_early_goes_on_where_it_was(ward):
    pulls, clock = ward.store.pulls, ward.clock
    number = pulls.ask(ASKED)
    pulls.search_failed(number, "it says no", None)
    pulls.resume(number)
    progress = pulls.progress(number)
    assert (progress.pull.state, progress.pull.attempts, progress.pull.detail) == (PullState.SEARCHING, 0, "")
    assert (progress.pull.ended_at, progress.next_at) == (None, clock.now())
    with pytest.raises(IllegalTransition):
        pulls.resume(number)
    pulls.found(number, [a_series("1.2.1"), a_series("1.2.2"), a_series("1.2.3")])
    pulls.fetched(pulls.due_fetch("pacs").id)
    pulls.fell_short(pulls.due_fetch("pacs").id, "1 of 2 instances did not come")
    pulls.cancel(number)
    assert pulls.progress(number).next_at is None
    pulls.resume(number)
    told = [(item.fetch.series_instance_uid, item.fetch.state) for item in pulls.fetches(number)]
    done, waiting = FetchState.DONE, FetchState.WAITING
    assert told == [("1.2.1", done), ("1.2.2", waiting), ("1.2.3", waiting)]
    assert pulls.goes_on(number)
    for _ in range(2):
        pulls.fetched(pulls.due_fetch("pacs").id)
    assert pulls.progress(number).pull.state is PullState.DONE
    for act in (pulls.resume, pulls.cancel):
        with pytest.raises(IllegalTransition):
            act(number)
    for act in (pulls.resume, pulls.fetches):
        with pytest.raises(UnknownSubject):
            act(number + 1)


def test_a_pull_that_was_cancelled_with_nothing_left_is_done_when_it_goes_on(ward):
    number = ward.store.pulls.ask(ASKED)
    ward.store.pulls.cancel(number)
    ward.store.pulls.resume(number)
    assert ward.store.pulls.progress(number).pull.state is PullState.SEARCHING
