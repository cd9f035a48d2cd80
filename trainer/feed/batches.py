"""Pictures read when they are needed, and batches prepared by threads ahead of the one that is used.

Every number drawn for a picture comes from a generator seeded by (seed, index of the picture), so that a
resumed run draws what an uninterrupted one would, whatever thread comes first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

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
from trainer.feed.images import Image, framed_image
from trainer.feed.keras_augment import KerasAugmentation, keras_augmented
from trainer.feed.targets import Loss, Targets, targets_of

Varying = Augmentation | KerasAugmentation | DeepCtAugmentation
"""How pictures are varied."""

BUDGET: Final = 4 * 2**30
"""Bytes of framed pictures that are kept: 8,000 slices of 512 x 512 in 16 bits."""
AHEAD: Final = 3
"""Batches in preparation while one is used."""


class Pictures:
    """Cases whose framed images are read on demand; safe to use from several threads.

    Images are kept until the budget is reached and from then on read anew each time. None is thrown out for
    another: epochs go through all images in random order, so any kept image is as good as the next.

    Parameters
    ----------
    cases : sequence of Case
    spec : InputSpec
    targets : float32 array, shape (cases, outputs)
    budget : int
        Bytes of framed images to keep.
    """

    def __init__(self, cases: Sequence[Case], spec: InputSpec, targets: Targets, budget: int) -> None:
        self.cases = tuple(cases)
        self.spec = spec
        self.targets = targets
        self._left = budget
        self._kept: dict[int, Image] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.cases)

    @property
    def classes(self) -> NDArray[np.int64]:
        """Shape (n,): index of each picture's class; meaningful where classes exclude one another."""
        return np.asarray(self.targets.argmax(axis=1), dtype=np.int64)

    def crop(self, index: int) -> Image:
        """Return what ``node.imaging`` frames, not yet resized, shape (rows, columns), read-only.

        Raises
        ------
        PictureError
            The file cannot be read (any more).
        """
        with self._lock:
            kept = self._kept.get(index)
        if kept is not None:
            return kept
        image = framed_image(self.cases[index], self.spec)
        image.flags.writeable = False
        with self._lock:
            if index not in self._kept and image.nbytes <= self._left:
                self._kept[index] = image
                self._left -= image.nbytes
        return image


def load_pictures(
    cases: Sequence[Case], spec: InputSpec, loss: str = Loss.SOFTMAX, *, budget: int = BUDGET
) -> Pictures:
    """Return the pictures of cases with their targets; their files are read when they are needed.

    Parameters
    ----------
    cases : sequence of Case
    spec : InputSpec
    loss : str
        A `Loss`: ``softmax`` or ``sigmoid``.
    budget : int
        Bytes of framed images to keep in memory.

    Raises
    ------
    EmptyClass
        There is no case at all.
    RecipeError
        The cases' labels or findings are not the model's outputs.
    """
    if not cases:
        raise EmptyClass("there is no picture to load")
    return Pictures(cases, spec, targets_of(cases, spec.outputs, Loss(loss)), budget)


def tensor_of(crops: Sequence[NDArray[Any]], spec: InputSpec) -> Tensor:
    """Return framed pictures as one network input, float32 [n, channels, rows, columns], channels last."""
    stacked = torch.from_numpy(np.stack([to_tensor(crop, spec) for crop in crops]))
    return stacked.contiguous(memory_format=torch.channels_last)


def varied(
    crop: NDArray[Any], spec: InputSpec, how: Varying | None, rng: np.random.Generator
) -> NDArray[Any]:
    """Return a varied copy of a framed picture, or the picture itself where ``how`` is None.

    Resized first, except for the Deep-CT-Net paper, which varies before it equalises and resizes.

    Raises
    ------
    RecipeError
        The picture has more than 8 bits, which this augmentation would cut off.
    """
    if how is None:
        return crop
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


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """A batch in preparation."""

    indices: NDArray[np.int64]
    values: NDArray[np.float32]
    """Shape (n, rows, columns, channels); a thread fills one place of it."""
    filled: tuple[Future[None], ...]

    def ready(self) -> tuple[Tensor, NDArray[np.int64]]:
        """Wait for all pictures; raises what the first bad one raised."""
        for one in self.filled:
            one.result()
        return torch.from_numpy(self.values).permute(0, 3, 1, 2), self.indices


@dataclass(frozen=True, kw_only=True)
class _Preparation:
    """What all pictures of an epoch have in common."""

    pictures: Pictures
    spec: InputSpec
    how: Varying | None
    seed: tuple[int, ...]
    pool: ThreadPoolExecutor

    def begin(self, chunk: NDArray[np.int64]) -> _Batch:
        """Give every picture of a batch to the threads."""
        values = np.empty((len(chunk), *self.spec.input.size, self.spec.input.channels), dtype=np.float32)
        places = zip(values, chunk.tolist(), strict=True)
        filled = tuple(self.pool.submit(self._fill, place, index) for place, index in places)
        return _Batch(indices=chunk, values=values, filled=filled)

    def _fill(self, place: NDArray[np.float32], index: int) -> None:
        rng = np.random.default_rng([*self.seed, index])
        crop = varied(self.pictures.crop(index), self.spec, self.how, rng)
        place[...] = to_tensor(crop, self.spec).transpose(1, 2, 0)


def batches(
    pictures: Pictures,
    spec: InputSpec,
    how: Varying | None,
    chunks: Sequence[NDArray[np.int64]],
    seed: Sequence[int],
    *,
    workers: int,
) -> Generator[tuple[Tensor, NDArray[np.int64]]]:
    """Yield one epoch of batches in the order of ``chunks``, the next ones prepared while one is used.

    Close the iterator (``contextlib.closing``) when leaving it early: then no thread stays behind.

    Parameters
    ----------
    pictures : Pictures
    spec : InputSpec
    how : Varying or None
        None: not augmented.
    chunks : sequence of int64 arrays
        Indices of each batch, as `shuffled` gives them.
    seed : sequence of int
        Run seed, fold, epoch; with a picture's index it decides all that is drawn for the picture.
    workers : int
        Threads, at least 1.

    Yields
    ------
    images : Tensor, shape (n, channels, rows, columns)
        float32, channels last.
    indices : int64 array, shape (n,)

    Raises
    ------
    PictureError
        A file cannot be read; raised at its batch's place, those before it are yielded.
    RecipeError
        The pictures have more bits than the augmentation takes.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="feed")
    preparation = _Preparation(pictures=pictures, spec=spec, how=how, seed=tuple(seed), pool=pool)
    waiting: deque[_Batch] = deque()
    try:
        for chunk in chunks:
            waiting.append(preparation.begin(chunk))
            if len(waiting) > AHEAD:
                yield waiting.popleft().ready()
        while waiting:
            yield waiting.popleft().ready()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def shuffled(count: int, size: int, seed: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return the epoch's batches as index arrays.

    A last batch of one is left out unless it is the only one: batch norm needs two.
    """
    order = np.random.default_rng(list(seed)).permutation(count)
    chunks = [order[start : start + size] for start in range(0, count, size)]
    return chunks[:-1] if len(chunks) > 1 and len(chunks[-1]) == 1 else chunks
