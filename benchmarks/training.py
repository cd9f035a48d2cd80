"""Images a second of training and of evaluation, each network beside plain eager PyTorch, and of the feed.

Run: ``python -m benchmarks.training [--nets xception ...] [--repeat 5] [--no-openvino] [--no-feed]``.

All ways of one network are built first and then take turns, batch by batch, so that whatever else the machine
does falls on all of them alike; each figure is the median of the turns, and the ratio that of the medians.
Weights and images are random. "plain" is eager PyTorch in float32, contiguous tensors, PyTorch's own
gradients; "engine" is the step of ``trainer fit``: Lightning Fabric, channels last, the quick backward pass
of depthwise convolutions, the moving average; once in the recipe's precision and once in bfloat16. Batches
are smaller than the recipes'. OpenVINO runs the exported graph, which gives the Grad-CAM map besides.

Predicted from ``torch.profiler`` before the figures were taken, for two cores with AVX-512 and bfloat16 dot
products but no AMX; times plain f32, training and scoring:

- ResNet50V2, with and without pyramid: engine f32 1.1 and 1.3, bf16 2.2 and 2.8. Three quarters of a step are
  oneDNN's convolutions; layout buys little in float32.
- Xception: f32 1.5 and 1.6, bf16 2.6 and 2.8; plain PyTorch loses time in depthwise convolutions and
  pools.
- Deep-CT-Net and Deep-CXR-Net: f32 1.2 and 1.4, bf16 2 and 2.5. A tenth of a step of four images is Adam over
  26 million weights; at the recipe's 16 images it fades.
- EfficientNet-Lite0: bf16 2.3 in training; f32 1.4 and bf16 2 in scoring.
- OpenVINO f32: 1.2 times the engine in f32, for it folds the batch norms; bf16 2.5 times that.
- Feed: an eighth of the cores for EfficientNet-Lite0, below a twentieth for the others; it never limits.

With one thread the float32 figures mean nothing: PyTorch then leaves small kernels of fewer than 16 images to
a path without oneDNN.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import torch

from benchmarks.feeding import Feed, epochs, written
from benchmarks.stepping import (
    Work,
    own_evaluation,
    own_training,
    plain_evaluation,
    plain_training,
    recipe_for,
    served_evaluation,
)

PLAIN: Final = "plain f32"
FEED_PICTURES: Final = 32


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One network as a recipe fits it."""

    net: str
    recipe: str
    feed: str
    """The recipe whose pictures ``benchmarks.feeding`` writes."""
    trained: int
    """Images of a training step."""
    scored: int
    """Images of an evaluated batch."""


KINDS: Final = (
    Kind(net="resnet50v2", recipe="ctset-paper", feed="ctset-paper", trained=2, scored=4),
    Kind(net="xception", recipe="ctset-paper", feed="ctset-paper", trained=2, scored=4),
    Kind(net="resnet50v2-fpn", recipe="ctset-paper", feed="ctset-paper", trained=2, scored=4),
    Kind(net="deep-ct-net", recipe="deep-ct-net", feed="deep-ct-net", trained=4, scored=8),
    Kind(net="deep-cxr-net", recipe="deep-cxr-net-part3", feed="deep-ct-net", trained=4, scored=8),
    Kind(net="efficientnet-lite0", recipe="default", feed="default", trained=16, scored=16),
)


def main() -> None:
    """Measure and print one table a network, then the feed's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="+", choices=[kind.net for kind in KINDS])
    parser.add_argument("--repeat", type=int, default=5, help="turns of each way, after one that warms up")
    parser.add_argument("--no-openvino", action="store_true")
    parser.add_argument("--no-feed", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    began = time.perf_counter()
    kinds = [kind for kind in KINDS if not arguments.nets or kind.net in arguments.nets]
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; medians of {arguments.repeat} turns"
    )
    print(f"{'network':<20}{'work':<12}{'way':<16}{'images/s':>10}{'x plain':>10}{'spread':>9}")
    needed = {}
    for kind in kinds:
        needed[kind.net] = training_of(kind, arguments.repeat)
        evaluation_of(kind, arguments.repeat, not arguments.no_openvino)
    if not arguments.no_feed:
        print_feed(kinds, needed)
    print(f"\n{(time.perf_counter() - began) / 60:.1f} minutes")


def training_of(kind: Kind, repeat: int) -> float:
    """Measure and print training; return images a second of the quickest way."""
    recipe = recipe_for(kind.recipe, kind.net)
    own = recipe.schedule.precision
    ways = {PLAIN: plain_training(recipe, kind.trained)}
    for precision in dict.fromkeys((own, "bf16")):
        ways[f"engine {precision}"] = own_training(recipe, kind.trained, precision)
    return printed(kind.net, f"training {kind.trained}", kind.trained, taking_turns(ways, repeat))


def evaluation_of(kind: Kind, repeat: int, openvino: bool) -> None:
    """Measure and print evaluation."""
    recipe = recipe_for(kind.recipe, kind.net)
    ways = {PLAIN: plain_evaluation(recipe, kind.scored)}
    for precision in ("f32", "bf16"):
        ways[f"engine {precision}"] = own_evaluation(recipe, kind.scored, precision)
    if openvino:
        ways |= served_evaluation(recipe, kind.scored)
    printed(kind.net, f"scoring {kind.scored}", kind.scored, taking_turns(ways, repeat))


def taking_turns(ways: Mapping[str, Work], repeat: int) -> dict[str, list[float]]:
    """Return the seconds of each turn of each way; the first turn is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeat + 1):
        for name, work in ways.items():
            began = time.perf_counter()
            work()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    gc.collect()
    return seconds


def printed(net: str, work: str, count: int, seconds: Mapping[str, Sequence[float]]) -> float:
    """Print one line a way; return images a second of the quickest."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        median, spread = medians[name], (max(values) - min(values)) / medians[name]
        ratio = medians[PLAIN] / median
        print(f"{net:<20}{work:<12}{name:<16}{count / median:>10.2f}{ratio:>10.2f}{spread:>9.0%}", flush=True)
    return count / min(medians.values())


def print_feed(kinds: Sequence[Kind], needed: Mapping[str, float]) -> None:
    """Print what the feed prepares from files beside what training takes at its quickest."""
    print(f"\n{'network':<20}{'input':<30}{'feed/s':>9}{'training/s':>12}{'of the cores':>14}")
    with tempfile.TemporaryDirectory() as folder:
        names = ("ctset-paper", "deep-ct-net", "default")
        feeds = dict(zip(names, written(Path(folder), FEED_PICTURES), strict=True))
        rates = {name: rate_of(feeds[name]) for name in dict.fromkeys(kind.feed for kind in kinds)}
    for kind in kinds:
        rate, busy = rates[kind.feed]
        taken = needed[kind.net]
        share = taken * busy / 1000 / torch.get_num_threads()
        words = feeds[kind.feed].words
        print(f"{kind.net:<20}{words:<30}{rate:>9.1f}{taken:>12.2f}{share:>14.1%}")


def rate_of(feed: Feed) -> tuple[float, float]:
    """Return images a second with two threads from files, and the processor's milliseconds an image."""
    return epochs(feed, 2, 2, 0)


if __name__ == "__main__":
    main()
