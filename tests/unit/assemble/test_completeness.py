"""The verdict on a series: holds, evidence, quiet times and the cap, in a world made of instants."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.assemble.completeness import Conclusion, Evidence, Situation, Wait, is_due, judge, raised
from node.domain.expectation import Expectation, Source
from node.domain.network import QuietTimes
from node.domain.study import AssociationEnd, AssociationFacts, Series, SeriesEvent, SeriesState, Verdict

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
WHOLE = Evidence(holds=True, reason="62 slices without gap")
PART = Evidence(holds=False, reason="the lungs do not close")


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def situation(
    after: float,
    *,
    open_count: int = 0,
    end: AssociationEnd | None = AssociationEnd.RELEASED,
    closed_after: float = 0,
    gap: float | None = None,
    not_before: float | None = None,
    known: tuple[Expectation, ...] = (),
) -> Situation:
    return Situation(
        series=Series(
            id=1,
            study_id=1,
            series_instance_uid="1.2.3",
            modality="CT",
            series_number=2,
            series_description="",
            state=SeriesState.RECEIVING,
            verdict=None,
            verdict_reason="",
            instance_count=62,
            first_arrival_at=START - seconds(100),
            last_arrival_at=START,
            calling_ae_title="CT1",
            not_before=None if not_before is None else START + seconds(not_before),
        ),
        associations=AssociationFacts(
            open_count=open_count,
            last_end=end,
            last_closed_at=None if end is None else START + seconds(closed_after),
        ),
        sender_gap=None if gap is None else seconds(gap),
        now=START + seconds(after),
        expectations=known,
    )


def said(source: Source, missing: int = 0, *, final: bool = True) -> Expectation:
    return Expectation(source=source, listed=62, missing=missing, final=final)


def verdict_of(case: Situation, evidence: Evidence) -> Verdict | None:
    outcome = judge(case, QUIET, lambda: evidence)
    return outcome.verdict if isinstance(outcome, Conclusion) else None


@pytest.mark.parametrize(
    ("case", "evidence", "verdict"),
    [
        (situation(29), WHOLE, None),
        (situation(30), WHOLE, Verdict.GEOMETRY),
        (situation(30, closed_after=10), WHOLE, None),
        (situation(40, closed_after=10), WHOLE, Verdict.GEOMETRY),
        (situation(119), PART, None),
        (situation(120), PART, Verdict.QUIET),
        (situation(5000, open_count=1), WHOLE, None),
        (situation(1799, end=AssociationEnd.ABORTED), WHOLE, None),
        (situation(1800, end=AssociationEnd.ABORTED), WHOLE, Verdict.CAP),
        (situation(1800, end=AssociationEnd.TIMEOUT), PART, Verdict.CAP),
        (situation(119, end=AssociationEnd.RESTART), WHOLE, None),
        (situation(120, end=AssociationEnd.RESTART), WHOLE, Verdict.GEOMETRY),
        (situation(1799, end=AssociationEnd.RESTART), PART, None),
        (situation(1800, end=AssociationEnd.RESTART), PART, Verdict.CAP),
        (situation(120, end=None), PART, Verdict.QUIET),
        (situation(200, not_before=201), WHOLE, None),
        (situation(201, not_before=201), WHOLE, Verdict.GEOMETRY),
        (situation(60, gap=30), WHOLE, None),
        (situation(90, gap=30), WHOLE, Verdict.GEOMETRY),
        (situation(299, gap=1000), PART, None),
        (situation(300, gap=1000), PART, Verdict.QUIET),
    ],
)
def test_verdicts(case: Situation, evidence: Evidence, verdict: Verdict | None) -> None:
    assert verdict_of(case, evidence) is verdict


STEP, ENDED, NOTICE, ARCHIVE, ASKED = (
    Source.PROCEDURE_STEP,
    Source.DISCONTINUED,
    Source.AVAILABILITY,
    Source.ARCHIVE,
    Source.COMMITMENT,
)


@pytest.mark.parametrize(
    ("case", "evidence", "verdict"),
    [
        (situation(0, known=(said(STEP),)), PART, Verdict.PROCEDURE_STEP),
        (situation(0, known=(said(ARCHIVE),)), WHOLE, Verdict.ARCHIVE),
        (situation(0, known=(said(ARCHIVE), said(STEP))), PART, Verdict.PROCEDURE_STEP),
        (
            situation(0, known=(said(STEP),), not_before=9, end=AssociationEnd.ABORTED),
            PART,
            Verdict.PROCEDURE_STEP,
        ),
        (situation(0, known=(said(STEP),), open_count=1), WHOLE, None),
        (situation(0, known=(said(STEP, final=False),)), WHOLE, None),
        (situation(30, known=(said(STEP, final=False),)), WHOLE, Verdict.GEOMETRY),
        (situation(1799, known=(said(STEP, 1),)), WHOLE, None),
        (situation(1800, known=(said(STEP, 1),)), WHOLE, Verdict.CAP),
        (situation(1799, known=(said(STEP), said(NOTICE, 1, final=False))), WHOLE, None),
        (situation(1799, known=(said(ASKED, 1, final=False),)), WHOLE, None),
        # A report or a localizer that was never meant for this node: at the cap whole lungs count for more.
        (situation(1800, known=(said(ASKED, 1, final=False),)), WHOLE, Verdict.GEOMETRY),
        (situation(1800, known=(said(ASKED, 1, final=False),)), PART, Verdict.CAP),
        (
            situation(1800, known=(said(ASKED, 1, final=False),), end=AssociationEnd.ABORTED),
            WHOLE,
            Verdict.CAP,
        ),
        (
            situation(1800, known=(said(ASKED, 1, final=False),), end=AssociationEnd.RESTART),
            WHOLE,
            Verdict.GEOMETRY,
        ),
        (situation(1800, known=(said(ASKED, 1, final=False), said(NOTICE, 1))), WHOLE, Verdict.CAP),
        (situation(1800, known=(said(ASKED, 1, final=False), said(STEP, 1))), WHOLE, Verdict.CAP),
        (situation(0, known=(said(STEP), said(ASKED, 1, final=False))), WHOLE, Verdict.PROCEDURE_STEP),
        (situation(30, known=(said(ASKED, final=False),)), WHOLE, Verdict.GEOMETRY),
        (situation(0, known=(said(ENDED),)), PART, Verdict.DISCONTINUED),
        (situation(0, known=(said(ENDED),)), WHOLE, Verdict.GEOMETRY),
        (situation(0, known=(said(ENDED, 1),)), WHOLE, None),
        # What the archive has of an acquisition that was broken off is as partial as what is here.
        (situation(0, known=(said(ENDED), said(ARCHIVE))), PART, Verdict.DISCONTINUED),
        # Who broke off here may have broken off there.
        (situation(1799, known=(said(ARCHIVE),), end=AssociationEnd.ABORTED), WHOLE, None),
        (situation(1799, known=(said(ARCHIVE),), end=AssociationEnd.TIMEOUT), WHOLE, None),
        (situation(1800, known=(said(ARCHIVE),), end=AssociationEnd.ABORTED), WHOLE, Verdict.ARCHIVE),
        (situation(8, known=(said(ARCHIVE),), end=AssociationEnd.RESTART, not_before=9), WHOLE, None),
        (
            situation(9, known=(said(ARCHIVE),), end=AssociationEnd.RESTART, not_before=9),
            PART,
            Verdict.ARCHIVE,
        ),
    ],
)
def test_what_others_know(case: Situation, evidence: Evidence, verdict: Verdict | None) -> None:
    assert verdict_of(case, evidence) is verdict


def test_a_discontinued_series_is_incomplete_and_a_whole_one_may_hold_whole_lungs() -> None:
    ended = judge(situation(0, known=(said(ENDED),)), QUIET, lambda: PART)
    whole = judge(situation(0, known=(said(STEP),)), QUIET, lambda: WHOLE)
    assert isinstance(ended, Conclusion)
    assert isinstance(whole, Conclusion)
    assert (ended.event, ended.whole_lungs) == (SeriesEvent.DISCONTINUED, False)
    assert (whole.event, whole.whole_lungs) == (SeriesEvent.EVIDENCE, True)
    assert whole.reason == (
        "Complete: all 62 instances that the completed procedure step lists are here; 62 slices without gap."
    )


def test_a_series_that_is_whole_but_for_what_was_asked_for_says_so() -> None:
    lacking = (said(ASKED, 1, final=False),)
    whole = judge(situation(1800, known=lacking), QUIET, lambda: WHOLE)
    part = judge(situation(1800, known=lacking), QUIET, lambda: PART)
    assert whole == Conclusion(
        event=SeriesEvent.EVIDENCE,
        verdict=Verdict.GEOMETRY,
        reason=(
            "Complete: 62 slices without gap; nothing more for 1800 s, though 1 of the 62 instances that a "
            "request for storage commitment lists are not here."
        ),
        whole_lungs=True,
    )
    assert isinstance(part, Conclusion)
    assert part.reason == (
        "Incomplete: 62 instances and nothing more for 1800 s; 1 of the 62 instances that a request for "
        "storage commitment lists are not here; the lungs do not close."
    )


@pytest.mark.parametrize(
    ("base", "gap", "expected"),
    [
        (30, None, 30),
        (30, 1, 30),
        (30, 20, 60),
        (120, 20, 120),
        (120, 50, 150),
        (30, 500, 300),
        (2, 0.001, 30),
    ],
)
def test_quiet_times_follow_the_sender(base: float, gap: float | None, expected: float) -> None:
    assert raised(seconds(base), None if gap is None else seconds(gap), QUIET) == seconds(expected)


def test_the_cap_is_an_event_of_its_own() -> None:
    outcome = judge(situation(1800, end=AssociationEnd.ABORTED), QUIET, lambda: PART)
    assert isinstance(outcome, Conclusion)
    assert outcome.event is SeriesEvent.CAP
    assert outcome.reason == (
        "Incomplete: 62 instances and nothing more for 1800 s; the last association was aborted."
    )


def test_reasons_have_the_numbers() -> None:
    geometry = judge(situation(34), QUIET, lambda: WHOLE)
    assert geometry == Conclusion(
        event=SeriesEvent.EVIDENCE,
        verdict=Verdict.GEOMETRY,
        reason=(
            "Complete: 62 slices without gap; association released normally, then at least 30 s of quiet."
        ),
        whole_lungs=True,
    )
    plain = judge(situation(121), QUIET, lambda: PART)
    assert isinstance(plain, Conclusion)
    assert "at least 120 s of quiet" in plain.reason
    assert "the lungs do not close" in plain.reason


def test_evidence_is_not_sought_in_vain() -> None:
    def never() -> Evidence:
        raise AssertionError("the slices were decoded for nothing")

    for case in (situation(29), situation(9999, open_count=1), situation(9, end=AssociationEnd.ABORTED)):
        assert isinstance(judge(case, QUIET, never), Wait)


situations = st.builds(
    situation,
    after=st.floats(0, 4000),
    open_count=st.integers(0, 2),
    end=st.sampled_from([None, *AssociationEnd]),
    closed_after=st.floats(0, 500),
    gap=st.none() | st.floats(0, 1000),
    not_before=st.none() | st.floats(0, 4000),
)
informed = st.builds(
    dataclasses.replace,
    situations,
    expectations=st.lists(
        st.builds(
            Expectation,
            source=st.sampled_from(Source),
            listed=st.just(62),
            missing=st.sampled_from([0, 0, 3]),
            final=st.booleans(),
        ),
        max_size=4,
        unique_by=lambda item: item.source,
    ).map(tuple),
)
evidences = st.sampled_from([WHOLE, PART])


@given(informed, evidences)
def test_never_while_an_association_is_open(case: Situation, evidence: Evidence) -> None:
    held = dataclasses.replace(case, associations=dataclasses.replace(case.associations, open_count=1))
    assert verdict_of(held, evidence) is None


@given(situations, evidences)
def test_never_before_the_time_after_a_restart(case: Situation, evidence: Evidence) -> None:
    if case.series.not_before is not None and case.now < case.series.not_before:
        assert verdict_of(case, evidence) is None


@given(informed, evidences, st.floats(0, 4000))
def test_a_verdict_stays_possible(case: Situation, evidence: Evidence, later: float) -> None:
    if verdict_of(case, evidence) is not None:
        after = dataclasses.replace(case, now=case.now + seconds(later))
        assert verdict_of(after, evidence) is not None


@given(informed, evidences)
def test_the_cap_ends_every_series(case: Situation, evidence: Evidence) -> None:
    closed = dataclasses.replace(case, associations=dataclasses.replace(case.associations, open_count=0))
    end = max(START + seconds(500) + QUIET.cap, closed.series.not_before or START)
    assert verdict_of(dataclasses.replace(closed, now=end), evidence) is not None


@given(informed, evidences)
def test_a_series_is_due_when_it_says_so(case: Situation, evidence: Evidence) -> None:
    """Following the due times leads to a verdict, and none is missed before."""
    for _ in range(6):
        outcome = judge(case, QUIET, lambda: evidence)
        if isinstance(outcome, Conclusion):
            return
        if outcome.due_at is None:
            assert case.associations.open_count
            return
        assert outcome.due_at > case.now
        just_before = dataclasses.replace(case, now=outcome.due_at - timedelta(microseconds=1))
        assert verdict_of(just_before, evidence) is None
        case = dataclasses.replace(case, now=outcome.due_at)
    raise AssertionError("no verdict at any due time")


@given(informed)
def test_geometry_never_delays_a_verdict(case: Situation) -> None:
    if verdict_of(case, PART) is not None:
        assert verdict_of(case, WHOLE) is not None


@given(informed, evidences, st.booleans())
def test_what_is_not_due_waits_whatever_is_asked_of_it(
    case: Situation, evidence: Evidence, looked: bool
) -> None:
    """Before anybody is asked, and before the slices are looked at: less is known, and no verdict is lost."""
    known = evidence if looked else None
    told = any(item.final or item.source is ENDED for item in case.expectations)
    unasked = dataclasses.replace(case, expectations=())
    if not is_due(unasked, QUIET, known, told=told) or not is_due(case, QUIET, known, told=False):
        assert verdict_of(case, evidence) is None


@given(informed)
def test_nothing_is_due_before_the_shortest_quiet_time_unless_it_is_told_of(case: Situation) -> None:
    unasked = dataclasses.replace(case, expectations=(), now=START + seconds(29.99))
    assert not is_due(unasked, QUIET, WHOLE, told=False)
