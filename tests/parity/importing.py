"""Table 1: networks imported from Keras' files against what Keras answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from tests.parity.numbers import SIDE, images
from tests.parity.table import Row, Table
from trainer.imports.imagenet import load_no_top
from trainer.imports.importing import import_keras, load_imported
from trainer.nets.densenet121 import densenet121_stages
from trainer.nets.resnet50v2 import resnet50v2_stages
from trainer.nets.xception import Xception

TOLERANCE: Final = 1e-5
WHOLE: Final = ("resnet50v2-fpn", "resnet50v2", "resnet50v2-pooled", "xception", "xception-pooled")
FAMILIES: Final = ("resnet50v2", "xception", "densenet121")


def distance(own: Tensor, keras: Tensor) -> float:
    """Return the largest difference over the largest value."""
    return float((own - keras).abs().max() / keras.abs().max())


def batch_of(channels: int = 1) -> Tensor:
    """Return the stated images as torch takes them."""
    return torch.from_numpy(images(channels)).permute(0, 3, 1, 2)


@torch.no_grad()
def table(folder: Path, stored: Mapping[str, Any]) -> Table:
    """Compare every file in ``folder``, and the answers kept in the repository with the new ones."""
    answers = json.loads((folder / "networks.json").read_text())
    made = answers.pop("made with")
    keras = f"Keras {made['keras']}, TensorFlow {made['tensorflow-cpu']}"
    rows = [row_of(name, whole(folder, name), answers[name], keras) for name in WHOLE]
    for family in FAMILIES:
        file = folder / f"{family}-notop.h5"
        for name, channels in ((f"{family}-notop", 3), (f"{family}-notop-grey", 1)):
            maps = maps_without_top(file, family, channels)
            rows.append(row_of(name, maps, answers[name], keras))
    kept = [row_of(name, torch.tensor(stored[name]), answer, keras) for name, answer in answers.items()]
    what = f"the {len(kept)} answers kept for the unit tests"
    rows.append(replace(max(kept, key=lambda row: row.found), what=what))
    return Table(
        title="1. Import: scores before the softmax; of files without top, means of the last maps",
        unit="over the largest value",
        rows=rows,
        notes=["-grey: one channel, the first kernel summed over the colours; Keras saw it three times"],
    )


def whole(folder: Path, name: str) -> Tensor:
    """Import a whole model and return its scores."""
    side = SIDE if name.endswith("pooled") else None
    import_keras(folder / f"{name}.h5", name.removesuffix("-pooled"), folder / f"{name}.pt", side)
    net, imported = load_imported(folder / f"{name}.pt")
    if (imported.net, imported.side) != (name, SIDE):
        raise SystemExit(f"{name} was taken for {imported.net} at {imported.side} pixels")
    scores: Tensor = net(batch_of())
    return scores


def maps_without_top(file: Path, family: str, channels: int) -> Tensor:
    """Load a file without top and return the means of the first eight of the last maps."""
    extractor = nn.Module()
    extractor.stages = {
        "resnet50v2": lambda: resnet50v2_stages(channels),
        "xception": lambda: Xception(channels, pooled=True).stages,
        "densenet121": lambda: nn.Sequential(*densenet121_stages(channels)),
    }[family]()
    load_no_top(extractor, file, family)
    maps: Tensor = extractor.stages.eval()(batch_of(channels))
    return maps.mean(dim=(2, 3))[:, :8]


def row_of(name: str, own: Tensor, keras: Any, against: str) -> Row:
    """Return the row of one network."""
    return Row(what=name, against=against, found=distance(own, torch.tensor(keras)), tolerance=TOLERANCE)
