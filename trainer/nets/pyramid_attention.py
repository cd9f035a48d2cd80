"""The feature pyramid attention module, light form.

Li et al., Pyramid attention network for semantic segmentation (BMVC 2018), section 3.1: the 1x1-convolved
features are multiplied, pixel by pixel, with a map from a pyramid of 7x7, 5x5 and 3x3 convolutions at a
half, a quarter and an eighth of the resolution; a globally pooled branch is added. Here the pyramid has one
channel, which keeps the module at a third of DenseNet-121's size.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional

MULTIPLE: Final = 8
"""The grid is halved three times."""


def _unit(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


def _enlarged(maps: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(maps, size=like.shape[2:], mode="bilinear", align_corners=True)


class PyramidAttention(nn.Module):
    """Feature pyramid attention.

    Parameters
    ----------
    channels_in, channels_out : int

    Notes
    -----
    On a grid of 8 x 8 the pooled branch and the pyramid's tip are 1 x 1: in training a batch needs at least
    two images for their batch norms.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.pooled = _unit(channels_in, channels_out, 1)
        self.middle = _unit(channels_in, channels_out, 1)
        self.down_half = _unit(channels_in, 1, 7)
        self.down_quarter = _unit(1, 1, 5)
        self.down_eighth = nn.Sequential(_unit(1, 1, 3), _unit(1, 1, 3))
        self.across_quarter = _unit(1, 1, 5)
        self.across_half = _unit(1, 1, 7)

    def forward(self, maps: Tensor) -> Tensor:
        """Map [n, channels_in, rows, columns] to [n, channels_out, rows, columns], none negative."""
        half = self.down_half(functional.max_pool2d(maps, 2))
        quarter = self.down_quarter(functional.max_pool2d(half, 2))
        eighth = self.down_eighth(functional.max_pool2d(quarter, 2))
        attention = self.across_quarter(quarter) + _enlarged(eighth, quarter)
        attention = self.across_half(half) + _enlarged(attention, half)
        pooled = self.pooled(maps.mean(dim=(2, 3), keepdim=True))
        result: Tensor = self.middle(maps) * _enlarged(attention, maps) + pooled
        return result
