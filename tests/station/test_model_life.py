"""Versions of a model in the running node: promoted, shadowed, swapped, each with its own breaker."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from node.domain.errors import BundleError, CanaryFailed, EngineUnavailable, HandshakeFailed, ModelNotServed
from node.domain.job import Assignment, Purpose, Screening, ScreeningState
from node.domain.model import ModelIdentity, Precision
from node.domain.ports import Scorer
from node.domain.result import Finding, Outcome
from node.infer.bundle import Bundle, files_of, load_bundle
from node.infer.canary import CanaryState
from node.infer.golden import replay
from node.infer.openvino import EmbeddedScorer
from node.infer.served import EngineRoom, EngineSource, Served
from node.run.pipeline import Pipeline
from node.run.progress import ScreeningEnd, Stage
from tests.model_folder import TinyNet, phantom_slices, write_model_folder, write_version
from tests.screening_ground import SETTINGS, Ends, Ground, deliveries, phantom_series

BLIND = TinyNet(bias=-40.0)
"""Sees nothing anywhere: another decision than the default network's."""
TINY, TINY_2 = Assignment(model_name="tiny"), Assignment(model_name="tiny", model_version=2)
SHADOW_2 = Assignment(model_name="tiny", model_version=2, purpose=Purpose.SHADOW)


class Exchangeable(EmbeddedScorer):
    """An engine that can turn into another one, as a server does that was set up anew."""

    device = "CPU"
    rests = 0

    def rest(self) -> None:
        super().rest()
        self.rests += 1

    @property
    def identity(self) -> ModelIdentity:
        return dataclasses.replace(super().identity, device=self.device)


class Room:
    """The served models over a folder with two versions of one model."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self.ground = ground
        self.models_dir = folder
        self.folder = write_model_folder(folder, phantom_slices())
        write_version(self.folder, phantom_slices(), 2, net=BLIND)
        self.opened: list[Exchangeable] = []
        self.approve: Callable[[Bundle], None] = lambda bundle: None
        self.at_replay: Callable[[], None] = lambda: None
        self.engines = self.make([TINY, SHADOW_2])

    def make(self, wanted: list[Assignment], *, keep: int = 1) -> EngineRoom:
        source = EngineSource(
            models_dir=self.models_dir,
            active=self.ground.store.promotions.active,
            registry=self.ground.store.operations,
            open_scorer=self._open,
            prove=self._prove,
            approve=lambda bundle, identity: self.approve(bundle),
            canary_every=timedelta(minutes=10),
        )
        return EngineRoom(source, self.ground.clock, keep=keep, wanted=wanted)

    def _open(self, bundle: Bundle) -> Exchangeable:
        self.opened.append(Exchangeable(bundle, precision=Precision.F32, threads=1))
        return self.opened[-1]

    def _prove(self, bundle: Bundle, scorer: Scorer[NDArray[np.float32]]) -> None:
        self.at_replay()
        replay(bundle, scorer)

    def exchange(self) -> None:
        """Have another engine behind the same name."""
        for scorer in self.opened:
            scorer.device = "GPU"

    @contextmanager
    def pipeline(self, ends: Ends) -> Iterator[Pipeline]:
        made = Pipeline(
            store=self.ground.store,
            models=self.engines,
            clock=self.ground.clock,
            settings=SETTINGS,
            listener=ends,
        )
        yield made
        made.close()

    def finding(self, screening: Screening) -> Finding:
        return self.ground.store.screenings.finding(screening.id)

    def states(self) -> dict[int, CanaryState]:
        return {item.version: item.canary.state for item in self.engines.readings()}


@pytest.fixture
def room(ground: Ground, tmp_path: Path) -> Iterator[Room]:
    made = Room(ground, tmp_path / "models")
    yield made
    made.engines.close()


def requeue(ground: Ground, assignment: Assignment) -> Screening:
    ground.store.screenings.requeue(ground.study().id, assignment, "tester", "test")
    return ground.claim()


def test_a_promotion_takes_effect_with_the_next_study(room: Room, ground: Ground, ends: Ends) -> None:
    ground.receive(phantom_series(patches=6))
    ground.settle()
    with room.pipeline(ends) as pipeline:
        first = ground.claim()
        pipeline.run(first)
        ground.store.promotions.promote("tiny", 2, "Ada", "better")
        second = requeue(ground, TINY)
        pipeline.run(second)
        ground.store.promotions.promote("tiny", 1, "Ada", "taken back")
        third = requeue(ground, TINY)
        pipeline.run(third)
    found = [room.finding(item) for item in (first, second, third)]
    assert [item.model.version for item in found] == [1, 2, 1]
    assert [item.outcome for item in found] == [Outcome.POSITIVE, Outcome.NEGATIVE, Outcome.POSITIVE]
    assert [item[0] for item in ends.ends] == [ScreeningEnd.STORED] * 3
    assert ("promote", "tiny:2") in {
        (act.action, act.subject) for act in ground.store.operations.audit_trail()
    }


class PromotesWhileInferring(Ends):
    """Promotes another version while the first slices are scored."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self._room = room

    def stage_advanced(self, screening: Screening, stage: Stage, done: int, total: int) -> None:
        super().stage_advanced(screening, stage, done, total)
        if stage is Stage.INFER and self._room.ground.store.promotions.active("tiny") is None:
            self._room.ground.store.promotions.promote("tiny", 2, "Ada", "better")
            with self._room.engines.serve("tiny", 0) as served:
                assert served.bundle.version == 2


