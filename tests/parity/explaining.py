"""Table 4: Grad-CAM in closed form, as served, against autograd, for every network of the catalogue."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from tests.parity.table import Row, Table
from trainer.export.graph import ServedNet, gradcam_by_autograd
from trainer.nets.catalogue import NETS, build_net
from trainer.nets.deep_cxr_net import FINDINGS

TOLERANCE: Final = 1e-4
SMALLEST: Final = {"resnet50v2-fpn": 128, "deep-ct-net": 256, "deep-cxr-net": 256}
"""Network, without its part's suffix -> pixels of a side; 64 for the others."""


def side_of(name: str) -> int:
    """Return a small side that a network takes."""
    return SMALLEST.get(name.partition("-part")[0], 64)


def shaken(name: str) -> nn.Module:
    """Build a network whose norms, dense layers and masks matter."""
    torch.manual_seed(7)
    channels = 1 if name.startswith(("resnet", "xception")) else 3
    classes = len(FINDINGS) if name.endswith("part1") else 2
    side = side_of(name)
    net = build_net(name, channels, classes, 0.5, None, size=(side, side))
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.2)
            nn.init.normal_(layer.bias, std=0.2)
    return net.eval()


def largest_difference(name: str) -> float:
    """Return the largest difference of two classes' maps over their maxima; not a number if all are empty."""
    net = shaken(name)
    channels = 1 if name.startswith(("resnet", "xception")) else 3
    images = torch.rand(2, channels, side_of(name), side_of(name))
    found = []
    for positive in range(2):
        served = ServedNet([net], positive)
        cam, wanted = served(images)[1], gradcam_by_autograd(served, images)
        for own, map_ in zip(cam, wanted, strict=True):
            if map_.max() > 0:
                found.append(float((own - map_).abs().max() / map_.max()))
    return max(found) if found else float("nan")


def table(names: tuple[str, ...] = tuple(NETS)) -> Table:
    """Compare every network, random weights, two images, two classes."""
    rows = [
        Row(
            what=f"{name}, {side_of(name)} x {side_of(name)}",
            against="torch.autograd",
            found=largest_difference(name),
            tolerance=TOLERANCE,
        )
        for name in names
    ]
    return Table(title="4. Grad-CAM as served, without autograd", unit="over the map's maximum", rows=rows)
