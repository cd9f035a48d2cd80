"""The client against the real server when that is killed, started again, or runs something else."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from node.app import SystemClock
from node.domain.breaker import BreakerState
from node.domain.errors import CanaryFailed, CircuitOpen, EngineUnavailable, HandshakeFailed, ModelNotServed
from node.infer.shared_memory import FOLDER, PREFIX
from node.infer.triton import TritonScorer
from node.infer.triton_link import Link
from tests.conftest import FrozenClock
from tests.model_folder import TinyNet
from tests.station.app_ground import wait_for
from tests.station.test_triton_scorer import BOTH_WAYS, assert_right, batch_of
from tests.triton_server import PATIENCE, Site, installation, options_for

PAUSE = 30.0
PATIENT = {"attempts": 20, "deadline_seconds": 60.0}


@pytest.fixture
def closing() -> Iterator[Callable[[TritonScorer], TritonScorer]]:
    """Return a function that has a scorer closed after the test."""
    opened: list[TritonScorer] = []

    def keep(scorer: TritonScorer) -> TritonScorer:
        opened.append(scorer)
        return scorer

    yield keep
    for scorer in opened:
        scorer.close()
    assert not list(FOLDER.glob(f"{PREFIX}{os.getpid()}-*"))


Keep = Callable[[TritonScorer], TritonScorer]


def impatient(site: Site, clock: FrozenClock, **changes: Any) -> TritonScorer:
    """A scorer that gives up at once, and whose breaker follows the clock of the test."""
    options = options_for(site.running, attempts=1, breaker_failures=2, breaker_seconds=PAUSE, **changes)
    return TritonScorer(site.tiny, options, clock=clock)


@BOTH_WAYS
def test_a_server_killed_with_a_batch_in_it_and_started_again_answers_it(
    own_triton: Callable[..., Site], closing: Keep, shared_memory: bool
) -> None:
    site = own_triton(["gated"])
    options = options_for(site.running, shared_memory=shared_memory, **PATIENT)
    scorer = closing(TritonScorer(site.gated, options, clock=SystemClock()))
    assert_right("gated", batch_of(3), scorer.score(batch_of(3)))
    site.gate.shut()
    pending = [scorer.submit(batch_of(8, seed)) for seed in range(2)]
    wait_for(lambda: site.gate.holds, "a batch is in the server")
    site.kill()
    assert scorer.identity.name == "gated"
    site.gate.open()
    site.start()
    for seed, item in enumerate(pending):
        assert_right("gated", batch_of(8, seed), item.result())
    assert_right("gated", batch_of(5, 9), scorer.score(batch_of(5, 9)))


def test_the_breaker_leaves_a_dead_server_alone_and_finds_it_when_it_is_there(
    own_triton: Callable[..., Site], closing: Keep, clock: FrozenClock
) -> None:
    site = own_triton(["tiny"])
    site.kill()
    scorer = closing(impatient(site, clock))
    with pytest.raises(EngineUnavailable, match="UNAVAILABLE"):
        _ = scorer.identity
    with pytest.raises(EngineUnavailable, match="UNAVAILABLE"):
        scorer.score(batch_of(2))
    assert scorer.breaker is BreakerState.OPEN
    with pytest.raises(CircuitOpen, match="probed in 30 s"):
        scorer.score(batch_of(2))
    clock.advance(PAUSE)
    with pytest.raises(EngineUnavailable, match="UNAVAILABLE"):
        scorer.score(batch_of(2))
    site.start()
    with pytest.raises(CircuitOpen):
        scorer.score(batch_of(2))
    clock.advance(PAUSE)
    assert_right("tiny", batch_of(2), scorer.score(batch_of(2)))
    assert scorer.breaker is BreakerState.CLOSED
    assert scorer.identity.name == "tiny"


def test_an_unloaded_network_is_not_served_until_it_is_loaded(
    triton: Site, closing: Keep, clock: FrozenClock
) -> None:
    scorer = closing(impatient(triton, clock))
    assert_right("tiny", batch_of(2), scorer.score(batch_of(2)))
    with triton.connection() as connection:
        connection.unload("tiny", seconds=PAUSE)
        wait_for(lambda: not connection.has_model("tiny", 1), "the network is unloaded")
        try:
            with pytest.raises((ModelNotServed, EngineUnavailable), match="tiny"):
                scorer.score(batch_of(2))
            with pytest.raises(ModelNotServed, match="does not serve tiny version 1"):
                scorer.score(batch_of(2))
            assert scorer.breaker is BreakerState.OPEN
        finally:
            connection.load("tiny", seconds=PAUSE)
    clock.advance(PAUSE)
    assert_right("tiny", batch_of(2), scorer.score(batch_of(2)))


@BOTH_WAYS
def test_the_same_weights_loaded_again_are_proven_and_the_batch_is_sent_again(
    triton: Site, closing: Keep, shared_memory: bool
) -> None:
    options = options_for(triton.running, shared_memory=shared_memory)
    scorer = closing(TritonScorer(triton.tiny, options, clock=SystemClock()))
    assert_right("tiny", batch_of(2), scorer.score(batch_of(2)))
    with triton.connection() as connection:
        former = connection.successes("tiny", triton.tiny.version)
        assert_right("tiny", batch_of(2, 1), scorer.score(batch_of(2, 1)))
        assert connection.successes("tiny", triton.tiny.version) == former + 1, "nothing is proven twice"
        triton.load_again(triton.tiny)
        loaded = connection.successes("tiny", triton.tiny.version)
        assert loaded < former, "the server began to count anew: it is another load"
        assert_right("tiny", batch_of(2, 2), scorer.score(batch_of(2, 2)))
        # The batch whose answer did not count, the golden answer, and the batch again.
        assert connection.successes("tiny", triton.tiny.version) >= loaded + 3


def test_other_weights_under_the_same_name_and_digests_answer_nothing(
    triton: Site, closing: Keep, clock: FrozenClock
) -> None:
    options = options_for(triton.running, breaker_seconds=PAUSE)
    scorer = closing(TritonScorer(triton.gated, options, clock=clock))
    assert_right("gated", batch_of(2), scorer.score(batch_of(2)))
    try:
        triton.swap_weights(triton.gated, TinyNet(gain=31.0).onnx())
        triton.load_again(triton.gated)
        with pytest.raises(CanaryFailed, match="probabilities differ"):
            scorer.score(batch_of(2))
        with pytest.raises(CircuitOpen, match="probabilities differ"):
            scorer.score(batch_of(2))
        triton.swap_weights(triton.gated, TinyNet(gain=float("nan")).onnx())
        triton.load_again(triton.gated)
        clock.advance(PAUSE)
        with pytest.raises(CanaryFailed, match="not finite"):
            scorer.score(batch_of(2))
        assert scorer.breaker is BreakerState.OPEN
    finally:
        triton.swap_weights(triton.gated, triton.gated.onnx.read_bytes())
        triton.load_again(triton.gated)
    clock.advance(PAUSE)
    assert_right("gated", batch_of(2), scorer.score(batch_of(2)))


def test_a_repository_with_other_digests_is_found_by_the_canarys_handshake(
    triton: Site, closing: Keep, clock: FrozenClock
) -> None:
    scorer = closing(impatient(triton, clock))
    scorer.verify()
    config = triton.repository / "tiny" / "config.pbtxt"
    text = config.read_text()
    try:
        config.write_text(text.replace(triton.tiny.spec_sha256, "f" * 64))
        triton.load_again(triton.tiny)
        with pytest.raises(HandshakeFailed, match="parameter spec_sha256_1"):
            scorer.verify()
        assert scorer.breaker is BreakerState.OPEN
    finally:
        config.write_text(text)
        triton.load_again(triton.tiny)


def test_a_cache_of_answers_before_a_backend_that_takes_any_file_is_refused(
    own_triton: Callable[..., Site],
) -> None:
    caches = installation().server / "caches"
    site = own_triton([], ["--cache-config=local,size=1048576", f"--cache-directory={caches}"])
    config = site.repository / site.tiny.name / "config.pbtxt"
    cached = re.sub(r"(response_cache\W+enable: )false", r"\g<1>true", config.read_text(encoding="utf-8"))
    assert "enable: true" in cached
    for target, is_refused in (("cpu", False), ("onnx", True)):
        config.write_text(cached.replace('"cpu"', f'"{target}"'), encoding="utf-8")
        with site.connection() as connection:
            connection.load(site.tiny.name, seconds=PATIENCE)
        scorer = TritonScorer(site.tiny, options_for(site.running), clock=SystemClock())
        try:
            if is_refused:
                with pytest.raises(HandshakeFailed, match="response cache"):
                    scorer.score(batch_of(2))
            else:
                assert_right(site.tiny.name, batch_of(2), scorer.score(batch_of(2)))
        finally:
            scorer.close()


def test_a_network_that_hangs_on_a_server_that_lives_is_left_alone_too(
    triton: Site, closing: Keep, clock: FrozenClock
) -> None:
    options = options_for(triton.running, breaker_failures=2, breaker_seconds=PAUSE, deadline_seconds=1.0)
    hanging = closing(TritonScorer(triton.gated, options, clock=clock))
    assert_right("gated", batch_of(2), hanging.score(batch_of(2)))
    triton.gate.shut()
    try:
        for _ in range(2):
            with pytest.raises(EngineUnavailable, match="DEADLINE_EXCEEDED"):
                hanging.score(batch_of(2))
        assert hanging.breaker is BreakerState.OPEN
        with pytest.raises(CircuitOpen, match=r"probed in 30 s.*DEADLINE_EXCEEDED"):
            hanging.score(batch_of(2))
        clock.advance(PAUSE)
        with pytest.raises(EngineUnavailable, match="DEADLINE_EXCEEDED"):
            hanging.score(batch_of(2))
        with pytest.raises(CircuitOpen):
            hanging.score(batch_of(2))
    finally:
        triton.gate.open()
    clock.advance(PAUSE)
    assert_right("gated", batch_of(2), hanging.score(batch_of(2)))
    assert hanging.breaker is BreakerState.CLOSED


def test_a_load_that_others_ask_too_is_told_from_the_one_before(triton: Site) -> None:
    options = options_for(triton.running)

    def load_anew() -> None:
        triton.swap_weights(triton.tiny, triton.tiny.onnx.read_bytes())
        triton.load_again(triton.tiny)

    load_anew()
    mine, other = Link(triton.tiny, options), Link(triton.tiny, options)
    try:
        mine.score(batch_of(2))
        for seed in range(8):
            other.score(batch_of(2, seed))
        assert mine.vouch()
        load_anew()
        for seed in range(4):
            other.score(batch_of(2, seed))
        assert not mine.vouch(), "it has answered more often than the present load"
    finally:
        mine.close()
        other.close()