def test_a_study_under_way_finishes_on_the_version_that_it_began_with(room: Room, ground: Ground) -> None:
    ends = PromotesWhileInferring(room)
    ground.receive(phantom_series(patches=6))
    ground.settle()
    with room.pipeline(ends) as pipeline:
        during = ground.claim()
        pipeline.run(during)
        after = requeue(ground, TINY)
        pipeline.run(after)
    assert room.finding(during).model.version == 1
    assert room.finding(during).outcome is Outcome.POSITIVE
    assert room.finding(after).model.version == 2


def test_a_shadow_is_kept_and_sends_nothing(room: Room, ground: Ground, ends: Ends) -> None:
    ground.store.operations.go_live("pacs", "tester", "test")
    ground.receive(phantom_series(patches=6))
    ground.settle(assigned=[TINY, SHADOW_2])
    with room.pipeline(ends) as pipeline:
        report = ground.claim()
        assert report.purpose is Purpose.REPORT, "what is sent comes first"
        pipeline.run(report)
        before = deliveries(ground), ground.store.screenings.latest(report.study_id)
        shadow = ground.claim()
        pipeline.run(shadow)
    assert (shadow.purpose, shadow.model_version) == (Purpose.SHADOW, 2)
    assert [end for end, _ in ends.ends] == [ScreeningEnd.STORED, ScreeningEnd.KEPT]
    assert room.finding(shadow).outcome is Outcome.NEGATIVE
    assert room.finding(shadow).scored > 0
    assert ground.store.screenings.results(shadow.id) == []
    assert (deliveries(ground), ground.store.screenings.latest(report.study_id)) == before
    assert ground.store.screenings.counts() == {ScreeningState.DONE: 1}
    assert ground.store.screenings.counts(Purpose.SHADOW) == {ScreeningState.DONE: 1}
    history = ground.store.screenings.history(report.study_id)
    assert [item.state for item, _ in history] == [ScreeningState.DONE] * 2, "neither supersedes the other"


def test_a_shadow_alone_leaves_the_outbox_empty(room: Room, ground: Ground, ends: Ends) -> None:
    ground.receive(phantom_series(patches=6))
    ground.settle(assigned=[SHADOW_2])
    with room.pipeline(ends) as pipeline:
        pipeline.run(ground.claim())
    assert deliveries(ground) == {}
    assert ground.store.screenings.latest(ground.study().id) is None


def test_weights_swapped_on_the_disk_are_caught_before_the_next_study(
    room: Room, ground: Ground, ends: Ends
) -> None:
    ground.receive(phantom_series())
    ground.settle()
    onnx = room.folder / "1" / "model.onnx"
    right = onnx.read_bytes()
    with room.pipeline(ends) as pipeline:
        pipeline.run(ground.claim())
        onnx.write_bytes(TinyNet(gain=3.0).onnx())
        screening = requeue(ground, TINY)
        pipeline.run(screening)
        assert ends.ends[-1][0] is ScreeningEnd.PARKED
        assert ends.ends[-1][1].startswith("HandshakeFailed: ")
        assert room.states()[1] is CanaryState.OPEN

        onnx.write_bytes(right)
        ground.clock.forward(timedelta(minutes=10))
        pipeline.run(ground.claim())
    assert ends.ends[-1][0] is ScreeningEnd.UNCHANGED
    assert room.states()[1] is CanaryState.CLOSED


def test_a_whole_other_export_under_a_known_version_is_refused(room: Room, ground: Ground) -> None:
    with room.engines.serve("tiny"):
        pass
    other = write_model_folder(room.models_dir / "other", phantom_slices(), net=BLIND)
    for path in files_of(load_bundle(other)):
        (room.folder / path.relative_to(other)).write_bytes(path.read_bytes())
    with pytest.raises(HandshakeFailed, match="seen with other bytes"), room.engines.serve("tiny"):
        pass


def test_a_failing_canary_stops_its_own_version_only(room: Room, ground: Ground) -> None:
    broken = room.folder / "2" / "golden.npz"
    broken.write_bytes((room.folder / "1" / "golden.npz").read_bytes())
    with pytest.raises(CanaryFailed), room.engines.serve("tiny", 2):
        pass
    with room.engines.serve("tiny") as served:
        served.guard.check()
    assert room.states() == {1: CanaryState.CLOSED, 2: CanaryState.OPEN}
    assert {item.version: item.reports for item in room.engines.readings()} == {1: True, 2: False}


