"""The feed before augmentation is the node's preparation; augmentation hides tone and is reproducible."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from node.domain.input_spec import InputSpec
from node.imaging.prepare import prepare_picture
from trainer.cases.readers import read_cases
from trainer.errors import PictureError, RecipeError
from trainer.feed.augment import Augmentation, augment, grey_landmarks
from trainer.feed.batches import load_pictures, tensor_of
from trainer.feed.pictures import grey_picture
from trainer.feed.specification import specification


def test_the_feed_before_augmentation_is_the_nodes_preparation(spec: InputSpec, sars_root: Path) -> None:
    cases = read_cases(f"folder:{sars_root / 'val'}")
    pictures = load_pictures(cases, spec)
    fed = tensor_of([pictures.crop(index) for index in range(len(cases))], spec).numpy()
    prepared = np.stack([prepare_picture(grey_picture(case.image), spec).tensor for case in cases])
    np.testing.assert_array_equal(fed, prepared)


def test_augmentation_hides_the_tone_of_a_picture(how: Augmentation, sars_root: Path) -> None:
    grey = grey_picture(sars_root / "val" / "COVID" / "0500.png")
    darker = np.clip(grey.astype(np.float32) * 0.9, 0, 255).astype(np.uint8)
    how = dataclasses.replace(how, soften=0.0, erase=0.0)
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


def test_a_missing_number_of_the_specification_is_named(parts: dict[str, Any]) -> None:
    del parts["input"]["size"]
    with pytest.raises(RecipeError, match="size"):
        specification(parts, name="tiny", version=1, status="untrained")


def test_a_share_of_the_pictures_keeps_its_tone_but_for_contrast(how: Augmentation, sars_root: Path) -> None:
    grey = grey_picture(sars_root / "val" / "COVID" / "0500.png")
    how = dataclasses.replace(how, soften=0.0, erase=0.0, tone=0.0, gamma=0.0, zoom=(1.0, 1.0))
    still = dataclasses.replace(how, aspect=0.0, rotation=0.0, shift=0.0, flip=0.0)
    np.testing.assert_allclose(augment(grey, still, np.random.default_rng(1)), grey, atol=1)
    brighter = dataclasses.replace(still, brightness=0.2, contrast=0.3)
    seen = {int(augment(grey, brighter, np.random.default_rng(seed)).mean()) for seed in range(12)}
    assert len(seen) > 6
