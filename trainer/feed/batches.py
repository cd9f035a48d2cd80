"""Prepared pictures in memory, and augmented batches out of them.

Every number drawn for a picture comes from a generator seeded by (seed, epoch, picture), so that a resumed
run draws what an uninterrupted one would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from node.domain.input_spec import InputSpec
from node.imaging.prepare import resized, to_tensor
from trainer.cases.case import Case
from trainer.errors import EmptyClass, RecipeError
from trainer.feed.augment import Augmentation, augment
from trainer.feed.deep_ct_augment import DeepCtAugmentation, deep_ct_augmented
from trainer.feed.images import framed_image
from trainer.feed.keras_augment import KerasAugmentation, keras_augmented

Varying = Augmentation | KerasAugmentation | DeepCtAugmentation
"""How pictures are varied."""


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


def tensor_of(crops: Sequence[NDArray[Any]], spec: InputSpec) -> Tensor:
    """Return framed pictures as one network input, float32 [n, channels, rows, columns], channels last."""
    stacked = torch.from_numpy(np.stack([to_tensor(crop, spec) for crop in crops]))
    return stacked.contiguous(memory_format=torch.channels_last)


def augmented(
    pictures: PictureSet, index: int, spec: InputSpec, how: Varying, seed: Sequence[int]
) -> NDArray[Any]:
    """Return one varied picture; the same for the same seed and index.

    Resized first, except for the Deep-CT-Net paper, which varies before it equalises and resizes.

    Raises
    ------
    RecipeError
        The pictures have more than 8 bits, which this augmentation would cut off.
    """
    crop, rng = pictures.crops[index], np.random.default_rng([*seed, index])
    if isinstance(how, KerasAugmentation):
        return keras_augmented(resized(crop.astype(np.float32), spec.input.size), how, rng)
    if crop.dtype != np.uint8:
        raise RecipeError(
            f"this augmentation varies pictures of 8 bits; the input is of kind {spec.input.kind}"
        )
    grey = crop.astype(np.uint8, copy=False)
    if isinstance(how, DeepCtAugmentation):
        return deep_ct_augmented(grey, how, rng)
    small = np.rint(resized(grey.astype(np.float32), spec.input.size)).astype(np.uint8)
    return augment(small, how, rng)


def training_batches(
    pictures: PictureSet, spec: InputSpec, how: Varying, size: int, seed: Sequence[int]
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
