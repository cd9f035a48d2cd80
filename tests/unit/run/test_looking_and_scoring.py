from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from node.domain.errors import DecodeFailed, EngineUnavailable
from node.domain.input_spec import InputSpec
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import Framing, PreparedSlice, hu_to_stored, prepare_slice
from node.run.looking import look
from node.run.scoring import score
from tests.model_folder import TinyNet, tiny_spec

THREADS = 2
BATCH = 4
SPEC = tiny_spec()
PHANTOM = ThoraxPhantom(slices=24, rows=256)
STORED = [hu_to_stored(item.hu) for item in PHANTOM]


class Decoding:
    """Counts how many slices were decoded, and how many at the same time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = self.count = 0


class Slice:
    """A slice source over an array."""

    def __init__(self, v: NDArray[np.uint16], decoding: Decoding, *, broken: bool = False) -> None:
        self._v, self._decoding, self._broken = v, decoding, broken
        self.pixel_spacing = (PHANTOM.pixel_spacing_mm, PHANTOM.pixel_spacing_mm)
        self.path = Path("slice")

    def v(self) -> NDArray[np.uint16]:
        with self._decoding.lock:
            self._decoding.now += 1
            self._decoding.count += 1
            self._decoding.most = max(self._decoding.most, self._decoding.now)
        try:
            if self._broken:
                raise DecodeFailed("broken")
            return self._v.copy()
        finally:
            with self._decoding.lock:
                self._decoding.now -= 1

    def prepared(self, spec: InputSpec) -> PreparedSlice:
        return prepare_slice(self.v(), spec)

    def read(self) -> tuple[NDArray[np.uint16], str]:
        v = self.v()
        return v, str(int(v.sum()))


class CountingAnswer:
    """Runs the tiny network when it is asked; keeps the batch until then, as an engine does."""

    def __init__(self, scorer: CountingScorer, batch: NDArray[np.float32]) -> None:
        self._scorer = scorer
        self._batch: NDArray[np.float32] | None = batch

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        assert self._batch is not None
        self._scorer.under_way -= 1
        batch, self._batch = self._batch, None
        if len(self._scorer.batches) - self._scorer.under_way == self._scorer.fails_at:
            raise EngineUnavailable("the engine is gone")
        return TinyNet()(batch)


class CountingScorer:
    """The tiny network, what it was asked, and what was in memory then."""

    def __init__(self, decoding: Decoding, *, in_flight: int = 2, fails_at: int | None = None) -> None:
        self.batches: list[int] = []
        self.ahead: list[int] = []
        self.living: list[int] = []
        self.under_way = self.most_under_way = 0
        self.in_flight, self.fails_at = in_flight, fails_at
        self._decoding = decoding
        self._seen: list[weakref.ref[NDArray[np.float32]]] = []

    def submit(self, batch: NDArray[np.float32]) -> CountingAnswer:
        self.batches.append(len(batch))
        self.ahead.append(self._decoding.count - sum(self.batches))
        self._seen.append(weakref.ref(batch))
        self.living.append(sum(seen() is not None for seen in self._seen))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        return CountingAnswer(self, batch)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as threads:
        yield threads


def intact(path: Path) -> bool:
    return True


def ignore(done: int, total: int) -> None:
    pass


def test_every_slice_is_decoded_once_and_few_at_a_time(pool: ThreadPoolExecutor) -> None:
    decoding, told = Decoding(), []
    sources: list[Any] = [Slice(v, decoding) for v in STORED]
    looked = look(sources, SPEC.selection, pool, lambda done, total: told.append((done, total)), intact)
    assert decoding.count == len(STORED)
    assert decoding.most <= THREADS
    assert told == [(number, 24) for number in range(1, 25)]
    assert looked.pixel_digests == tuple(str(int(v.sum())) for v in STORED)
    for v, profile in zip(STORED, looked.profiles, strict=True):
        np.testing.assert_allclose(profile, v.astype(float).mean(axis=0) - 1024, rtol=1e-4)
        assert profile.dtype == np.float32
    counts = [item.count for item in looked.counts]
    assert looked.threshold == Fraction(2 * (max(counts) - min(counts)), 3)
    assert looked.kept == tuple(
        i for i, count in enumerate(counts) if 3 * count > 2 * (max(counts) - min(counts))
    )
    assert looked.selected == tuple(sources[index] for index in looked.kept)
    assert looked.plausibility.reason is None


def test_a_slice_that_cannot_be_decoded_ends_the_look(pool: ThreadPoolExecutor) -> None:
    decoding = Decoding()
    sources: list[Any] = [Slice(v, decoding, broken=index == 3) for index, v in enumerate(STORED)]
    with pytest.raises(DecodeFailed):
        look(sources, SPEC.selection, pool, ignore, intact)


def test_a_file_that_was_damaged_on_the_disk_ends_the_look(pool: ThreadPoolExecutor) -> None:
    sources: list[Any] = [Slice(v, Decoding()) for v in STORED]
    with pytest.raises(DecodeFailed, match="integrity"):
        look(sources, SPEC.selection, pool, ignore, lambda path: False)


@pytest.mark.parametrize("count", [0, 1, 4, 11])
def test_answers_come_in_order_and_in_batches(pool: ThreadPoolExecutor, count: int) -> None:
    decoding, told = Decoding(), []
    scorer: Any = CountingScorer(decoding)
    stored = STORED[6 : 6 + count]
    sources: list[Any] = [Slice(v, decoding) for v in stored]
    answers = score(
        sources, SPEC, scorer, pool, batch=BATCH, advanced=lambda done, total: told.append((done, total))
    )
    assert scorer.batches == [min(BATCH, count - start) for start in range(0, count, BATCH)]
    assert all(ahead == 0 for ahead in scorer.ahead)
    assert [done for done, _ in told] == list(np.cumsum(scorer.batches))
    prepared = [prepare_slice(v, SPEC) for v in stored]
    assert [(item.box, item.framing) for item in answers] == [(item.box, item.framing) for item in prepared]
    assert all(item.framing is Framing.LUNG_BOX for item in answers)
    for answer, item in zip(answers, prepared, strict=True):
        probabilities, cam = TinyNet()(item.tensor[None])
        assert answer.probability == pytest.approx(probabilities[0, 0], abs=1e-6)
        np.testing.assert_allclose(answer.cam, cam[0], atol=1e-6)


def test_the_column_of_the_positive_class_is_used(pool: ThreadPoolExecutor) -> None:
    decoding = Decoding()
    outputs = SPEC.outputs
    turned = tiny_spec(
        outputs=type(outputs)(
            probabilities=outputs.probabilities,
            cam=outputs.cam,
            classes=outputs.classes,
            positive_class=outputs.classes[1],
        )
    )
    scorer: Any = CountingScorer(decoding)
    sources: list[Any] = [Slice(STORED[12], decoding)]
    [one] = score(sources, SPEC, scorer, pool, batch=BATCH, advanced=ignore)
    [other] = score(sources, turned, scorer, pool, batch=BATCH, advanced=ignore)
    assert one.probability + other.probability == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("in_flight", [1, 2, 3])
def test_as_many_batches_are_at_the_engine_as_it_takes_and_one_more_is_made(
    pool: ThreadPoolExecutor, in_flight: int
) -> None:
    decoding = Decoding()
    scorer: Any = CountingScorer(decoding, in_flight=in_flight)
    sources: list[Any] = [Slice(v, decoding) for v in STORED]
    score(sources, SPEC, scorer, pool, batch=BATCH, advanced=ignore)
    assert scorer.most_under_way == in_flight
    assert scorer.living == [min(number, in_flight) for number in range(1, len(scorer.batches) + 1)]
    assert scorer.under_way == 0


def test_the_next_batch_is_made_while_the_engine_works(pool: ThreadPoolExecutor) -> None:
    decoding, began = Decoding(), threading.Event()
    scorer: Any = CountingScorer(decoding, in_flight=1)
    sources: list[Any] = [Slice(v, decoding) for v in STORED[: 2 * BATCH]]
    answer = scorer.submit

    class Waiting:
        def __init__(self, inner: CountingAnswer) -> None:
            self._inner = inner

        def result(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            if len(scorer.batches) == 1:
                assert began.wait(10)
            return self._inner.result()

    class Announcing(Slice):
        def v(self) -> NDArray[np.uint16]:
            began.set()
            return super().v()

    scorer.submit = lambda batch: Waiting(answer(batch))
    sources[BATCH] = Announcing(STORED[BATCH], decoding)
    assert len(score(sources, SPEC, scorer, pool, batch=BATCH, advanced=ignore)) == 2 * BATCH


def test_a_failing_engine_ends_the_scoring(pool: ThreadPoolExecutor) -> None:
    decoding, told = Decoding(), []
    scorer: Any = CountingScorer(decoding, fails_at=2)
    sources: list[Any] = [Slice(v, decoding) for v in STORED]
    with pytest.raises(EngineUnavailable, match="gone"):
        score(sources, SPEC, scorer, pool, batch=BATCH, advanced=lambda done, total: told.append(done))
    assert told == [BATCH]
    assert len(scorer.batches) == 3
    assert decoding.count <= 4 * BATCH


def test_a_slice_that_cannot_be_decoded_ends_the_scoring(pool: ThreadPoolExecutor) -> None:
    decoding = Decoding()
    scorer: Any = CountingScorer(decoding)
    sources: list[Any] = [Slice(v, decoding, broken=index == 6) for index, v in enumerate(STORED)]
    with pytest.raises(DecodeFailed):
        score(sources, SPEC, scorer, pool, batch=BATCH, advanced=ignore)
    assert scorer.batches == [BATCH]
    assert decoding.count <= 2 * BATCH
