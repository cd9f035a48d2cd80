"""Imported networks against what Keras answered with the same weights (``tests/parity``)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.parity.compare import ANSWERS, TOLERANCE, distance
from tests.parity.numbers import SIDE, images, weights_for
from trainer.imports.imagenet import load_no_top
from trainer.imports.importing import import_keras, load_imported
from trainer.nets.densenet121 import densenet121_stages
from trainer.nets.resnet50v2_fpn import ResNet50V2Fpn
from trainer.nets.xception import Xception

KERAS = json.loads(ANSWERS.read_text())


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    return torch.from_numpy(images()).permute(0, 3, 1, 2)


@pytest.fixture
def keras_layers(make_layers) -> Callable[..., list]:
    """A network's layers with the weights that Keras was given."""

    def build(kind: str, net: object) -> list:
        made = []
        for name, arrays in make_layers[kind](net):
            given = weights_for(name, [values.shape for _, values in arrays]) if arrays else []
            made.append((name, [(own, new) for (own, _), new in zip(arrays, given, strict=True)]))
        return made

    return build


@pytest.mark.parametrize(("name", "kind"), [("resnet50v2-fpn", ResNet50V2Fpn), ("xception", Xception)])
@torch.no_grad()
def test_scores_are_those_of_keras(name: str, kind, keras_layers, write, batch, tmp_path: Path) -> None:
    built = kind(size=(SIDE, SIDE))
    file = write(tmp_path / "model.h5", keras_layers(name, built))
    import_keras(file, name, tmp_path / "model.pt")
    file.unlink()
    net, _ = load_imported(tmp_path / "model.pt")
    assert distance(net(batch), torch.tensor(KERAS[name])) <= TOLERANCE
    (tmp_path / "model.pt").unlink()


@torch.no_grad()
def test_maps_without_top_are_those_of_keras(keras_layers, write, batch, tmp_path: Path) -> None:
    extractor = nn.Module()
    extractor.stages = nn.Sequential(*densenet121_stages(1))
    file = write(tmp_path / "notop.h5", keras_layers("densenet121", list(extractor.stages)), whole=False)
    load_no_top(extractor, file, "densenet121")
    maps = extractor.stages.eval()(batch).mean(dim=(2, 3))[:, :8]
    assert distance(maps, torch.tensor(KERAS["densenet121"])) <= TOLERANCE
