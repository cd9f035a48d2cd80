"""ResNet50V2 with a feature pyramid and five dense heads.

Rahimzadeh et al. 2021, section 2.4 and figure 9, with the layers of the code published with it: laterals are
concatenated, not added; P3 and P4 are not padded; C3 and C4 are what the following stacks pre-activate; each
of P3 to P7 is flattened into a dense layer with ReLU, and these ten units give the classes.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.nets.heads import Classifier, Features, ServedHead, centred, grid_of
from trainer.nets.resnet50v2 import (
    FEATURES,
    HEAD_DEVIATION,
    SIZE,
    initialise_convolutions,
    resnet50v2_stages,
)
from trainer.nets.same_padding import pad_same, same_padding

WIDTH: Final = 256
"""Channels of every level."""
SMALLEST_SIDE: Final = 96
"""Below it P4 has no cell."""


class Pyramid(nn.Module):
    """From C3, C4, C5 to P3 ... P7; no activation but the ReLU between P6 and P7."""

    def __init__(self) -> None:
        super().__init__()
        self.c5_reduced = nn.Conv2d(FEATURES, WIDTH, 1)
        self.c4_reduced = nn.Conv2d(1024, WIDTH, 1)
        self.c3_reduced = nn.Conv2d(512, WIDTH, 1)
        self.p3 = nn.Conv2d(3 * WIDTH, WIDTH, 3)
        self.p4 = nn.Conv2d(2 * WIDTH, WIDTH, 3)
        self.p5 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.p6 = nn.Conv2d(FEATURES, WIDTH, 3, stride=2)
        self.p7 = nn.Conv2d(WIDTH, WIDTH, 3, stride=2)

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> tuple[Tensor, ...]:
        """Return P3 to P7.

        Parameters
        ----------
        c3, c4, c5 : Tensor
            [n, 512, 2h, 2w], [n, 1024, h, w], [n, 2048, h, w].

        Returns
        -------
        tuple of Tensor
            [n, 256, rows, columns] with 2h - 2, h - 2, h, ceil(h/2), ceil(h/4) rows; columns alike.
        """
        reduced = self.c5_reduced(c5)
        # conv5 has stride 1, so C5 lies on the grid of C4: nearest upsampling is the identity there.
        fourth = torch.cat([reduced, self.c4_reduced(c4)], dim=1)
        upsampled = functional.interpolate(fourth, scale_factor=2.0, mode="nearest")
        third = torch.cat([upsampled, self.c3_reduced(c3)], dim=1)
        p6 = self.p6(pad_same(c5, 3, 2))
        return self.p3(third), self.p4(fourth), self.p5(reduced), p6, self.seventh(torch.relu(p6))

    def seventh(self, activated: Tensor) -> Tensor:
        """Return P7 of P6 after its ReLU."""
        result: Tensor = self.p7(pad_same(activated, 3, 2))
        return result


def level_sides(side: int) -> tuple[int, ...]:
    """Return the cells of P3 to P7 along an axis, over a C5 of ``side`` cells."""
    sixth = math.ceil(side / 2)
    return 2 * side - 2, side - 2, side, sixth, math.ceil(sixth / 2)


class ResNet50V2Fpn(Classifier):
    """The pyramid network.

    Parameters
    ----------
    channels, classes : int
    dropout : float
        Before each of the five dense heads, in training only.
    size : (int, int)
        Rows and columns of the images, multiples of 32, at least 96.

    Attributes
    ----------
    heads : nn.ModuleList
        One dense layer a level, P3 to P7, each with ``classes`` units behind ReLU.
    """

    def __init__(
        self, channels: int = 1, classes: int = 2, dropout: float = 0.5, size: tuple[int, int] = SIZE
    ) -> None:
        super().__init__()
        self.grid = grid_of(size, SMALLEST_SIDE, 32)
        self.stages = resnet50v2_stages(channels, tapped=True)
        self.pyramid = Pyramid()
        initialise_convolutions(self.pyramid)
        self.dropout = nn.Dropout(dropout)
        rows, columns = map(level_sides, self.grid)
        self.heads = nn.ModuleList(
            nn.Linear(WIDTH * down * across, classes) for down, across in zip(rows, columns, strict=True)
        )
        self.head = nn.Linear(len(self.heads) * classes, classes)
        for layer in (*self.heads, self.head):
            nn.init.normal_(layer.weight, std=HEAD_DEVIATION)
            nn.init.zeros_(layer.bias)

    def units(self, levels: tuple[Tensor, ...]) -> Tensor:
        """Return the heads' units before their ReLU, [n, 5 classes], of P3 to P7."""
        parts = [head(self.dropout(level.flatten(1))) for head, level in zip(self.heads, levels, strict=True)]
        return torch.cat(parts, dim=1)

    def classify(self, features: Features) -> Tensor:
        """Return class scores before the softmax, [n, classes], of (C3, C4, C5)."""
        result: Tensor = self.head(torch.relu(self.units(self.pyramid(*features))))
        return result

    def served_head(self, positive: int) -> ServedHead:
        """Return the head for export."""
        return _PyramidHead(self, positive)

    @torch.no_grad()
    def dead_heads(self, images: Tensor) -> list[str]:
        """Return the levels both of whose units are zero for every image: heads that can learn no more."""
        active = self.units(self.pyramid(*self.features(images))) > 0
        by_level = active.any(dim=0).reshape(len(self.heads), -1).any(dim=1)
        return [f"P{level}" for level, alive in enumerate(by_level.tolist(), start=3) if not alive]


