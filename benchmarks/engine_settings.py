"""Images a second and the time of one batch by streams, batch size and threads of the embedded engine.

Run: ``python -m benchmarks.engine_settings BUNDLE [--precision f32] [--streams 1 2] [--batches 1 8 16]``.

All engines are started first and then take turns. "kept busy" is what a study sees: as many batches under
way as the engine takes. "alone" is the wait for one batch. "start" is the time to compile the network, and to
take it from the cache of compiled models.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from node.domain.model import Precision
from node.domain.ports import Pending
from node.infer.bundle import Bundle, load_bundle
from node.infer.openvino import EmbeddedScorer

Real = NDArray[np.float32]


@dataclass(kw_only=True)
class Way:
    """One setting of the engine, and what it took."""

    scorer: EmbeddedScorer
    streams: int
    batch: int
    busy: list[float] = field(default_factory=list)
    """Images a second of each turn."""
    alone: list[float] = field(default_factory=list)
    """Seconds of one batch."""


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--precision", type=Precision, default=Precision.F32)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16, 32])
    parser.add_argument("--images", type=int, default=64, help="images of a turn")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    print_starts(bundle, arguments.precision)
    ways = opened(bundle, arguments.precision, arguments.streams, arguments.batches)
    images = np.resize(bundle.golden.prepared, (arguments.images, *bundle.golden.prepared.shape[1:]))
    for _ in range(arguments.repeat):
        for way in ways:
            turn(way, images)
    print("| streams | batch | images/s kept busy | ms of one batch alone |\n|--:|--:|--:|--:|")
    for way in ways:
        rate, wait = statistics.median(way.busy), statistics.median(way.alone)
        print(f"| {way.streams} | {way.batch} | {rate:.2f} | {1000 * wait:.0f} |")


def opened(bundle: Bundle, precision: Precision, streams: list[int], batches: list[int]) -> list[Way]:
    """Start one engine for each number of streams, shared by the batch sizes."""
    ways = []
    for count in streams:
        scorer = EmbeddedScorer(bundle, precision=precision, threads=os.cpu_count() or 1, streams=count)
        ways += [Way(scorer=scorer, streams=count, batch=batch) for batch in batches]
        scorer.score(bundle.golden.prepared)
    return ways


def turn(way: Way, images: Real) -> None:
    """Score all images, then one batch by itself."""
    began = time.perf_counter()
    asked: deque[Pending[Real]] = deque()
    for start in range(0, len(images), way.batch):
        if len(asked) == way.scorer.in_flight:
            asked.popleft().result()
        asked.append(way.scorer.submit(images[start : start + way.batch]))
    for pending in asked:
        pending.result()
    way.busy.append(len(images) / (time.perf_counter() - began))
    began = time.perf_counter()
    way.scorer.score(images[: way.batch])
    way.alone.append(time.perf_counter() - began)


def print_starts(bundle: Bundle, precision: Precision) -> None:
    """Print how long the engine takes to start without and with a compiled model."""
    with tempfile.TemporaryDirectory() as folder:
        for words in ("compiled", "from the cache"):
            began = time.perf_counter()
            EmbeddedScorer(
                bundle, precision=precision, threads=os.cpu_count() or 1, cache_dir=Path(folder)
            ).close()
            print(f"start, {words}: {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
