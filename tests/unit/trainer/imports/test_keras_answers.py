"""Imported networks against what Keras answered with the same weights (``tests/parity``)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.parity.importing import TOLERANCE, batch_of, distance
from tests.parity.numbers import SIDE, weights_for
from trainer.imports.imagenet import load_no_top
from trainer.imports.importing import import_keras, load_imported
from trainer.nets.densenet121 import densenet121_stages
from trainer.nets.resnet50v2_fpn import ResNet50V2Fpn
from trainer.nets.xception import Xception

KERAS = json.loads((Path(__file__).parents[3] / "parity" / "answers" / "networks.json").read_text())


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    return batch_of()


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


@pytest.mark.parametrize(("name", "channels"), [("notop", 3), ("notop-grey", 1)])
@torch.no_grad()
def test_maps_without_top_are_those_of_keras(
    name: str, channels: int, keras_layers, write, tmp_path: Path
) -> None:
    published = list(densenet121_stages(3))
    file = write(tmp_path / "notop.h5", keras_layers("densenet121", published), whole=False)
    extractor = nn.Module()
    extractor.stages = nn.Sequential(*densenet121_stages(channels))
    load_no_top(extractor, file, "densenet121")
    maps = extractor.stages.eval()(batch_of(channels)).mean(dim=(2, 3))[:, :8]
    assert distance(maps, torch.tensor(KERAS[f"densenet121-{name}"])) <= TOLERANCE
