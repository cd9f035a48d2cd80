"""Pictures a second that the feed prepares: reading, framing, augmenting, tensor; to set beside a network's.

Run: ``python -m benchmarks.feeding [--pictures 64] [--threads 1 2] [--repeat 3]``. The files are slices of
the phantom, written to a temporary folder in the formats of the data sets: 16-bit LZW TIFF of 512 x 512 with
the augmentation of COVID-CTset, 8-bit PNG with Deep-CT-Net's at 256 x 256, and lung boxes at 224 x 224.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import cv2
import numpy as np
from PIL import Image

from node.domain.input_spec import InputSpec
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import frame, hu_to_stored, to_tensor, windowed
from trainer.cases.case import Case
from trainer.feed.batches import Varying, batches, load_pictures, shuffled, varied
from trainer.feed.images import image_of
from trainer.feed.specification import specification
from trainer.fit.recipe import read_recipe

RECIPES: Final = Path(__file__).parents[1] / "trainer" / "recipes"
HORIZONTAL: Final = {317: 2}
"""Predictor of the TIFF files (TIFF 6.0, section 14)."""
BATCH: Final = 16

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class Feed:
    """One way from files to batches."""

    words: str
    spec: InputSpec
    how: Varying
    cases: tuple[Case, ...]


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        feeds = written(Path(folder), arguments.pictures)
        print_rates(feeds, arguments.threads, arguments.repeat)
        print_stages(feeds)


def written(folder: Path, count: int) -> list[Feed]:
    """Write the phantom's slices and return the three feeds of them."""
    slices = [hu_to_stored(item.hu) for item in ThoraxPhantom(seed=1, slices=count, rows=512)]
    chosen = (
        ("ctset-paper", "16-bit LZW TIFF 512, keras", "covid-ctset"),
        ("deep-ct-net", "8-bit PNG at 256, deep-ct", "covid-ct"),
        ("default", "8-bit PNG at 224, lung-box", "sars-cov2-ct"),
    )
    feeds = []
    for name, words, source in chosen:
        recipe = read_recipe(RECIPES / f"{name}.toml")
        spec = specification(recipe.specification, name=name, version=1, status="untrained")
        (folder / name).mkdir()
        cases = []
        for number, values in enumerate(slices):
            if source == "covid-ctset":
                file = folder / name / f"IM{number:05d}.tif"
                Image.fromarray(values).save(file, "TIFF", compression="tiff_lzw", tiffinfo=HORIZONTAL)
            else:
                file = folder / name / f"{number}.png"
                Image.fromarray(windowed(values, spec)).save(file)
            cases.append(
                Case(image=file, positive=number % 2 == 0, source=source, split="train", group=str(number))
            )
        feeds.append(Feed(words=words, spec=spec, how=recipe.augmentation, cases=tuple(cases)))
    return feeds


def print_rates(feeds: Sequence[Feed], threads: Sequence[int], repeat: int) -> None:
    """Print images a second of whole epochs, and the processor's time an image, all threads together."""
    print(f"{'':<28}{'threads':>8}{'from files':>22}{'kept in memory':>22}")
    print(f"{'':<28}{'':>8}{'images/s':>13}{'CPU ms':>9}{'images/s':>13}{'CPU ms':>9}")
    for feed in feeds:
        for workers in threads:
            row = f"{feed.words:<28}{workers:>8}"
            for budget in (0, 2**40):
                rate, busy = epochs(feed, workers, repeat, budget)
                row += f"{rate:>13.1f}{busy:>9.2f}"
            print(row, flush=True)


def epochs(feed: Feed, workers: int, repeat: int, budget: int) -> tuple[float, float]:
    """Return images a second and the processor's milliseconds an image, medians over epochs."""
    pictures = load_pictures(feed.cases, feed.spec, budget=budget)
    rates, busy = [], []
    for number in range(repeat + 1):  # the first one warms up, and reads what is kept
        chunks = shuffled(len(pictures), BATCH, (number,))
        shown = sum(len(chunk) for chunk in chunks)
        began, used = time.perf_counter(), time.process_time()
        for _ in batches(pictures, feed.spec, feed.how, chunks, (number,), workers=workers):
            continue
        rates.append(shown / (time.perf_counter() - began))
        busy.append(1000 * (time.process_time() - used) / shown)
    return statistics.median(rates[1:]), statistics.median(busy[1:])


def print_stages(feeds: Sequence[Feed]) -> None:
    """Print where one thread's time goes."""
    print(f"\n{'ms an image, one thread':<28}{'read':>9}{'frame':>9}{'augment':>9}{'tensor':>9}")
    for feed in feeds:
        spec, rng = feed.spec, np.random.default_rng(0)
        images, read = timed(partial(image_of, spec=spec), feed.cases)
        parts, framed = timed(partial(frame, spec=spec), images)
        crops = [part.image for part in parts]
        shown, augmented = timed(partial(varied, spec=spec, how=feed.how, rng=rng), crops)
        _, made = timed(partial(to_tensor, spec=spec), shown)
        print(f"{feed.words:<28}{read:>9.2f}{framed:>9.2f}{augmented:>9.2f}{made:>9.2f}")


def timed(step: Callable[[Given], Made], items: Sequence[Given]) -> tuple[list[Made], float]:
    """Apply a step to all items; also return the median of the milliseconds it took this thread."""
    made, spent = [], []
    for item in items:
        began = time.thread_time()
        made.append(step(item))
        spent.append(1000 * (time.thread_time() - began))
    return made, statistics.median(spent)


if __name__ == "__main__":
    main()
