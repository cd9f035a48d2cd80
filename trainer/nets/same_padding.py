"""TensorFlow's ``SAME`` padding: the smaller half in front, the amount depending on the input size.

PyTorch's ``padding=k//2`` differs from it wherever the stride is 2 and the input side even, by one pixel of
shift; ImageNet weights trained with the one are not exact under the other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.nets.depthwise import depthwise_convolution


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how many cells ``SAME`` padding adds before and after one axis.

    Parameters
    ----------
    size : int
        Input cells along the axis.
    kernel, stride : int
        Of the convolution or pooling along the axis.

    Returns
    -------
    before, after : int
        ``after - before`` is 0 or 1; the output has ``ceil(size / stride)`` cells.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(images: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """Pad the two last axes of ``images`` [n, c, rows, columns] as ``SAME`` would."""
    top, bottom = same_padding(images.shape[-2], kernel, stride)
    left, right = same_padding(images.shape[-1], kernel, stride)
    if not (top or bottom or left or right):
        return images
    return functional.pad(images, (left, right, top, bottom), value=value)


class SameConv2d(nn.Conv2d):
    """A convolution without bias, with square kernel and TensorFlow's ``SAME`` padding.

    Parameters
    ----------
    channels_in, channels_out, kernel, stride : int
    groups : int
        1, or ``channels_in`` for a depthwise convolution (then trained with a faster backward pass).
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels_in, channels_out, kernel, stride=stride, groups=groups, bias=False)
        self.side = kernel
        self.step = stride

    def forward(self, images: Tensor) -> Tensor:
        """Convolve [n, c, rows, columns] to [n, channels_out, ceil(rows/stride), ceil(columns/stride)]."""
        images, border = self.bordered(images)
        depthwise = self.groups == self.in_channels == self.out_channels
        if depthwise and self.training and torch.is_grad_enabled():
            return depthwise_convolution(images, self.weight, self.step, border)
        return functional.conv2d(images, self.weight, None, self.step, border, 1, self.groups)

    def bordered(self, images: Tensor) -> tuple[Tensor, int]:
        """Return padded images and 0, or the images and the border where it is the same on all edges."""
        if self.step == 1 and self.side % 2:
            return images, self.side // 2
        return pad_same(images, self.side, self.step), 0
