"""Import what ``reference.py`` saved and print how far the answers lie apart; exit status 1 beyond 1e-5."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from tests.parity.numbers import SIDE, images
from trainer.imports.imagenet import load_no_top
from trainer.imports.importing import import_keras, load_imported
from trainer.nets.densenet121 import densenet121_stages

ANSWERS = Path(__file__).parent / "answers.json"
TOLERANCE = 1e-5


def distance(own: Tensor, keras: Tensor) -> float:
    """Return the largest difference over the largest value."""
    return float((own - keras).abs().max() / keras.abs().max())


@torch.no_grad()
def main(folder: Path) -> bool:
    """Print one line a network; return whether all agree."""
    answers = json.loads(ANSWERS.read_text())
    batch = torch.from_numpy(images()).permute(0, 3, 1, 2)
    worst = 0.0
    for name in ("resnet50v2-fpn", "resnet50v2", "resnet50v2-pooled", "xception", "xception-pooled"):
        side = SIDE if name.endswith("pooled") else None
        import_keras(folder / f"{name}.h5", name.removesuffix("-pooled"), folder / f"{name}.pt", side)
        net, imported = load_imported(folder / f"{name}.pt")
        if (imported.net, imported.side) != (name, SIDE):
            raise SystemExit(f"{name} was taken for {imported.net} at {imported.side} pixels")
        worst = max(worst, shown(name, net(batch), torch.tensor(answers[name])))
    extractor = nn.Module()
    extractor.stages = nn.Sequential(*densenet121_stages(1))
    load_no_top(extractor, folder / "densenet121.h5", "densenet121")
    maps = extractor.stages.eval()(batch).mean(dim=(2, 3))[:, :8]
    worst = max(worst, shown("densenet121", maps, torch.tensor(answers["densenet121"])))
    return worst <= TOLERANCE


def shown(name: str, own: Tensor, keras: Tensor) -> float:
    """Print and return the distance."""
    found = distance(own, keras)
    sys.stdout.write(f"{name:20} {found:.1e}\n")
    return found


if __name__ == "__main__":
    sys.exit(0 if main(Path(sys.argv[1])) else 1)
