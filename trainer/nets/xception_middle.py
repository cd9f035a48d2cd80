"""Xception up to block 8: a trunk that stays as ImageNet left it, and one dense layer.

The last blocks of an ImageNet network tell objects apart; texture and small opacities are told in the middle
flow. What lies there in a small part of the image is lost in the mean over all of it, unless weak answers are
left out: the maps are what exceeds `LEVEL`. They are the mean of those of the image and of its mirror image,
turned back: both get the same score, and Grad-CAM explains that mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from trainer.imports.imagenet import load_xception
from trainer.nets.heads import DenseClassifier
from trainer.nets.xception import Xception

LAST_BLOCK: Final = 8
MAPS: Final = 728
"""Behind each block of the middle flow."""
LEVEL: Final = 1.0
"""Subtracted from the maps before they are rectified, in the units of ImageNet's Xception."""


class MiddleMaps(nn.Module):
    """Block 1's two convolutions and blocks 2 to 8, and what of their maps exceeds the level.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        whole = list(Xception(channels, 2, 0.0, pooled=True).stages)
        self.blocks = nn.Sequential(*whole[: LAST_BLOCK + 1])

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, channels, rows, columns] to [n, 728, grid rows, grid columns]."""
        return (self._maps(images) + self._maps(images.flip(3)).flip(3)) / 2

    def _maps(self, images: Tensor) -> Tensor:
        return torch.relu(self.blocks(images) - LEVEL)


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
        One, `MiddleMaps`.
    """

    def __init__(self, channels: int = 3, classes: int = 2, dropout: float = 0.0) -> None:
        super().__init__(nn.Sequential(MiddleMaps(channels)), MAPS, classes, dropout)


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
    trunk = net.stages[0]
    if not isinstance(trunk, MiddleMaps):
        raise TypeError("the first stage holds the trunk")
    for block, published in zip(trunk.blocks, list(whole.stages)[: LAST_BLOCK + 1], strict=True):
        block.load_state_dict(published.state_dict())
