"""The client against the real server, as long as that runs well."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from node.app import SystemClock
from node.domain.breaker import BreakerState
from node.domain.errors import (
    EngineUnavailable,
    HandshakeFailed,
    ModelNotServed,
    ScoresInvalid,
    ServerTooOld,
    SettingsError,
)
from node.domain.model import Precision
from node.infer.bundle import Bundle
from node.infer.golden import replay
from node.infer.shared_memory import FOLDER, PREFIX
from node.infer.triton import TritonScorer
from node.infer.triton_options import TlsOptions, TokenOptions
from tests.model_folder import SIDE, TinyNet
from tests.station.app_ground import wait_for
from tests.triton_server import Site, options_for

Real = NDArray[np.float32]
Open = Callable[..., TritonScorer]

NETS = {"tiny": TinyNet(), "gated": TinyNet(gain=30.0)}
BOTH_WAYS = pytest.mark.parametrize("shared_memory", [False, True], ids=["messages", "shared-memory"])


@pytest.fixture
def scorer_of(triton: Site) -> Iterator[Open]:
    """Return a function that opens a scorer on the session's server; keywords replace options."""
    opened: list[TritonScorer] = []

    def open_scorer(bundle: Bundle | None = None, **changes: Any) -> TritonScorer:
        options = options_for(triton.running, **changes)
        opened.append(TritonScorer(bundle or triton.tiny, options, clock=SystemClock()))
        return opened[-1]

    yield open_scorer
    triton.gate.open()
    for scorer in opened:
        scorer.close()
    assert triton.regions() == []
    assert not list(FOLDER.glob(f"{PREFIX}{os.getpid()}-*"))


def batch_of(count: int, seed: int = 0) -> Real:
    return np.random.default_rng(seed).random((count, 1, SIDE, SIDE), dtype=np.float32) * 0.4


def assert_right(name: str, batch: Real, answer: tuple[Real, Real]) -> None:
    for found, expected in zip(answer, NETS[name](batch), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_it_says_who_answers(scorer_of: Open, triton: Site) -> None:
    identity = scorer_of().identity
    assert (identity.name, identity.version) == ("tiny", 1)
    assert identity.weights_sha256 == triton.tiny.weights_sha256
    assert identity.spec_sha256 == triton.tiny.spec_sha256
    assert (identity.engine, identity.engine_version) == ("triton", "2.51.0")
    assert (identity.precision, identity.device) == (Precision.F32, "CPU")


@BOTH_WAYS
def test_the_golden_answer_passes(scorer_of: Open, triton: Site, shared_memory: bool) -> None:
    replay(triton.tiny, scorer_of(shared_memory=shared_memory))


@BOTH_WAYS
@pytest.mark.parametrize("count", [1, 5, 16, 17, 40])
def test_batches_of_every_size_are_answered(scorer_of: Open, shared_memory: bool, count: int) -> None:
    batch = batch_of(count)
    assert_right("tiny", batch, scorer_of(shared_memory=shared_memory).score(batch))


@BOTH_WAYS
def test_studies_at_the_same_time_get_their_own_answers(scorer_of: Open, shared_memory: bool) -> None:
    shared = scorer_of(shared_memory=shared_memory)
    scorers = [shared, shared, shared, scorer_of(shared_memory=shared_memory), scorer_of()]

    def study(number: int) -> None:
        scorer = scorers[number % len(scorers)]
        batches = [batch_of(1 + (number + turn) % 7, seed=100 * number + turn) for turn in range(10)]
        ahead = [scorer.submit(batch) for batch in batches]
        for batch, pending in zip(batches, ahead, strict=True):
            assert_right("tiny", batch, pending.result())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(study, range(10)))


def test_an_answer_may_be_asked_for_again(scorer_of: Open) -> None:
    batch = batch_of(3)
    pending = scorer_of().submit(batch)
    first, again = pending.result(), pending.result()
    assert_right("tiny", batch, first)
    assert_right("tiny", batch, again)


@BOTH_WAYS
def test_answers_nobody_asks_for_keep_no_place(scorer_of: Open, shared_memory: bool) -> None:
    scorer = scorer_of(shared_memory=shared_memory)
    for _ in range(4 * scorer.in_flight):
        scorer.submit(batch_of(2))
    assert_right("tiny", batch_of(2), scorer.score(batch_of(2)))


