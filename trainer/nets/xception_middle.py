"""Xception up to block 10: a trunk that stays as ImageNet left it, and one dense layer.

The last blocks of an ImageNet network tell objects apart; texture and small opacities are told in the middle
flow. Each block there begins with a ReLU, so the maps behind blocks 8 and 10 are rectified as the next block
would read them, laid side by side, pooled and judged. The maps are the mean of those of the image and of its
mirror image, turned back: both get the same score, and Grad-CAM explains that mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from trainer.imports.imagenet import load_xception
from trainer.nets.heads import DenseClassifier
from trainer.nets.xception import Xception

FIRST_TAP: Final = 8
LAST_TAP: Final = 10
MAPS: Final = 728
"""Behind each block of the middle flow."""


class MiddleMaps(nn.Module):
    """Block 1's two convolutions and blocks 2 to 10, with rectified maps behind blocks 8 and 10.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        whole = list(Xception(channels, 2, 0.0, pooled=True).stages)
        self.first = nn.Sequential(*whole[: FIRST_TAP + 1])
        self.second = nn.Sequential(*whole[FIRST_TAP + 1 : LAST_TAP + 1])

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, channels, rows, columns] to [n, 1456, grid rows, grid columns]."""
        return (self._maps(images) + self._maps(images.flip(3)).flip(3)) / 2

    def _maps(self, images: Tensor) -> Tensor:
        first = self.first(images)
        return torch.cat([torch.relu(first), torch.relu(self.second(first))], dim=1)


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
        super().__init__(nn.Sequential(MiddleMaps(channels)), 2 * MAPS, classes, dropout)


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
    own = [*trunk.first, *trunk.second]
    for block, published in zip(own, list(whole.stages)[: LAST_TAP + 1], strict=True):
        block.load_state_dict(published.state_dict())
