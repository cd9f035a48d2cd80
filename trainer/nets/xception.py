"""Xception with the flattened head of Rahimzadeh et al. 2021, section 2.4, or a pooled one.

Chollet, Xception: Deep learning with depthwise separable convolutions (CVPR 2017), as in Keras Applications:
no convolution has a bias, batch-norm epsilon 1e-3, the pools pad like TensorFlow's ``SAME`` with minus
infinity.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from trainer.nets.heads import DenseClassifier, grid_of
from trainer.nets.same_padding import SameConv2d, pad_same

BATCH_NORM_EPSILON: Final = 1e-3
BATCH_NORM_MOMENTUM: Final = 0.01
FEATURES: Final = 2048
MIDDLE_BLOCKS: Final = range(5, 13)
SIZE: Final = (512, 512)
SMALLEST_SIDE: Final = 32
FLAT_DEVIATION: Final = 0.001
"""Of the flattened head's initial kernel, by analogy with the published code of the pyramid network."""


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)


class Separable(nn.Sequential):
    """Depthwise 3x3, pointwise 1x1, batch norm; a ReLU in front where ``relu_first``."""

    def __init__(self, channels_in: int, channels_out: int, relu_first: bool) -> None:
        super().__init__()
        if relu_first:
            self.add_module("relu", nn.ReLU())
        self.add_module("depthwise", SameConv2d(channels_in, channels_in, 3, groups=channels_in))
        self.add_module("pointwise", SameConv2d(channels_in, channels_out, 1))
        self.add_module("norm", _norm(channels_out))


class Reducing(nn.Module):
    """Two separable convolutions and a pool, stride 2, beside a strided 1x1 shortcut (blocks 2, 3, 4, 13)."""

    def __init__(self, channels_in: int, between: int, channels_out: int, relu_first: bool) -> None:
        super().__init__()
        self.sepconv1 = Separable(channels_in, between, relu_first)
        self.sepconv2 = Separable(between, channels_out, True)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride=2, bias=False)
        self.shortcut_norm = _norm(channels_out)

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, channels_in, rows, columns] to [n, channels_out, ceil(rows/2), ceil(columns/2)]."""
        path = pad_same(self.sepconv2(self.sepconv1(images)), 3, 2, float("-inf"))
        shortcut: Tensor = self.shortcut_norm(self.shortcut(images))
        return functional.max_pool2d(path, 3, 2) + shortcut


class Middle(nn.Module):
    """Three separable convolutions with an identity shortcut (blocks 5 to 12)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sepconv1 = Separable(channels, channels, True)
        self.sepconv2 = Separable(channels, channels, True)
        self.sepconv3 = Separable(channels, channels, True)

    def forward(self, images: Tensor) -> Tensor:
        """Keep the shape [n, channels, rows, columns]."""
        path: Tensor = self.sepconv3(self.sepconv2(self.sepconv1(images)))
        return images + path


class Last(nn.Module):
    """Two separable convolutions, each followed by ReLU (block 14)."""

    def __init__(self) -> None:
        super().__init__()
        self.sepconv1 = Separable(1024, 1536, False)
        self.sepconv2 = Separable(1536, FEATURES, False)

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, 1024, rows, columns] to [n, 2048, rows, columns]."""
        return functional.relu(self.sepconv2(functional.relu(self.sepconv1(images))))


def grid_side(side: int) -> int:
    """Return the cells of the last maps along an axis of ``side`` pixels."""
    first = (side - 3) // 2 + 1 - 2  # block 1's two convolutions are not padded
    return -(-first // 16)


class Xception(DenseClassifier):
    """Xception with one dense layer.

    Parameters
    ----------
    channels, classes : int
    dropout : float
        Before the dense layer, in training only.
    size : (int, int)
        Rows and columns of the images; of no meaning where pooled.
    pooled : bool
        Global average pooling in front of the dense layer, instead of flattening.

    Attributes
    ----------
    stages : nn.Sequential
        Block 1's two convolutions (0, 1), then block *k* at index *k*, 2 to 14.
    """

    def __init__(
        self,
        channels: int = 1,
        classes: int = 2,
        dropout: float = 0.5,
        size: tuple[int, int] = SIZE,
        pooled: bool = False,
    ) -> None:
        if not pooled:
            grid_of(size, SMALLEST_SIDE, 1)
        stages = nn.Sequential(
            nn.Sequential(nn.Conv2d(channels, 32, 3, stride=2, bias=False), _norm(32), nn.ReLU()),
            nn.Sequential(nn.Conv2d(32, 64, 3, bias=False), _norm(64), nn.ReLU()),
            Reducing(64, 128, 128, False),
            Reducing(128, 256, 256, True),
            Reducing(256, 728, 728, True),
            *(Middle(728) for _ in MIDDLE_BLOCKS),
            Reducing(728, 728, 1024, True),
            Last(),
        )
        grid = None if pooled else (grid_side(size[0]), grid_side(size[1]))
        deviation = 0.01 if pooled else FLAT_DEVIATION
        super().__init__(stages, FEATURES, classes, dropout, grid=grid, deviation=deviation)
