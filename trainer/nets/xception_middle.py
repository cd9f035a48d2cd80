"""Xception up to block 10: a trunk that stays as ImageNet left it, and one dense layer.

The last blocks of an ImageNet network tell objects apart; texture and small opacities are told in the middle
flow. Each block there begins with a ReLU, so the maps behind blocks 8 and 10 are rectified as the next block
would read them, laid side by side, pooled and judged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from trainer.imports.imagenet import load_xception
from trainer.nets.heads import DenseClassifier
from trainer.nets.xception import Middle, Xception

FIRST_TAP: Final = 8
LAST_TAP: Final = 10
MAPS: Final = 728
"""Behind each block of the middle flow."""


class Taps(nn.Module):
    """Blocks 9 and 10; rectified maps from before and from behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Middle(MAPS) for _ in range(FIRST_TAP, LAST_TAP)))

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, 728, rows, columns] to [n, 1456, rows, columns]."""
        return torch.cat([torch.relu(images), torch.relu(self.blocks(images))], dim=1)


class XceptionMiddle(DenseClassifier):
    """Xception's entry flow and half of its middle flow, pooled, with one dense layer.

    Parameters
    ----------
    channels, classes : int
    dropout : float
        Before the dense layer, in training only.

    Attributes
    ----------
    stages : nn.Sequential
        Block 1's two convolutions (0, 1), block *k* at index *k*, 2 to 8, then `Taps` (9).
    """

    def __init__(self, channels: int = 3, classes: int = 2, dropout: float = 0.0) -> None:
        whole = list(Xception(channels, classes, dropout, pooled=True).stages)
        stages = nn.Sequential(*whole[: FIRST_TAP + 1], Taps())
        super().__init__(stages, 2 * MAPS, classes, dropout)


def load_imagenet(net: XceptionMiddle, file: Path) -> None:
    """Take the trunk from ImageNet's whole Xception; the rest of the file has to fit, and is left.

    Raises
    ------
    WeightsError
        The file does not hold Xception.
    """
    first = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
    whole = Xception(first.in_channels, 2, 0.0, pooled=True)
    load_xception(whole, file)
    leading = list(net.stages)
    taps = leading.pop()
    if not isinstance(taps, Taps):
        raise TypeError("the last stage holds blocks 9 and 10")
    own = [*leading, *list(taps.blocks)]
    for block, published in zip(own, list(whole.stages)[: LAST_TAP + 1], strict=True):
        block.load_state_dict(published.state_dict())
