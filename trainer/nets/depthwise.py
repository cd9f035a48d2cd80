"""A depthwise convolution whose backward pass is quick in bfloat16 on CPUs.

PyTorch's own backward of a bfloat16 depthwise convolution takes a reference path that needs several times the
forward's time. Here the gradient of the weights is summed per kernel cell in float32 and the gradient of the
input is a depthwise convolution with the kernel turned by 180 degrees.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class _Depthwise(torch.autograd.Function):
    """Depthwise convolution, square kernel, one stride and one border of zeros for both axes."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int, border: int) -> Tensor:
        """Convolve ``images`` [n, c, rows, columns] with ``weight`` [c, 1, k, k]."""
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.border = stride, border
        return functional.conv2d(images, weight, None, stride, border, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Return the gradients of the input and of the weight."""
        images, weight = ctx.saved_tensors
        gradient, way = gradients[0], (ctx.stride, ctx.border)
        needs_input, needs_weight = ctx.needs_input_grad[:2]
        to_input = _input_gradient(gradient, weight, images.shape, *way) if needs_input else None
        to_weight = _weight_gradient(gradient, images, weight, *way) if needs_weight else None
        return to_input, to_weight, None, None


def _input_gradient(gradient: Tensor, weight: Tensor, shape: torch.Size, stride: int, border: int) -> Tensor:
    channels, _, side, _ = weight.shape
    if stride > 1:
        spread = gradient.new_zeros(
            gradient.shape[0],
            channels,
            (gradient.shape[2] - 1) * stride + 1,
            (gradient.shape[3] - 1) * stride + 1,
        ).contiguous(memory_format=torch.channels_last)
        spread[:, :, ::stride, ::stride] = gradient
        gradient = spread
    before = side - 1 - border
    after = [size + border - given for size, given in zip(shape[2:], gradient.shape[2:], strict=True)]
    if after == [before, before]:
        return functional.conv2d(gradient, weight.flip(2, 3), None, 1, before, 1, channels)
    padded = functional.pad(gradient, (before, after[1], before, after[0]))
    return functional.conv2d(padded, weight.flip(2, 3), None, 1, 0, 1, channels)


def _weight_gradient(gradient: Tensor, images: Tensor, weight: Tensor, stride: int, border: int) -> Tensor:
    result: Tensor = torch.ops.aten.convolution_backward(
        gradient.float(),
        images.float(),
        weight.float(),
        None,
        [stride, stride],
        [border, border],
        [1, 1],
        False,
        [0, 0],
        weight.shape[0],
        [False, True, False],
    )[1]
    return result.to(weight.dtype)


def depthwise_convolution(images: Tensor, weight: Tensor, stride: int, border: int = 0) -> Tensor:
    """Convolve each channel with its own kernel.

    Parameters
    ----------
    images : Tensor, shape (n, channels, rows, columns)
    weight : Tensor, shape (channels, 1, k, k)
    stride : int
    border : int
        Zeros before and behind either axis, fewer than k.

    Returns
    -------
    Tensor, shape (n, channels, (rows + 2 border - k) // stride + 1, (columns + 2 border - k) // stride + 1)
        In the precision of an enclosing autocast region, else in that of ``images``.
    """
    if torch.is_autocast_enabled("cpu"):
        kind = torch.get_autocast_dtype("cpu")
        images, weight = images.to(kind), weight.to(kind)
    result: Tensor = _Depthwise.apply(images, weight, stride, border)  # type: ignore[no-untyped-call]  # torch has no types here
    return result
