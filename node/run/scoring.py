"""Preparing and scoring the selected slices: decoded ahead while the engine works on the batch before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from node.dicom.slices import SliceSource
from node.domain.input_spec import InputSpec
from node.domain.ports import Scorer
from node.imaging.arrays import Box
from node.imaging.prepare import Framing, PreparedSlice, prepare_slice

Real = NDArray[np.float32]


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


def score(
    sources: Sequence[SliceSource],
    spec: InputSpec,
    scorer: Scorer[Real],
    pool: ThreadPoolExecutor,
    *,
    batch: int,
    advanced: Callable[[int, int], None],
) -> list[Scored]:
    """Prepare and score slices.

    At most two batches of prepared slices are in memory: one at the engine, one being made.

    Parameters
    ----------
    sources : sequence of SliceSource
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
    prepared = _prepared_ahead(sources, spec, pool, ahead=batch)
    while items := list(islice(prepared, batch)):
        probabilities, cams = scorer.score(np.stack([item.tensor for item in items]))
        answers.extend(
            Scored(
                probability=float(row[spec.outputs.positive_index]),
                cam=cam,
                box=item.box,
                framing=item.framing,
            )
            for item, row, cam in zip(items, probabilities, cams, strict=True)
        )
        advanced(len(answers), len(sources))
    return answers


def _prepared_ahead(
    sources: Sequence[SliceSource], spec: InputSpec, pool: ThreadPoolExecutor, *, ahead: int
) -> Iterator[PreparedSlice]:
    """Yield prepared slices in order, with up to ``ahead`` of the following ones under way."""
    waiting: deque[Future[PreparedSlice]] = deque()
    following = iter(sources)
    try:
        while True:
            waiting.extend(
                pool.submit(_prepare, source, spec) for source in islice(following, ahead + 1 - len(waiting))
            )
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        for job in waiting:
            job.cancel()


def _prepare(source: SliceSource, spec: InputSpec) -> PreparedSlice:
    return prepare_slice(source.v(), spec)
