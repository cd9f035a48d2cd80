"""Images a second of one network by every engine, taking turns."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from node.domain.errors import SettingsError
from node.domain.model import Precision
from node.domain.ports import Scorer
from node.infer.bundle import Bundle
from node.infer.openvino import EmbeddedScorer

Real = NDArray[np.float32]
Work = Callable[[Real], object]
"""Scores all images given."""

REFERENCE: Final = "ONNX Runtime f32"
EMBEDDED: Final = "OpenVINO {}"
ONE_CLIENT: Final = "Triton {}, 1 client"
SHARED_MEMORY: Final = "Triton {}, 1 client, shared memory"
CLIENTS: Final = 16
MANY_CLIENTS: Final = "Triton {}, 16 clients"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What one engine did with one network."""

    net: str
    way: str
    precision: str
    batch: int
    images_per_second: float
    """Median of the turns."""
    spread: float
    """Largest less smallest, over the median."""
    cpu_seconds: float
    """Of this process for one image, median; a server's own are not in it."""


def embedded(bundle: Bundle, opened: ExitStack, batch: int) -> dict[str, Work]:
    """Return the embedded engine in every precision that bundle and processor have."""
    ways: dict[str, Work] = {}
    for precision in sorted(bundle.precisions, key=list(Precision).index):
        try:
            scorer = EmbeddedScorer(bundle, precision=precision, threads=os.cpu_count() or 1)
        except SettingsError as error:
            print(f"{bundle.name}: left out: {error}")
            continue
        opened.callback(scorer.close)
        ways[EMBEDDED.format(precision.value)] = one_client(scorer, batch)
    return ways


def reference(bundle: Bundle, batch: int) -> Work:
    """Return ONNX Runtime on the CPU with as many threads as there are cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    session: Any = onnxruntime.InferenceSession(
        bundle.onnx, sess_options=options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def score(images: Real) -> None:
        for part in parts(images, batch):
            session.run(None, {name: part})

    return score


def one_client(scorer: Scorer[Real], batch: int) -> Work:
    """Return a client that keeps as many batches under way as the engine takes, as the node does."""

    def score(images: Real) -> None:
        asked = []
        for part in parts(images, batch):
            if len(asked) == scorer.in_flight:
                asked.pop(0).result()
            asked.append(scorer.submit(part))
        for pending in asked:
            pending.result()

    return score


def many_clients(scorers: list[Scorer[Real]]) -> Work:
    """Return clients that each send one image at a time and wait for its answer."""

    def score(images: Real) -> None:
        def work(number: int) -> None:
            for image in images[number :: len(scorers)]:
                scorers[number].score(image[None])

        with ThreadPoolExecutor(len(scorers)) as pool:
            list(pool.map(work, range(len(scorers))))

    return score


def parts(images: Real, batch: int) -> list[Real]:
    """Return images in batches."""
    return [images[start : start + batch] for start in range(0, len(images), batch)]


def measured(net: str, ways: Mapping[str, Work], images: Real, batch: int, repeat: int) -> list[Rate]:
    """Let all ways take turns and return what each did; a first turn warms up.

    Parameters
    ----------
    net : str
    ways : mapping of str to callable
    images : float32 array, shape (images, channels, rows, columns)
    batch : int
        Images in one request.
    repeat : int
        Turns of each way.
    """
    wall: dict[str, list[float]] = {name: [] for name in ways}
    busy: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeat + 1):
        for name, work in ways.items():
            began, used = time.perf_counter(), time.process_time()
            work(images)
            if number:
                wall[name].append((time.perf_counter() - began) / len(images))
                busy[name].append((time.process_time() - used) / len(images))
    return [
        Rate(
            net=net,
            way=name,
            precision=precision_of(name),
            batch=1 if name.endswith("clients") else batch,
            images_per_second=1 / statistics.median(values),
            spread=(max(values) - min(values)) / statistics.median(values),
            cpu_seconds=statistics.median(busy[name]),
        )
        for name, values in wall.items()
    ]


def precision_of(way: str) -> str:
    """Return the precision that a way's name tells."""
    return next(item.value for item in Precision if item.value in way.replace(",", "").split())