def test_the_tick_opens_what_is_wanted_and_replays_what_is_due(room: Room, ground: Ground) -> None:
    assert room.states() == {1: CanaryState.UNPROVEN, 2: CanaryState.UNPROVEN}
    room.engines.tick()
    assert room.states() == {1: CanaryState.CLOSED, 2: CanaryState.CLOSED}
    first = {item.version: item.canary.checked_at for item in room.engines.readings()}
    ground.clock.forward(timedelta(minutes=11))
    room.engines.tick()
    assert all(item.canary.checked_at != first[item.version] for item in room.engines.readings()), (
        "a replay holds for ten minutes"
    )


def test_what_rests_longest_is_closed_when_there_are_too_many(room: Room) -> None:
    write_version(room.folder, phantom_slices(), 3)
    engines = room.make([TINY], keep=2)
    for number in (1, 2, 1, 3, 1):
        with engines.serve("tiny", number) as served:
            assert served.bundle.version == number
    assert {item.version for item in engines.readings()} == {1, 3}
    assert len(room.opened) == 3, "version 1 was still open"
    engines.close()


def test_what_is_in_use_is_not_closed(room: Room) -> None:
    engines = room.make([], keep=0)
    with engines.serve("tiny", 1) as first:
        with engines.serve("tiny", 2):
            pass
        assert {item.version for item in engines.readings()} == {1}
        replay(first.bundle, first.scorer)
    assert engines.readings() == ()
    engines.close()


def test_an_engine_rests_when_the_last_screening_gives_it_back(room: Room) -> None:
    with room.engines.serve("tiny") as first:
        with room.engines.serve("tiny") as second:
            pass
        assert first is second
        assert [item.rests for item in room.opened] == [0]
    assert [item.rests for item in room.opened] == [1]
    replay(first.bundle, first.scorer)


def test_many_at_once_open_one_engine(room: Room) -> None:
    found: list[Served] = []
    barrier = threading.Barrier(4)

    def ask() -> None:
        barrier.wait(timeout=60)
        with room.engines.serve("tiny") as served:
            found.append(served)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(found) == 4
    assert len({id(item) for item in found}) == len(room.opened) == 1


def test_what_is_not_installed_is_named(room: Room) -> None:
    with (
        pytest.raises(ModelNotServed, match=r"no version 7 .* installed: 1, 2"),
        room.engines.serve("tiny", 7),
    ):
        pass
    with pytest.raises(BundleError, match="no model folder"), room.engines.serve("absent"):
        pass


def test_what_may_not_answer_parks_the_study_until_it_may(room: Room, ground: Ground, ends: Ends) -> None:
    def refuse(bundle: Bundle) -> None:
        raise HandshakeFailed(f"{bundle.name} was not accepted")

    room.approve = refuse
    ground.receive(phantom_series())
    ground.settle()
    with room.pipeline(ends) as pipeline:
        pipeline.run(ground.claim())
        room.approve = lambda bundle: None
        ground.clock.forward(timedelta(minutes=10))
        pipeline.run(ground.claim())
    assert [end for end, _ in ends.ends] == [ScreeningEnd.PARKED, ScreeningEnd.STORED]


class ExchangesTheEngine(Ends):
    """Has another engine answer from the first slices on."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self._room = room

    def stage_advanced(self, screening: Screening, stage: Stage, done: int, total: int) -> None:
        super().stage_advanced(screening, stage, done, total)
        if stage is Stage.INFER:
            self._room.exchange()


@pytest.mark.parametrize("when", ["before the replay", "while slices are scored"])
def test_an_engine_that_became_another_one_answers_nothing_under_the_old_ones_name(
    room: Room, ground: Ground, when: str
) -> None:
    ends = ExchangesTheEngine(room) if when == "while slices are scored" else Ends()
    ground.receive(phantom_series())
    ground.settle()
    with room.pipeline(ends) as pipeline:
        with room.engines.serve("tiny"):
            pass
        if when == "before the replay":
            ground.clock.forward(timedelta(minutes=11))
            room.at_replay = room.exchange
        screening = ground.claim()
        pipeline.run(screening)
        assert ends.ends == [(ScreeningEnd.PARKED, ends.ends[0][1])]
        assert "another engine answers now" in ends.ends[0][1]
        assert deliveries(ground) == {}
        ground.clock.forward(timedelta(minutes=1))
        pipeline.run(ground.claim())
    assert ends.ends[-1][0] is ScreeningEnd.STORED
    assert room.finding(screening).model.device == "GPU"


def test_a_closed_room_lends_nothing_and_ends_what_was_lent(room: Room) -> None:
    with room.engines.serve("tiny") as served:
        room.engines.close()
        with pytest.raises(EngineUnavailable, match="closed"):
            served.scorer.score(served.bundle.golden.prepared)
        with pytest.raises(EngineUnavailable, match="stops"), room.engines.serve("tiny"):
            pass
    room.engines.tick()
    assert len(room.opened) == 1
