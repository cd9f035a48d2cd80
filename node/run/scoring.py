"""Preparing and scoring the chosen images: decoding, preparing and inferring overlap."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from node.domain.input_spec import InputSpec
from node.domain.ports import Pending, Scorer
from node.imaging.arrays import Box
from node.imaging.prepare import Framing, PreparedSlice

Real = NDArray[np.float32]


class Image(Protocol):
    """What can be scored: a slice of a series, or a radiograph."""

    def prepared(self, spec: InputSpec) -> PreparedSlice:
        """Decode it and return the network's input.

        Raises
        ------
        DicomError
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The network's answer to one slice."""

    probability: float
    """Score of the positive class, 0..1."""
    cam: Real
    """Array, shape (grid rows, grid columns): Grad-CAM of the positive class, neither negative nor scaled."""
    box: Box
    """Part of the slice that the map covers, in pixels of the displayed slice."""
    framing: Framing


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where in its slice a prepared picture lies."""

    box: Box
    framing: Framing


@dataclass(frozen=True, kw_only=True)
class _Making:
    """A batch whose slices are being decoded and prepared, each into its row."""

    tensor: Real
    """Array, shape (slices, channels, rows, columns)."""
    jobs: tuple[Future[_Place], ...]


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A batch at the engine."""

    places: tuple[_Place, ...]
    answer: Pending[Real]


def score(
    sources: Sequence[Image],
    spec: InputSpec,
    scorer: Scorer[Real],
    pool: ThreadPoolExecutor,
    *,
    batch: int,
    advanced: Callable[[int, int], None],
) -> list[Scored]:
    """Prepare and score slices.

    While the engine works on as many batches as it takes at once, one more is made; there are never more of
    them in memory. The first error ends everything: what the decoders have not begun is not done, and what
    the engine has is not asked for.

    Parameters
    ----------
    sources : sequence of Image
    spec : InputSpec
    scorer : Scorer
    pool : ThreadPoolExecutor
        Decodes and prepares.
    batch : int
        Slices in one request.
    advanced : callable
        Takes the number of slices done, and of all.

    Raises
    ------
    DicomError
        A slice cannot be decoded.
    EngineUnavailable, ScoresInvalid
    """
    answers: list[Scored] = []
    asked: deque[_Asked] = deque()
    making: _Making | None = None

    def collect() -> None:
        answers.extend(_scored(asked.popleft(), spec))
        advanced(len(answers), len(sources))

    try:
        for start in range(0, len(sources), batch):
            making = _begin(sources[start : start + batch], spec, pool)
            if len(asked) == scorer.in_flight:
                collect()
            asked.append(_ask(making, scorer))
            making = None
        while asked:
            collect()
    finally:
        if making is not None:
            for job in making.jobs:
                job.cancel()
    return answers


def _begin(sources: Sequence[Image], spec: InputSpec, pool: ThreadPoolExecutor) -> _Making:
    """Set decoders to work on a batch."""
    tensor = np.empty((len(sources), spec.input.channels, *spec.input.size), dtype=np.float32)
    rows = zip(sources, tensor, strict=True)
    jobs = tuple(pool.submit(_prepare, source, spec, row) for source, row in rows)
    return _Making(tensor=tensor, jobs=jobs)


def _ask(making: _Making, scorer: Scorer[Real]) -> _Asked:
    """Hand a batch to the engine once all of its slices are there."""
    places = tuple(job.result() for job in making.jobs)
    return _Asked(places=places, answer=scorer.submit(making.tensor))


def _scored(asked: _Asked, spec: InputSpec) -> list[Scored]:
    """Wait for the engine's answer to a batch."""
    probabilities, cams = asked.answer.result()
    return [
        Scored(
            probability=float(row[spec.outputs.positive_index]),
            cam=cam,
            box=place.box,
            framing=place.framing,
        )
        for place, row, cam in zip(asked.places, probabilities, cams, strict=True)
    ]


def _prepare(source: Image, spec: InputSpec, row: Real) -> _Place:
    prepared = source.prepared(spec)
    row[...] = prepared.tensor
    return _Place(box=prepared.box, framing=prepared.framing)
