"""Prepared pictures in memory, and augmented batches out of them.

Every number drawn for a picture comes from a generator seeded by (seed, epoch, picture), so that a resumed
run draws what an uninterrupted one would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from node.domain.input_spec import InputSpec
from node.imaging.prepare import resized, to_tensor
from trainer.cases.case import Case
from trainer.errors import EmptyClass, RecipeError
from trainer.feed.augment import Augmentation, augment
from trainer.feed.images import framed_image


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """Framed pictures and their classes."""

    crops: tuple[NDArray[np.uint8] | NDArray[np.uint16], ...]
    """What ``node.imaging`` frames, of various shapes (rows, columns), before it becomes a tensor."""
    classes: NDArray[np.int64]
    """Shape (n,): index in the specification's class order."""

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.classes)


def load_pictures(cases: Sequence[Case], spec: InputSpec) -> PictureSet:
    """Read and frame all pictures.

    Raises
    ------
    EmptyClass
        There is no case at all.
    PictureError
        A file cannot be read.
    """
    if not cases:
        raise EmptyClass("there is no picture to load")
    negative = 1 - spec.outputs.positive_index
    return PictureSet(
        crops=tuple(framed_image(case, spec) for case in cases),
        classes=np.array(
            [spec.outputs.positive_index if case.positive else negative for case in cases], dtype=np.int64
        ),
    )


def tensor_of(crops: Sequence[NDArray[np.uint8] | NDArray[np.uint16]], spec: InputSpec) -> Tensor:
    """Return framed pictures as one network input, float32 [n, channels, rows, columns], channels last."""
    stacked = torch.from_numpy(np.stack([to_tensor(crop, spec) for crop in crops]))
    return stacked.contiguous(memory_format=torch.channels_last)


def augmented(
    pictures: PictureSet, index: int, spec: InputSpec, how: Augmentation, seed: Sequence[int]
) -> NDArray[np.uint8]:
    """Return one varied picture in the network's size; the same for the same seed and index.

    Raises
    ------
    RecipeError
        The pictures have more than 8 bits, which this augmentation would cut off.
    """
    crop = pictures.crops[index]
    if crop.dtype != np.uint8:
        raise RecipeError(
            f"this augmentation varies pictures of 8 bits; the input is of kind {spec.input.kind}"
        )
    small = np.rint(resized(crop.astype(np.float32), spec.input.size)).astype(np.uint8)
    return augment(small, how, np.random.default_rng([*seed, index]))


def training_batches(
    pictures: PictureSet, spec: InputSpec, how: Augmentation, size: int, seed: Sequence[int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch of augmented batches in random order, the next one prepared while one is used.

    Parameters
    ----------
    pictures : PictureSet
    spec : InputSpec
    how : Augmentation
    size : int
        Pictures a batch; a last batch of one is left out (batch norm needs two).
    seed : sequence of int
        Run seed, fold, epoch.

    Yields
    ------
    images : Tensor, shape (n, channels, rows, columns)
    classes : Tensor, shape (n,)
    """

    def prepare(chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        crops = [augmented(pictures, int(index), spec, how, seed) for index in chosen]
        return tensor_of(crops, spec), torch.from_numpy(pictures.classes[chosen])

    chunks = shuffled(len(pictures), size, seed)
    with ThreadPoolExecutor(1) as ahead:
        waiting = ahead.submit(prepare, chunks[0])
        for chunk in chunks[1:]:
            ready, waiting = waiting, ahead.submit(prepare, chunk)
            yield ready.result()
        yield waiting.result()


def shuffled(count: int, size: int, seed: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return the epoch's batches as index arrays.

    A last batch of one is left out unless it is the only one: batch norm needs two.
    """
    order = np.random.default_rng(list(seed)).permutation(count)
    chunks = [order[start : start + size] for start in range(0, count, size)]
    return chunks[:-1] if len(chunks) > 1 and len(chunks[-1]) == 1 else chunks
