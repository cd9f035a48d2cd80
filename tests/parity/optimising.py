"""Table 3: 50 steps of the papers' optimisers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from tests.parity.numbers import SCALES, STEPS, gradients, weights_before
from tests.parity.table import Row, Table
from trainer.fit.steps import optimiser

TOLERANCE: Final = 5e-7
RATES: Final = {"nadam": 1e-4, "adam": 1e-5}


class Weights(nn.Module):
    """Nothing but weights."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.from_numpy(weights_before()))


def after(kind: str, scale: float) -> torch.Tensor:
    """Return the weights after all steps of the recipe's optimiser."""
    net = Weights()
    made = optimiser(net, kind, RATES[kind], 0.0)
    for gradient in gradients(scale):
        net.values.grad = torch.from_numpy(gradient)
        made.step()
    return net.values.detach()


def rows_of(given: Mapping[str, Any], against: str) -> list[Row]:
    """Compare with Keras' ends, by optimiser and size of the gradients."""
    rows = []
    for kind, rate in RATES.items():
        for scale in SCALES:
            found = (after(kind, scale) - torch.tensor(given[kind][str(scale)])).abs().max()
            what = f"{kind}, rate {rate:g}, gradients about {scale:g}"
            judged = kind == "nadam" or scale == SCALES[0]
            limit = TOLERANCE if judged else None
            rows.append(Row(what=what, against=against, found=float(found), tolerance=limit))
    return rows


def table(folder: Path) -> Table:
    """Compare with what was made anew."""
    given = json.loads((folder / "optimisers.json").read_text())
    return Table(
        title=f"3. Optimisers: weights after {STEPS} steps over stated gradients, float32",
        unit="largest difference",
        rows=rows_of(given, f"Keras {given['made with']['keras']} legacy"),
        notes=[
            "a weight moves by up to 5e-3 (nadam) and 5e-4 (adam) on the way",
            "Keras adds Adam's epsilon before the correction of the second moment, PyTorch behind it: small",
            "gradients show it; the paper that fitted with Adam names no epsilon",
        ],
    )