class _PyramidHead(ServedHead):
    """Scores and evidence of the pyramid.

    From C5 to a unit every path is linear, but for the unit's own ReLU and the one between P6 and P7. The
    spatial mean of a unit's gradient is therefore a constant for P3 to P6, and behind P7 a constant kernel
    under the mask of P6.
    """

    constant: Tensor
    behind_p7: Tensor
    taps_down: Tensor
    taps_across: Tensor

    def __init__(self, net: ResNet50V2Fpn, positive: int) -> None:
        super().__init__()
        self.pyramid = net.pyramid
        self.heads = net.heads
        self.head = centred(net.head)
        self.positive = positive
        self.grid = net.grid
        self.classes = net.head.out_features
        constant, behind = _unit_gradients(net)
        self.register_buffer("constant", constant)
        self.register_buffer("behind_p7", behind)
        self.register_buffer("taps_down", _valid_taps(net.grid[0]))
        self.register_buffer("taps_across", _valid_taps(net.grid[1]))

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        c3, c4, c5 = features
        levels = self.pyramid(c3, c4, c5)
        units = [head(level.flatten(1)) for head, level in zip(self.heads, levels, strict=True)]
        joined = torch.cat(units, dim=1)
        gated = self.head.weight[self.positive] * (joined > 0)
        linear = gated[:, : -self.classes] @ self.constant
        at_p6 = torch.einsum("nu,uoij->noij", gated[:, -self.classes :], self.behind_p7) * (levels[3] > 0)
        return self.head(torch.relu(joined)), torch.einsum(
            "nkij,nk->nij", c5, linear + self._mean_through_p6(at_p6)
        )

    def _mean_through_p6(self, gradient: Tensor) -> Tensor:
        """Return the spatial mean over C5, [n, 2048], of a gradient at P6, [n, 256, rows, columns]."""
        taps = torch.einsum("noij,di,ej->node", gradient, self.taps_down, self.taps_across)
        kernel = self.pyramid.p6.weight.transpose(0, 1).flatten(1)
        return taps.flatten(1) @ kernel.t() / (self.grid[0] * self.grid[1])


def _valid_taps(side: int) -> Tensor:
    """Return [3, ceil(side/2)]: whether kernel cell d under P6's cell q lies within C5, not in its border."""
    before, _ = same_padding(side, 3, 2)
    cells = torch.arange(-(-side // 2))[None] * 2 + torch.arange(3)[:, None] - before
    return ((cells >= 0) & (cells < side)).float()


def _unit_gradients(net: ResNet50V2Fpn) -> tuple[Tensor, Tensor]:
    """Return the spatial means [units of P3 to P6, 2048], and behind P7 the kernels [classes, 256, i, j]."""
    rows, columns = net.grid
    device = net.head.weight.device
    c3 = torch.zeros(1, 512, 2 * rows, 2 * columns, device=device)
    c4 = torch.zeros(1, 1024, rows, columns, device=device)
    c5 = torch.zeros(1, FEATURES, rows, columns, device=device, requires_grad=True)
    with torch.enable_grad():
        levels = net.pyramid(c3, c4, c5)
        units = [head(level.flatten(1))[0] for head, level in zip(net.heads, levels, strict=True)]
        constant = [
            torch.autograd.grad(unit, c5, retain_graph=True)[0].mean(dim=(0, 2, 3))
            for unit in torch.cat(units[:-1])
        ]
        activated = torch.zeros_like(levels[3]).requires_grad_(True)
        last = net.heads[-1](net.pyramid.seventh(activated).flatten(1))[0]
        behind = [torch.autograd.grad(unit, activated, retain_graph=True)[0][0] for unit in last]
    return torch.stack(constant), torch.stack(behind)
