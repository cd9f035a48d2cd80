"""Batches are in order, the same for the same seed, fail where the bad file stands, and leave no thread."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from node.domain.input_spec import InputSpec
from trainer.cases.case import Case
from trainer.cases.readers import read_cases
from trainer.errors import EmptyClass, PictureError
from trainer.feed.batches import AHEAD, Pictures, Varying, batches, load_pictures, shuffled, tensor_of


@pytest.fixture
def cases(sars_root: Path) -> list[Case]:
    return read_cases(f"folder:{sars_root / 'val'}")


@pytest.fixture
def own_cases(sars_root: Path, tmp_path: Path) -> list[Case]:
    """A copy of the pictures that a test may spoil."""
    shutil.copytree(sars_root / "val", tmp_path / "own")
    return read_cases(f"folder:{tmp_path / 'own'}")


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def epoch(
    pictures: Pictures, how: Varying | None, seed: tuple[int, ...] = (1, 2), workers: int = 2
) -> list[tuple[torch.Tensor, np.ndarray]]:
    chunks = shuffled(len(pictures), 6, seed)
    return list(batches(pictures, pictures.spec, how, chunks, seed, workers=workers))


def test_an_epoch_is_in_order_and_the_same_for_any_number_of_threads(
    cases: list[Case], spec: InputSpec, how: Varying
) -> None:
    one = epoch(load_pictures(cases, spec), how, workers=1)
    many = epoch(load_pictures(cases, spec, budget=0), how, workers=5)
    for (images, indices), (same, same_indices), chunk in zip(
        one, many, shuffled(20, 6, (1, 2)), strict=True
    ):
        np.testing.assert_array_equal(indices, chunk)
        np.testing.assert_array_equal(same_indices, chunk)
        assert torch.equal(images, same)


def test_what_is_drawn_depends_on_seed_and_picture_alone(
    cases: list[Case], spec: InputSpec, how: Varying
) -> None:
    pictures = load_pictures(cases, spec)
    whole = {
        int(index): image
        for images, chunk in epoch(pictures, how)
        for image, index in zip(images, chunk, strict=True)
    }
    ((images, _),) = batches(pictures, spec, how, [np.array([7, 3])], (1, 2), workers=1)
    assert torch.equal(images[0], whole[7])
    assert torch.equal(images[1], whole[3])
    ((other, _),) = batches(pictures, spec, how, [np.array([7, 3])], (1, 3), workers=1)
    assert not torch.equal(other[0], whole[7])


def test_without_augmentation_a_batch_is_the_nodes_preparation_channels_last(
    cases: list[Case], spec: InputSpec
) -> None:
    pictures = load_pictures(cases, spec)
    for images, indices in epoch(pictures, None):
        prepared = tensor_of([pictures.crop(index) for index in indices], spec)
        assert torch.equal(images, prepared)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert images.dtype == torch.float32


def test_an_epoch_shows_every_picture_once_and_never_a_batch_of_one() -> None:
    assert sorted(np.concatenate(shuffled(20, 8, (1,)))) == list(range(20))
    assert [len(chunk) for chunk in shuffled(17, 8, (1,))] == [8, 8]
    assert [len(chunk) for chunk in shuffled(1, 8, (1,))] == [1]


def test_the_budget_bounds_what_is_kept(own_cases: list[Case], spec: InputSpec) -> None:
    size = load_pictures(own_cases, spec).crop(0).nbytes
    pictures = load_pictures(own_cases, spec, budget=size)
    first = pictures.crop(0)
    assert pictures.crop(0) is first
    assert not first.flags.writeable
    assert pictures.crop(1) is not pictures.crop(1)
    for case in own_cases:
        case.image.unlink()
    assert pictures.crop(0) is first
    with pytest.raises(PictureError, match=own_cases[1].image.name):
        pictures.crop(1)


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"\x89PNG\r\n\x1a\n truncated"])
def test_a_corrupt_picture_fails_at_its_batch_and_names_the_file(
    own_cases: list[Case], spec: InputSpec, how: Varying, content: bytes
) -> None:
    own_cases[9].image.write_bytes(content)
    chunks = [np.arange(start, start + 4) for start in range(0, 20, 4)]
    feed = batches(load_pictures(own_cases, spec), spec, how, chunks, (1,), workers=2)
    assert [list(next(feed)[1]) for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(PictureError, match=own_cases[9].image.name):
        next(feed)


def test_a_corrupt_tiff_within_an_epoch_is_named(spec: InputSpec, tmp_path: Path) -> None:
    cases = []
    for number in range(6):
        file = tmp_path / f"IM{number:05d}.tif"
        values = np.random.default_rng(number).integers(0, 4096, (64, 64)).astype(np.uint16)
        Image.fromarray(values).save(file, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
        cases.append(
            Case(image=file, positive=number < 3, source="covid-ctset", split="train", group=str(number))
        )
    whole = cases[4].image.read_bytes()
    cases[4].image.write_bytes(whole[: len(whole) // 2])
    feed = batches(
        load_pictures(cases, spec), spec, None, [np.array([0, 1]), np.array([4, 5])], (1,), workers=2
    )
    assert next(feed)[0].shape[0] == 2
    with pytest.raises(PictureError, match=r"IM00004\.tif.*fetch it again"):
        next(feed)


def test_a_folder_that_vanishes_within_an_epoch_is_named(own_cases: list[Case], spec: InputSpec) -> None:
    chunks = [np.array([index]) for index in range(20)]
    with closing(batches(load_pictures(own_cases, spec), spec, None, chunks, (1,), workers=1)) as feed:
        next(feed)
        shutil.rmtree(own_cases[0].image.parents[1])
        with pytest.raises(PictureError, match=r"own.*cannot be read"):
            list(feed)


def test_only_a_few_batches_are_prepared_ahead_and_leaving_early_ends_all(
    cases: list[Case], spec: InputSpec, how: Varying
) -> None:
    taken = []

    def chunks() -> Iterator[np.ndarray]:
        for index in range(20):
            taken.append(index)
            yield np.array([index])

    feed = batches(load_pictures(cases, spec), spec, how, chunks(), (1,), workers=2)
    next(feed)
    assert len(taken) == AHEAD + 1
    feed.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("feed")]


def test_no_case_is_refused(spec: InputSpec) -> None:
    with pytest.raises(EmptyClass):
        load_pictures([], spec)
