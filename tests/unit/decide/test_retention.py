"""Which studies go: whatever the rules are, never what somebody may still need."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.decide.retention import judge, protection
from node.domain.retention import Answer, Extent, RetentionRule, Room, StudyFacts
from node.domain.study import StudyState

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ROOM = Room(studies=100, free_bytes=10**9)
FACTS = StudyFacts(
    study_id=1,
    study_instance_uid="2.25.1",
    state=StudyState.SETTLED,
    last_arrival_at=NOW - timedelta(days=40),
    modalities=frozenset({"CT", "SR"}),
    kept_by_order=False,
    in_screening=False,
    screening_failed=False,
    set_aside=False,
    promised=False,
    corrected=False,
    withdrawal_pending=False,
    undelivered=0,
    unproven=0,
    versions_in_force=1,
    shown=True,
    kept_only_here=0,
    proven_at=frozenset({"pacs"}),
)
RULE = RetentionRule(
    name="old", remove=Extent.IMAGES, older_than=timedelta(days=30), archives=frozenset({"pacs", "archive"})
)

NAMES = st.frozensets(st.sampled_from(["pacs", "archive", "hook"]), max_size=3)
RULES = st.builds(
    RetentionRule,
    name=st.sampled_from(["a", "b"]),
    remove=st.sampled_from(Extent),
    older_than=st.none() | st.timedeltas(timedelta(days=1), timedelta(days=90)),
    more_studies_than=st.none() | st.integers(0, 200),
    free_below=st.none() | st.integers(0, 2 * 10**9),
    modalities=st.frozensets(st.sampled_from(["CT", "CR"]), max_size=2),
    answer=st.sampled_from(Answer),
    delivered_to=NAMES,
    archives=NAMES,
)
STUDIES = st.builds(
    StudyFacts,
    study_id=st.just(1),
    study_instance_uid=st.just("2.25.1"),
    state=st.sampled_from([StudyState.SETTLED, StudyState.SETTLED, *StudyState]),
    last_arrival_at=st.timedeltas(timedelta(days=-1), timedelta(days=100)).map(lambda age: NOW - age),
    modalities=st.frozensets(st.sampled_from(["CT", "CR", "SR"]), max_size=2),
    versions_in_force=st.integers(0, 2),
    kept_only_here=st.integers(0, 1),
    undelivered=st.sampled_from([0, 0, 0, 1]),
    unproven=st.integers(0, 1),
    proven_at=NAMES,
    **dict.fromkeys(
        ("kept_by_order", "in_screening", "screening_failed", "set_aside", "promised", "withdrawal_pending"),
        st.sampled_from([False, False, False, False, False, True]),
    ),
    **dict.fromkeys(("corrected", "shown"), st.booleans()),
)


@given(STUDIES, st.lists(RULES, max_size=3), st.integers(0, 200), st.integers(0, 2 * 10**9))
def test_nothing_goes_that_somebody_may_need(
    facts: StudyFacts, rules: list[RetentionRule], studies: int, free: int
) -> None:
    decision = judge(facts, rules, now=NOW, room=Room(studies=studies, free_bytes=free))
    assert decision.reason
    if decision.rule is None:
        assert decision.extent is None
        return
    rule = decision.rule
    assert facts.state is StudyState.SETTLED
    protections = (facts.kept_by_order, facts.promised, facts.set_aside, facts.withdrawal_pending)
    assert not any((*protections, facts.in_screening, facts.screening_failed, facts.undelivered))
    assert rule.older_than is None or facts.last_arrival_at < NOW - rule.older_than
    assert rule.more_studies_than is None or studies > rule.more_studies_than
    assert rule.free_below is None or free < rule.free_below
    if facts.versions_in_force:
        assert rule.answer is not Answer.NONE
        assert facts.proven_at >= rule.delivered_to
        assert facts.proven_at & rule.archives
    else:
        assert rule.answer is not Answer.DELIVERED
    if decision.extent is Extent.STUDY:
        assert not facts.corrected
        assert not facts.kept_only_here
        assert not facts.unproven
        assert rule.remove is Extent.STUDY or not facts.shown
    else:
        assert facts.shown


def test_what_is_old_and_proven_goes_with_the_reason() -> None:
    decision = judge(FACTS, [RULE], now=NOW, room=ROOM)
    assert (decision.rule, decision.extent) == (RULE, Extent.IMAGES)
    assert decision.reason == "rule old: last arrival 40 days ago; its report is proven to be at pacs"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kept_by_order": True}, "order"),
        ({"promised": True}, "storage commitment"),
        ({"state": StudyState.HELD}, "held"),
        ({"state": StudyState.RECEIVING}, "not settled"),
        ({"in_screening": True}, "in screening"),
        ({"screening_failed": True}, "failed"),
        ({"set_aside": True}, "set aside"),
        ({"withdrawal_pending": True}, "rejection note"),
        ({"undelivered": 1}, "on their way"),
    ],
)
def test_it_is_said_what_protects_a_study(changes: dict[str, object], reason: str) -> None:
    facts = replace(FACTS, **changes)
    assert reason in protection(facts)
    assert judge(facts, [RULE], now=NOW, room=ROOM).reason == protection(facts)


@pytest.mark.parametrize(
    ("rule", "changes", "reason"),
    [
        ({}, {"last_arrival_at": NOW - timedelta(days=29)}, "no rule applies"),
        ({}, {"last_arrival_at": NOW + timedelta(days=900)}, "no rule applies"),
        ({}, {"modalities": frozenset()}, "no rule applies"),
        ({"modalities": frozenset({"CR"})}, {}, "no rule applies"),
        ({"answer": Answer.NONE}, {}, "no rule applies"),
        ({}, {"versions_in_force": 0, "proven_at": frozenset()}, "no rule applies"),
        ({"more_studies_than": 100}, {}, "no rule applies"),
        ({"free_below": 10**9}, {}, "no rule applies"),
        ({"delivered_to": frozenset({"archive"})}, {}, "not proven to be at archive"),
        ({}, {"proven_at": frozenset({"hook"})}, "any destination that keeps objects"),
        ({"remove": Extent.STUDY}, {"corrected": True}, "corrected here"),
        ({"remove": Extent.STUDY}, {"kept_only_here": 2}, "nowhere else"),
        ({"remove": Extent.STUDY}, {"unproven": 1}, "not proven at every destination"),
    ],
)
def test_it_is_said_why_a_rule_removes_nothing(
    rule: dict[str, object], changes: dict[str, object], reason: str
) -> None:
    decision = judge(replace(FACTS, **changes), [replace(RULE, **rule)], now=NOW, room=ROOM)
    assert decision.rule is None
    assert reason in decision.reason


def test_a_rule_that_may_not_remove_leaves_it_to_the_next_one() -> None:
    whole = replace(RULE, name="whole", remove=Extent.STUDY)
    decision = judge(replace(FACTS, kept_only_here=1), [whole, RULE], now=NOW, room=ROOM)
    assert decision.rule is RULE


def test_of_what_nothing_would_be_left_the_whole_goes() -> None:
    rule = replace(RULE, answer=Answer.NONE)
    facts = replace(FACTS, versions_in_force=0, shown=False, proven_at=frozenset())
    assert judge(facts, [rule], now=NOW, room=ROOM).extent is Extent.STUDY
