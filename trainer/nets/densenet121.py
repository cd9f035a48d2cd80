"""DenseNet-121 without its top.

Huang et al., Densely connected convolutional networks (CVPR 2017), as in Keras Applications: batch-norm
epsilon 1.001e-5, no convolution has a bias, the last maps pass a batch norm and a ReLU.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.nets.resnet50v2 import initialise_convolutions, norm

GROWTH: Final = 32
BOTTLENECK: Final = 4 * GROWTH
BLOCKS: Final = (6, 12, 24, 16)
STEM_CHANNELS: Final = 64
FEATURES: Final = 1024


class Stem(nn.Module):
    """Convolution 7x7 with stride 2, batch norm, ReLU, 3x3 pool with stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, STEM_CHANNELS, 7, stride=2, padding=3, bias=False)
        self.norm = norm(STEM_CHANNELS)

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, channels, rows, columns] to [n, 64, rows/4, columns/4]."""
        return functional.max_pool2d(functional.relu(self.norm(self.conv(images))), 3, 2, 1)


class DenseLayer(nn.Module):
    """Batch norm, ReLU, 1x1, batch norm, ReLU, 3x3; the 32 new maps are appended to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = norm(channels)
        self.conv1 = nn.Conv2d(channels, BOTTLENECK, 1, bias=False)
        self.norm2 = norm(BOTTLENECK)
        self.conv2 = nn.Conv2d(BOTTLENECK, GROWTH, 3, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, channels, rows, columns] to [n, channels + 32, rows, columns]."""
        between = self.conv1(functional.relu(self.norm1(images)))
        return torch.cat([images, self.conv2(functional.relu(self.norm2(between)))], dim=1)


class Transition(nn.Module):
    """Batch norm, ReLU, 1x1 convolution to half the channels, 2x2 mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.conv = nn.Conv2d(channels, channels // 2, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, channels, rows, columns] to [n, channels/2, rows/2, columns/2]."""
        return functional.avg_pool2d(self.conv(functional.relu(self.norm(images))), 2)


def densenet121_stages(channels: int) -> list[nn.Module]:
    """Return stem, four dense blocks with three transitions between, and the last norm with its ReLU.

    Parameters
    ----------
    channels : int
        Of the images.

    Returns
    -------
    list of nn.Module
        Nine stages; together they map [n, channels, rows, columns] to [n, 1024, rows/32, columns/32].
    """
    stages: list[nn.Module] = [Stem(channels)]
    width = STEM_CHANNELS
    for index, layers in enumerate(BLOCKS):
        stages.append(nn.Sequential(*(DenseLayer(width + GROWTH * layer) for layer in range(layers))))
        width += GROWTH * layers
        if index < len(BLOCKS) - 1:
            stages.append(Transition(width))
            width //= 2
    stages.append(nn.Sequential(norm(width), nn.ReLU()))
    for stage in stages:
        initialise_convolutions(stage)
    return stages
