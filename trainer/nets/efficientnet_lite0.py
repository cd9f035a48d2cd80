"""EfficientNet-Lite0: inverted residual blocks with ReLU6, without squeeze-and-excitation.

Tan and Le, EfficientNet (ICML 2019), in the Lite variant published with TensorFlow: fixed stem and head,
ReLU6 instead of swish, batch-norm epsilon 1e-3, ``SAME`` padding. The classification head is global average
pooling and one dense layer, so that Grad-CAM has a closed form.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from trainer.errors import WeightsError
from trainer.nets.heads import DenseClassifier
from trainer.nets.same_padding import SameConv2d

BATCH_NORM_EPSILON: Final = 1e-3
BATCH_NORM_MOMENTUM: Final = 0.01
STEM_CHANNELS: Final = 32
FEATURES: Final = 1280
STAGES: Final = (
    # repeats, kernel, stride of the first block, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)


class InvertedResidual(nn.Module):
    """Expand (1x1), convolve each channel (k x k), project (1x1); add the input where shapes allow."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        layers: list[tuple[str, nn.Module]] = []
        if expansion != 1:
            layers += [
                ("expand", SameConv2d(channels_in, wide, 1)),
                ("expand_norm", _norm(wide)),
                ("expand_relu", nn.ReLU6()),
            ]
        layers += [
            ("depthwise", SameConv2d(wide, wide, kernel, stride, groups=wide)),
            ("depthwise_norm", _norm(wide)),
            ("depthwise_relu", nn.ReLU6()),
            ("project", SameConv2d(wide, channels_out, 1)),
            ("project_norm", _norm(channels_out)),
        ]
        self.path = nn.Sequential()
        for name, layer in layers:
            self.path.add_module(name, layer)
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, channels_in, rows, columns] to [n, channels_out, rows/stride, columns/stride]."""
        result: Tensor = self.path(images)
        return images + result if self.residual else result


class EfficientNetLite0(DenseClassifier):
    """EfficientNet-Lite0 with a dense head of ``classes`` units.

    Parameters
    ----------
    channels : int
        Input channels; 3, or 1 (the ImageNet stem is then summed over its input channels).
    classes : int
    dropout : float
        Before the dense layer, in training only.

    Attributes
    ----------
    stages : nn.Sequential
        Stem, sixteen blocks and the head convolution, in order; ``features`` runs them all.
    """

    def __init__(self, channels: int = 3, classes: int = 2, dropout: float = 0.2) -> None:
        blocks: list[nn.Module] = [
            nn.Sequential(SameConv2d(channels, STEM_CHANNELS, 3, 2), _norm(STEM_CHANNELS), nn.ReLU6())
        ]
        width = STEM_CHANNELS
        for repeats, kernel, stride, expansion, wider in STAGES:
            for index in range(repeats):
                blocks.append(InvertedResidual(width, wider, kernel, stride if index == 0 else 1, expansion))
                width = wider
        blocks.append(nn.Sequential(SameConv2d(width, FEATURES, 1), _norm(FEATURES), nn.ReLU6()))
        super().__init__(nn.Sequential(*blocks), FEATURES, classes, dropout)


def _own_name(published: str) -> str | None:
    """Return this module's name of a tensor of the published PyTorch file; None where it is not wanted."""
    if published.endswith("num_batches_tracked") or published.startswith("_fc."):
        return None
    stem = {
        "_conv_stem": "stages.0.0",
        "_bn0": "stages.0.1",
        "_conv_head": "stages.17.0",
        "_bn1": "stages.17.1",
    }
    first, _, rest = published.partition(".")
    if first in stem:
        return f"{stem[first]}.{rest}"
    found = re.fullmatch(r"_blocks\.(\d+)\._(\w+)\.(\w+)", published)
    if found is None:
        raise WeightsError(
            f"tensor {published!r} belongs to no layer of EfficientNet-Lite0; give another --init file"
        )
    block, layer, kind = int(found[1]), found[2], found[3]
    names = {
        "expand_conv": "expand",
        "bn0": "expand_norm",
        "depthwise_conv": "depthwise",
        "bn1": "depthwise_norm",
        "project_conv": "project",
        "bn2": "project_norm",
    }
    if layer not in names:
        raise WeightsError(
            f"tensor {published!r} belongs to no layer of EfficientNet-Lite0; give another --init file"
        )
    return f"stages.{block + 1}.path.{names[layer]}.{kind}"


def load_imagenet(net: EfficientNetLite0, file: Path) -> None:
    """Load the published ImageNet weights (a ``.pth`` state dictionary) into all layers but the head.

    Raises
    ------
    WeightsError
        A tensor is missing, left over or of another shape.
    """
    try:
        published: Mapping[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"{file.name} is no PyTorch state dictionary ({error}); give another --init file"
        ) from error
    own = net.state_dict()
    found: set[str] = set()
    for name, read in published.items():
        target = _own_name(name)
        if target is None:
            continue
        summed = target == "stages.0.0.weight" and own[target].shape[1] == 1
        tensor = read.sum(dim=1, keepdim=True) if summed else read
        if target not in own or own[target].shape != tensor.shape:
            raise WeightsError(
                f"tensor {name!r} of shape {tuple(tensor.shape)} does not fit EfficientNet-Lite0"
            )
        own[target].copy_(tensor)
        found.add(target)
    missing = [
        name
        for name in own
        if not name.startswith("head.") and not name.endswith("num_batches_tracked") and name not in found
    ]
    if missing:
        raise WeightsError(f"{file.name} lacks {len(missing)} tensors, the first {missing[0]!r}")
