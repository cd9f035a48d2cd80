"""The feed before augmentation is the node's preparation; augmentation hides tone and is reproducible."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from node.imaging.prepare import prepare_picture
from trainer.cases.readers import read_cases
from trainer.errors import EmptyClass, PictureError, RecipeError
from trainer.feed.augment import augment, grey_landmarks
from trainer.feed.batches import load_pictures, shuffled, tensor_of, training_batches
from trainer.feed.pictures import grey_picture
from trainer.feed.specification import specification
from trainer.fit.recipe import Recipe, read_recipe


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    return read_recipe(tiny_recipe)


def test_the_feed_before_augmentation_is_the_nodes_preparation(recipe: Recipe, sars_root: Path) -> None:
    spec = specification(recipe.specification, name="tiny", version=1, status="untrained")
    cases = read_cases(f"folder:{sars_root / 'val'}")
    fed = tensor_of(load_pictures(cases, spec).crops, spec).numpy()
    prepared = np.stack([prepare_picture(grey_picture(case.image), spec).tensor for case in cases])
    np.testing.assert_array_equal(fed, prepared)


def test_batches_are_the_same_for_the_same_seed_only(recipe: Recipe, sars_root: Path) -> None:
    spec = specification(recipe.specification, name="tiny", version=1, status="untrained")
    pictures = load_pictures(read_cases(f"folder:{sars_root / 'val'}"), spec)

    def first(seed: int) -> np.ndarray:
        return next(iter(training_batches(pictures, spec, recipe.augmentation, 8, (seed, 0, 0))))[0].numpy()

    np.testing.assert_array_equal(first(1), first(1))
    assert not np.array_equal(first(1), first(2))


def test_an_epoch_shows_every_picture_once_and_never_a_batch_of_one() -> None:
    assert sorted(np.concatenate(shuffled(20, 8, (1,)))) == list(range(20))
    assert [len(chunk) for chunk in shuffled(17, 8, (1,))] == [8, 8]


def test_augmentation_hides_the_tone_of_a_picture(recipe: Recipe, sars_root: Path) -> None:
    grey = grey_picture(sars_root / "val" / "COVID" / "0500.png")
    darker = np.clip(grey.astype(np.float32) * 0.9, 0, 255).astype(np.uint8)
    how = dataclasses.replace(recipe.augmentation, soften=0.0, erase=0.0)
    one, other = (augment(image, how, np.random.default_rng(4)) for image in (grey, darker))
    assert abs(grey_landmarks(grey)[1] - grey_landmarks(darker)[1]) > 15
    assert np.abs(np.subtract(grey_landmarks(one), grey_landmarks(other))).max() <= 4


def test_landmarks_of_a_flat_picture_do_not_fail() -> None:
    for value in (0, 60, 200, 255):
        lung, tissue = grey_landmarks(np.full((8, 8), value, np.uint8))
        assert 0 < lung < tissue <= 255


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"\x89PNG\r\n\x1a\n truncated"])
def test_what_is_no_image_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(content)
    with pytest.raises(PictureError, match="remove it or repair it"):
        grey_picture(file)


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    cv2.imwrite(str(file), np.zeros((8, 8), np.uint16))
    with pytest.raises(PictureError, match="8 bits"):
        grey_picture(file)


def test_no_case_is_refused(recipe: Recipe) -> None:
    spec = specification(recipe.specification, name="tiny", version=1, status="untrained")
    with pytest.raises(EmptyClass):
        load_pictures([], spec)


def test_a_missing_number_of_the_specification_is_named(recipe: Recipe) -> None:
    parts = dict(recipe.specification)
    parts["input"] = {key: value for key, value in parts["input"].items() if key != "size"}
    with pytest.raises(RecipeError, match="size"):
        specification(parts, name="tiny", version=1, status="untrained")
