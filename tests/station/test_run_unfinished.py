"""Screenings that cannot be finished now: parked, failed or overtaken, and nothing sent."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from node.domain.job import Assignment, ScreeningState
from node.domain.result import Outcome
from node.infer.bundle import Bundle
from node.run.progress import ScreeningEnd
from tests.screening_ground import Ends, Ground, deliveries, phantom_series


def test_a_failing_canary_parks_and_a_passing_one_resumes(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series())
    ground.settle()
    golden = dataclasses.replace(tiny_bundle.golden, probabilities=tiny_bundle.golden.probabilities[:, ::-1])
    screening = ground.claim()
    ground.pipeline(dataclasses.replace(tiny_bundle, golden=golden), ends).run(screening)
    [(end, reason)] = ends.ends
    assert end is ScreeningEnd.PARKED
    assert reason.startswith("CanaryFailed: ")
    assert ends.decisions == []
    assert deliveries(ground) == {}
    assert ground.store.screenings.claim("worker", lease=timedelta(minutes=1)) is None
    ground.clock.forward(timedelta(minutes=1))
    again = ground.claim()
    assert (again.id, again.attempts) == (screening.id, 1)
    ground.pipeline(tiny_bundle, ends).run(again)
    assert [end for end, _ in ends.ends] == [ScreeningEnd.PARKED, ScreeningEnd.STORED]


def test_a_screening_whose_own_error_stays_fails_in_the_end(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series())
    ground.settle()
    instance = ground.store.studies.instances(ground.study().series[0].id)[0]
    ground.store.files.path(instance.object_key).unlink()
    pipeline = ground.pipeline(tiny_bundle, ends)
    for _ in range(3):
        pipeline.run(ground.claim())
        ground.clock.forward(timedelta(minutes=10))
    assert [end for end, _ in ends.ends] == [ScreeningEnd.PARKED, ScreeningEnd.PARKED, ScreeningEnd.FAILED]
    assert ends.ends[-1][1].startswith("ObjectMissing: ")
    latest = ground.store.screenings.latest(ground.study().id)
    assert latest is not None
    assert latest[0].state is ScreeningState.FAILED
    assert deliveries(ground) == {}


def test_a_study_that_is_held_meanwhile_gets_nothing(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    ground.receive(phantom_series())
    ground.settle()
    screening = ground.claim()
    ground.store.studies.hold(ground.study().id, "tester", "wrong patient")
    ground.pipeline(tiny_bundle, ends).run(screening)
    assert [end for end, _ in ends.ends] == [ScreeningEnd.OVERTAKEN]
    assert deliveries(ground) == {}
    assert ground.store.screenings.results(screening.id) == []


def test_an_engine_that_goes_away_parks_the_screening(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series())
    ground.settle()
    pipeline = ground.pipeline(tiny_bundle, ends)
    pipeline.run(ground.claim())
    ground.store.screenings.requeue(ground.study().id, Assignment(model_name="tiny"), "tester", "again")
    ground.scorers[0].close()
    screening = ground.claim()
    pipeline.run(screening)
    assert [end for end, _ in ends.ends] == [ScreeningEnd.STORED, ScreeningEnd.PARKED]
    assert ends.ends[-1][1].startswith("EngineUnavailable: ")
    ground.clock.forward(timedelta(minutes=1))
    again = ground.claim()
    ground.pipeline(tiny_bundle, ends).run(again)
    assert ends.ends[-1][0] is ScreeningEnd.UNCHANGED


def test_a_damaged_file_is_no_basis_of_an_answer(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    """Pixels that flipped on the disk still decode; the digest tells."""
    ground.receive(phantom_series())
    ground.settle()
    instance = ground.store.studies.instances(ground.study().series[0].id)[5]
    path = ground.store.files.path(instance.object_key)
    content = path.read_bytes()
    path.write_bytes(content[:-1000] + bytes(1000))
    ground.pipeline(tiny_bundle, ends).run(ground.claim())
    [finding] = ends.decisions
    assert finding.outcome is Outcome.NOT_ANALYSED
    assert "damaged on the disk" in finding.reason


def test_objects_that_were_kept_aside_are_told_of(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    ground.receive(phantom_series())
    ground.settle()
    other = phantom_series()[3]
    other.PixelData = bytes(len(other.PixelData))
    ground.receive([other])
    [aside] = ground.store.asides.to_compare()
    ground.store.asides.other_pixels(aside.id)
    ground.pipeline(tiny_bundle, ends).run(ground.claim())
    [finding] = ends.decisions
    assert any("1 object was kept aside" in warning for warning in finding.warnings)


def test_a_study_without_a_readable_file_fails_with_the_reason(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series())
    ground.settle()
    for instance in ground.store.studies.instances(ground.study().series[0].id):
        ground.store.files.path(instance.object_key).write_bytes(b"nothing")
    pipeline = ground.pipeline(tiny_bundle, ends)
    for _ in range(3):
        pipeline.run(ground.claim())
        ground.clock.forward(timedelta(minutes=10))
    assert ends.ends[-1][0] is ScreeningEnd.FAILED
    assert ends.ends[-1][1].startswith("ReportImpossible: ")
    assert deliveries(ground) == {}


def test_an_object_kept_aside_later_makes_a_new_version_and_no_other_content_under_an_old_uid(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series())
    ground.settle()
    pipeline = ground.pipeline(tiny_bundle, ends)
    first = ground.claim()
    pipeline.run(first)
    other = phantom_series()[3]
    other.PixelData = bytes(len(other.PixelData))
    ground.receive([other])
    [aside] = ground.store.asides.to_compare()
    ground.store.asides.other_pixels(aside.id)
    ground.store.screenings.requeue(ground.study().id, Assignment(model_name="tiny"), "tester", "look again")
    second = ground.claim()
    pipeline.run(second)
    assert [end for end, _ in ends.ends] == [ScreeningEnd.STORED, ScreeningEnd.STORED]
    before, after = (
        {item.sop_instance_uid for item in ground.store.screenings.results(screening.id)}
        for screening in (first, second)
    )
    assert before
    assert after
    assert before.isdisjoint(after)