def test_a_batch_waits_while_as_many_as_allowed_are_under_way(scorer_of: Open, triton: Site) -> None:
    scorer = scorer_of(triton.gated)
    assert scorer.identity.name == "gated"
    triton.gate.shut()
    pending = [scorer.submit(batch_of(2, seed)) for seed in range(scorer.in_flight)]
    third = threading.Thread(target=lambda: pending.append(scorer.submit(batch_of(2, 2))))
    third.start()
    wait_for(lambda: triton.gate.holds, "a batch is at the gate")
    assert third.is_alive()
    triton.gate.open()
    third.join(30)
    for seed, item in enumerate(pending):
        assert_right("gated", batch_of(2, seed), item.result())
    assert len(pending) == 3


def test_a_batch_of_another_shape_is_refused_with_both_shapes(scorer_of: Open) -> None:
    scorer = scorer_of()
    with pytest.raises(
        ScoresInvalid, match=r"batch of 4 slices was refused.*\[-1,1,64,64\], got \[4,1,32,64\]"
    ):
        scorer.score(batch_of(4)[:, :, :32])
    assert scorer.breaker is BreakerState.CLOSED
    assert_right("tiny", batch_of(2), scorer.score(batch_of(2)))


@BOTH_WAYS
def test_a_slow_server_is_not_waited_for_and_its_late_answer_is_nobodys(
    scorer_of: Open, triton: Site, shared_memory: bool
) -> None:
    scorer = scorer_of(triton.gated, shared_memory=shared_memory, deadline_seconds=1.0)
    assert_right("gated", batch_of(8), scorer.score(batch_of(8)))
    triton.gate.shut()
    with pytest.raises(EngineUnavailable, match="DEADLINE_EXCEEDED"):
        scorer.score(batch_of(8, seed=1))
    assert triton.gate.holds
    triton.gate.open()
    wait_for(lambda: not triton.gate.holds, "the late batch is through")
    for seed in range(2, 6):
        assert_right("gated", batch_of(8, seed), scorer.score(batch_of(8, seed)))


def test_closing_ends_what_is_under_way(scorer_of: Open, triton: Site) -> None:
    scorer = scorer_of(triton.gated)
    assert scorer.identity.name == "gated"
    triton.gate.shut()
    pending = scorer.submit(batch_of(2))
    wait_for(lambda: triton.gate.holds, "the batch is at the gate")
    scorer.close()
    with pytest.raises(EngineUnavailable):
        pending.result()
    with pytest.raises(EngineUnavailable, match="closed"):
        scorer.submit(batch_of(2))


def test_an_old_server_is_refused_unless_allowed(scorer_of: Open) -> None:
    scorer = scorer_of(allow_old_server=False)
    with pytest.raises(ServerTooOld, match=r"'2\.51\.0' .* install 2\.59\.1 or later"):
        scorer.score(batch_of(1))
    assert scorer.breaker is BreakerState.OPEN


@pytest.mark.parametrize("what", ["weights_sha256", "spec_sha256"])
def test_other_digests_are_refused(scorer_of: Open, triton: Site, what: str) -> None:
    scorer = scorer_of(dataclasses.replace(triton.tiny, **{what: "0" * 64}))
    with pytest.raises(HandshakeFailed, match=r"'0{64}'; build the server's"):
        scorer.score(batch_of(1))


def test_other_outputs_are_refused(scorer_of: Open, triton: Site) -> None:
    spec = triton.tiny.spec
    other = dataclasses.replace(spec, outputs=dataclasses.replace(spec.outputs, classes=("a", "b", "covid")))
    with pytest.raises(HandshakeFailed, match="the server's output is"):
        scorer_of(dataclasses.replace(triton.tiny, spec=other)).score(batch_of(1))


def test_a_version_that_is_not_there_is_not_served(scorer_of: Open, triton: Site) -> None:
    spec = triton.tiny.spec
    other = dataclasses.replace(spec, model=dataclasses.replace(spec.model, version=7))
    with pytest.raises(ModelNotServed, match="tiny version 7"):
        scorer_of(dataclasses.replace(triton.tiny, spec=other)).score(batch_of(1))


def test_files_that_are_not_there_are_named_before_anything_else(scorer_of: Open, triton: Site) -> None:
    nowhere = triton.repository / "none"
    tls = TlsOptions(root_certificates=nowhere, client_certificate=None, client_key=None)
    with pytest.raises(SettingsError, match="no such file for root certificates"):
        scorer_of(tls=tls)
    with pytest.raises(SettingsError, match="token_file"):
        scorer_of(token=TokenOptions(file=nowhere, header="authorization", scheme="Bearer"))
