"""ResNet50V2 for one-channel CT slices, with the flattened head, or the pooled one.

He et al., Identity mappings in deep residual networks (ECCV 2016), as in Keras Applications (``resnet_v2``),
which differs from other definitions: the stride sits in the last block of a stack, whose shortcut takes every
second pixel of the raw input; the first and the expanding convolutions have biases; the stem's pool pads with
zeros; batch-norm epsilon 1.001e-5. The head follows Rahimzadeh et al. 2021, section 2.4.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.nets.heads import DenseClassifier, Features, explained, grid_of, with_explained

BATCH_NORM_EPSILON: Final = 1.001e-5
BATCH_NORM_MOMENTUM: Final = 0.01
FEATURES: Final = 2048
EXPANSION: Final = 4
STACKS: Final = (
    # channels in, channels between, blocks, stride of the last block; conv2 to conv5
    (64, 64, 3, 2),
    (256, 128, 4, 2),
    (512, 256, 6, 2),
    (1024, 512, 3, 1),
)
SIZE: Final = (512, 512)
HEAD_DEVIATION: Final = 0.001
"""Of the initial dense kernels, in the code published with Rahimzadeh et al. 2021."""


def norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm with Keras' numbers."""
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)


def initialise_convolutions(net: nn.Module) -> None:
    """Give all convolutions Keras' initial values: Glorot uniform kernels, biases of zero."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Stem(nn.Module):
    """Convolution 7x7 with stride 2 and bias, then a 3x3 pool with stride 2 over a border of zeros."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 64, 7, stride=2, padding=3)

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, channels, rows, columns] to [n, 64, rows/4, columns/4]."""
        # No ReLU precedes the pool, so zeros in the border are not the same as minus infinity.
        return functional.max_pool2d(functional.pad(self.conv(images), (1, 1, 1, 1)), 3, 2)


class Block(nn.Module):
    """A pre-activated bottleneck.

    Parameters
    ----------
    channels : int
        Of the input.
    between : int
        Of the bottleneck; the output has four times as many.
    stride : int
        Of the 3x3 convolution and of the shortcut.
    projected : bool
        Whether the shortcut is a 1x1 convolution of the pre-activated input (first block of a stack).
    """

    def __init__(self, channels: int, between: int, stride: int, projected: bool) -> None:
        super().__init__()
        wide = EXPANSION * between
        self.stride = stride
        self.preact_bn = norm(channels)
        self.conv0 = nn.Conv2d(channels, wide, 1) if projected else None
        self.conv1 = nn.Conv2d(channels, between, 1, bias=False)
        self.bn1 = norm(between)
        self.conv2 = nn.Conv2d(between, between, 3, stride=stride, padding=1, bias=False)
        self.bn2 = norm(between)
        self.conv3 = nn.Conv2d(between, wide, 1)

    def preactivated(self, images: Tensor) -> Tensor:
        """Return the input after batch norm and ReLU, in its own shape."""
        result: Tensor = functional.relu(self.preact_bn(images))
        return result

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, channels, rows, columns] to [n, 4 between, rows/stride, columns/stride]."""
        return self.residual(images, self.preactivated(images))

    def residual(self, images: Tensor, preactivated: Tensor) -> Tensor:
        """Return the block's output, given the pre-activated input."""
        if self.conv0 is not None:
            shortcut: Tensor = self.conv0(preactivated)
        else:
            # A mean of one pixel takes every second pixel; unlike slicing, its gradient stays channels last.
            shortcut = images if self.stride == 1 else functional.avg_pool2d(images, 1, self.stride)
        path = functional.relu(self.bn1(self.conv1(preactivated)))
        path = self.conv3(functional.relu(self.bn2(self.conv2(path))))
        result: Tensor = shortcut + path
        return result


class Stack(nn.Module):
    """Blocks of one width.

    Parameters
    ----------
    channels, between, blocks, stride : int
        A row of ``STACKS``.
    tapped : bool
        Also hand on the first block's pre-activated input, before the output.
    """

    def __init__(self, channels: int, between: int, blocks: int, stride: int, tapped: bool = False) -> None:
        super().__init__()
        wide = EXPANSION * between
        self.tapped = tapped
        self.blocks = nn.ModuleList(
            Block(channels if index == 0 else wide, between, stride if index == blocks - 1 else 1, index == 0)
            for index in range(blocks)
        )

    def forward(self, features: Features) -> Features:
        """Map the last entry through all blocks; earlier entries are handed on."""
        images = explained(features)
        first = self.blocks[0]
        if not isinstance(first, Block):
            raise TypeError("a stack holds blocks only")
        preactivated = first.preactivated(images)
        result = first.residual(images, preactivated)
        for block in list(self.blocks)[1:]:
            result = block(result)
        if not self.tapped:
            return with_explained(features, result)
        before = features[:-1] if isinstance(features, tuple) else ()
        return (*before, preactivated, result)


class Last(nn.Module):
    """Batch norm and ReLU behind the last stack."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = norm(FEATURES)

    def forward(self, features: Features) -> Features:
        """Keep the shape; earlier entries are handed on."""
        return with_explained(features, torch.relu(self.norm(explained(features))))


def resnet50v2_stages(channels: int, tapped: bool = False) -> nn.Sequential:
    """Return stem, stacks conv2 to conv5, and the last norm.

    Parameters
    ----------
    channels : int
        Of the images.
    tapped : bool
        Let the stages end in (C3, C4, C5) instead of C5: what the blocks ``conv4_block1`` and
        ``conv5_block1`` pre-activate, and the last maps.
    """
    stacks = [Stack(*row, tapped=tapped and index >= len(STACKS) - 2) for index, row in enumerate(STACKS)]
    stages = nn.Sequential(Stem(channels), *stacks, Last())
    initialise_convolutions(stages)
    return stages


class ResNet50V2(DenseClassifier):
    """ResNet50V2 with one dense layer.

    Parameters
    ----------
    channels, classes : int
    dropout : float
        Before the dense layer, in training only.
    size : (int, int)
        Rows and columns of the images, multiples of 32.
    pooled : bool
        Global average pooling in front of the dense layer, instead of flattening.
    """

    def __init__(
        self,
        channels: int = 1,
        classes: int = 2,
        dropout: float = 0.5,
        size: tuple[int, int] = SIZE,
        pooled: bool = False,
    ) -> None:
        grid = grid_of(size, 32, 32)
        stages = resnet50v2_stages(channels)
        super().__init__(
            stages,
            FEATURES,
            classes,
            dropout,
            grid=None if pooled else grid,
            deviation=HEAD_DEVIATION,
        )
