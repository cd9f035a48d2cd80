"""Screenings of several models, versions and purposes of one study."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.errors import StoreError
from node.domain.job import Assignment, Purpose, ScreeningCause, ScreeningState
from node.domain.model import Acceptance
from node.domain.preparation_spec import InputModality
from node.domain.study import StudyState

CT = Assignment(model_name="covid")
CT_2 = Assignment(model_name="covid", model_version=2)
CXR = Assignment(model_name="cxr")
SHADOW_2 = Assignment(model_name="covid", model_version=2, purpose=Purpose.SHADOW)
SHADOW = Assignment(model_name="covid", model_version=3, purpose=Purpose.SHADOW)
SHADOW_4 = Assignment(model_name="covid", model_version=4, purpose=Purpose.SHADOW)


def settle(ward, *assignments: Assignment) -> None:
    ward.conclude()
    study = ward.study
    assert ward.store.studies.settle(study.id, assignments, last_arrival_at=study.last_arrival_at)


def standing(ward, *states: ScreeningState) -> list[tuple[str, int, Purpose]]:
    states = states or (ScreeningState.QUEUED, ScreeningState.RUNNING, ScreeningState.PARKED)
    return sorted(
        (item.model_name, item.model_version, item.purpose)
        for item, _ in ward.store.screenings.history(ward.study.id)
        if item.state in states
    )


def shape(*assignments: Assignment) -> list[tuple[str, int, Purpose]]:
    return sorted((item.model_name, item.model_version, item.purpose) for item in assignments)


def grow(ward, number: int) -> None:
    ward.clock.advance(1)
    ward.add(number)


def test_a_study_gets_one_screening_for_each_assignment(ward):
    ward.add(1)
    settle(ward, CT, CXR, SHADOW)
    assert standing(ward) == shape(CT, CXR, SHADOW)
    claimed = [ward.claim() for _ in range(3)]
    assert [item.purpose for item in claimed] == [Purpose.REPORT, Purpose.REPORT, Purpose.SHADOW]
    assert ward.store.screenings.claim("worker", lease=timedelta(minutes=1)) is None


def test_a_shadow_waits_for_every_report_even_of_later_studies(ward):
    ward.add(1)
    settle(ward, SHADOW)
    ward.store.screenings.requeue(ward.study.id, CT, "Ada", "again")
    assert ward.claim().purpose is Purpose.REPORT


def test_a_study_that_grew_is_queued_anew_for_what_it_is_routed_to_now(ward):
    ward.add(1)
    settle(ward, CT, SHADOW)
    running = ward.claim()
    grow(ward, 2)
    settle(ward, CT, CXR)
    assert standing(ward) == shape(CT, CXR)
    assert not ward.finish(running)


@pytest.mark.parametrize("claimed", [False, True])
def test_an_order_for_one_version_outlasts_the_growth_of_its_study(ward, claimed):
    ward.add(1)
    settle(ward, CT)
    ward.store.screenings.requeue(ward.study.id, CT_2, "Ada", "as it was in May")
    assert standing(ward) == shape(CT_2), "one answer of a model is enough"
    running = ward.claim() if claimed else None
    grow(ward, 2)
    settle(ward, CT, SHADOW)
    assert standing(ward) == shape(CT_2, SHADOW)
    again = ward.claim()
    assert (again.cause, again.reason) == (ScreeningCause.REPROCESS, "as it was in May")
    assert running is None or not ward.finish(running)
    assert ward.finish(again)


def test_shadows_of_several_versions_stand_side_by_side(ward):
    ward.add(1)
    settle(ward, CT, SHADOW, SHADOW_4)
    ward.store.screenings.requeue(ward.study.id, SHADOW, "Ada", "again")
    assert standing(ward) == shape(CT, SHADOW, SHADOW_4)


def test_orders_for_shadows_outlast_growth_version_by_version(ward):
    ward.add(1)
    settle(ward, CT)
    for order in (SHADOW, SHADOW_4):
        ward.store.screenings.requeue(ward.study.id, order, "Ada", "compare")
    grow(ward, 2)
    settle(ward, CT, SHADOW_2)
    assert standing(ward) == shape(CT, SHADOW_2, SHADOW, SHADOW_4)


def test_shadows_of_several_versions_are_handed_over_side_by_side(ward):
    ward.add(1)
    settle(ward, CT, SHADOW_2)
    routed = [CT, SHADOW, SHADOW_4]
    assert ward.store.screenings.hand_over(routed, lambda _: routed) == 2
    assert standing(ward) == shape(*routed)


def test_what_waits_for_a_broken_model_does_not_keep_others_from_their_turn(ward):
    ward.add(1)
    settle(ward, CT, CXR)
    first, ready = ward.claim(), ward.clock.now()
    ward.store.screenings.park(first.id, ready + timedelta(seconds=10), "the engine is away")
    ward.clock.advance(60)
    assert ward.claim().model_name == "cxr", "it has been due for longer"


def test_what_a_stop_interrupted_keeps_its_place(ward):
    ward.add(1)
    settle(ward, CT, CXR)
    interrupted = ward.claim()
    ward.clock.advance(60)
    assert ward.store.screenings.recover() == 1
    assert ward.claim().id == interrupted.id


def test_a_shadow_is_no_answer(ward):
    ward.add(1)
    settle(ward, CT, SHADOW)
    report, shadow = ward.claim(), ward.claim()
    assert ward.finish(report)
    latest = ward.store.screenings.latest(ward.study.id)
    with pytest.raises(StoreError, match="a shadow puts nothing in force"):
        ward.finish(shadow, "recipe-2", version=2)
    assert ward.finish(shadow, "", version=None)
    assert ward.store.screenings.latest(ward.study.id) == latest
    assert ward.store.screenings.counts() == {ScreeningState.DONE: 1}
    assert [item.name for item in ward.store.screenings.models_in_force(ward.study.id)] == ["covid"]


def test_a_later_report_supersedes_no_shadow(ward):
    ward.add(1)
    settle(ward, SHADOW)
    assert ward.finish(ward.claim(), "", version=None)
    ward.store.screenings.requeue(ward.study.id, CT, "Ada", "report")
    assert ward.finish(ward.claim())
    assert standing(ward, ScreeningState.DONE) == shape(CT, SHADOW)


def test_what_nothing_leads_to_any_more_is_handed_over(ward):
    ward.add(1)
    settle(ward, CT, CXR, SHADOW)
    other = Assignment(model_name="other")
    routed = [other, CXR]
    assert ward.store.screenings.hand_over(routed, lambda _: routed) == 1
    assert standing(ward) == shape(other, CXR), "the shadow is not asked for any more"
    assert ward.store.screenings.hand_over(routed, lambda _: routed) == 0


def test_a_shadow_of_a_version_that_is_not_asked_for_any_more_ends(ward):
    ward.add(1)
    settle(ward, CT, SHADOW)
    assert ward.store.screenings.hand_over([CT, SHADOW_4], lambda _: [CT, SHADOW_4]) == 1
    assert standing(ward) == shape(CT, SHADOW_4)


def test_an_order_for_one_version_is_not_handed_over(ward):
    ward.add(1)
    settle(ward, CT)
    ward.store.screenings.requeue(ward.study.id, CT_2, "Ada", "just this one")
    other = [Assignment(model_name="other")]
    assert ward.store.screenings.hand_over(other, lambda _: other) == 0
    assert standing(ward) == shape(CT_2)


ASSIGNMENTS = st.builds(
    Assignment,
    model_name=st.sampled_from(["covid", "cxr"]),
    model_version=st.integers(0, 2),
    purpose=st.sampled_from(Purpose),
)


@settings(max_examples=25)
@given(data=st.data())
def test_whatever_is_ordered_nothing_waits_twice(make_ward, data):
    ward = make_ward()
    ward.add(1)
    number = 1
    for _ in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()):
            if ward.study.state is StudyState.SETTLED:
                number += 1
                grow(ward, number)
            settle(ward, *dict.fromkeys(data.draw(st.lists(ASSIGNMENTS, max_size=3))))
        else:
            ward.store.screenings.requeue(ward.study.id, data.draw(ASSIGNMENTS), "Ada", "again")
        found = standing(ward)
        assert len(found) == len(set(found))
    while ward.store.screenings.claim("worker", lease=timedelta(minutes=1)) is not None:
        pass


@pytest.fixture
def acceptance() -> Acceptance:
    return Acceptance(
        url="gpu:8001",
        server_version="2.66.0",
        model_name="covid",
        model_version=2,
        spec_sha256="a" * 64,
        weights_sha256="b" * 64,
        precision="f32",
    )


def test_promotions_and_acceptances_are_kept_and_audited(ward, acceptance):
    promotions, acceptances = ward.store.promotions, ward.store.acceptances
    assert promotions.active("covid") is None
    promotions.promote("covid", 2, " Ada ", "better")
    promotions.promote("covid", 1, "Bob", "worse after all")
    promotions.promote("cxr", 7, "Ada", "new")
    assert (promotions.active("covid"), promotions.active("cxr")) == (1, 7)
    assert [(item.version, item.by) for item in promotions.history("covid")] == [(1, "Bob"), (2, "Ada")]
    with pytest.raises(StoreError, match="--by"):
        promotions.promote("covid", 3, " ", "why")
    assert promotions.active("covid") == 1

    key = {"spec_sha256": "a" * 64, "weights_sha256": "b" * 64, "precision": "f32"}
    assert not acceptances.accepted("gpu:8001", "covid", 2, **key)
    acceptances.record(acceptance, "Ada", "new server")
    assert acceptances.accepted("gpu:8001", "covid", 2, **key)
    for name in key:
        assert not acceptances.accepted("gpu:8001", "covid", 2, **{**key, name: "other"})
    assert not acceptances.accepted("gpu:8002", "covid", 2, **key)
    assert not acceptances.accepted("gpu:8001", "covid", 1, **key)
    assert acceptances.history() == [acceptance]
    assert [act.action for act in ward.store.operations.audit_trail()] == ["accept", *["promote"] * 3]


def test_the_modality_of_a_finding_is_kept(ward, make_finding):
    ward.add(1)
    settle(ward, CXR)
    screening = ward.claim()
    finding = make_finding(modality=InputModality.CR)
    assert ward.store.screenings.finish(
        screening.id, finding, recipe="", version=None, results=[], outlets=[]
    )
    assert ward.store.screenings.finding(screening.id) == finding


def test_the_scores_of_a_model_are_its_newest_of_each_study(ward):
    ward.add(1)
    settle(ward, CT, SHADOW)
    for screening in (ward.claim(), ward.claim()):
        assert ward.finish(screening, "recipe", version=1 if screening.purpose is Purpose.REPORT else None)
    (score,) = ward.store.scores.of("covid")
    assert (score.study_id, score.version, score.mean_probability) == (ward.study.id, 1, pytest.approx(0.5))
    assert ward.store.scores.of("covid", 1) == [score]
    assert ward.store.scores.of("covid", 9) == []
    assert ward.store.scores.of("covid", since=ward.study.first_arrival_at) == [score]
    assert ward.store.scores.of("covid", since=ward.clock.now() + timedelta(days=1)) == []
