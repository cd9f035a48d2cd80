"""Xception with global average pooling and one dense layer.

Chollet, Xception: Deep learning with depthwise separable convolutions (CVPR 2017), as in Keras Applications:
no convolution has a bias, batch-norm epsilon 1e-3, the pools pad like TensorFlow's ``SAME`` with minus
infinity.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.errors import WeightsError
from trainer.nets.same_padding import SameConv2d, pad_same

BATCH_NORM_EPSILON: Final = 1e-3
BATCH_NORM_MOMENTUM: Final = 0.01
FEATURES: Final = 2048
MIDDLE_BLOCKS: Final = range(5, 13)
SHORTCUT_BLOCK: Final = {128: 2, 256: 3, 728: 4, 1024: 13}
"""Output channels of an auto-named 1x1 shortcut convolution -> its block."""


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


class Xception(nn.Module):
    """Xception with a dense head of ``classes`` units.

    Attributes
    ----------
    stages : nn.Sequential
        Block 1's two convolutions (0, 1), then block *k* at index *k*, 2 to 14.
    """

    def __init__(self, channels: int = 3, classes: int = 2, dropout: float = 0.2) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            nn.Sequential(nn.Conv2d(channels, 32, 3, stride=2, bias=False), _norm(32), nn.ReLU()),
            nn.Sequential(nn.Conv2d(32, 64, 3, bias=False), _norm(64), nn.ReLU()),
            Reducing(64, 128, 128, False),
            Reducing(128, 256, 256, True),
            Reducing(256, 728, 728, True),
            *(Middle(728) for _ in MIDDLE_BLOCKS),
            Reducing(728, 728, 1024, True),
            Last(),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(FEATURES, classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def features(self, images: Tensor) -> Tensor:
        """Return the last feature maps [n, 2048, grid rows, grid columns]."""
        result: Tensor = self.stages(images)
        return result

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores before the softmax, [n, classes]."""
        result: Tensor = self.head(self.dropout(self.features(images).mean(dim=(2, 3))))
        return result


def load_imagenet(net: Xception, file: Path) -> None:
    """Load the backbone of a Keras 3 file (``.keras``) that holds Keras Applications' Xception.

    Only the zip's ``config.json`` and the HDF5 arrays are read; nothing is unpickled or instantiated.

    Raises
    ------
    WeightsError
        The file holds no Xception, or a tensor is missing, left over or of another shape.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            config = json.loads(archive.read("config.json"))
            weights = h5py.File(BytesIO(archive.read("model.weights.h5")), "r")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{file.name} is no Keras 3 file ({error}); give another --init file") from error
    own = net.state_dict()
    found: set[str] = set()
    with weights:
        for layer, arrays in _backbone_arrays(config, weights):
            for target, read in _own_tensors(layer, arrays).items():
                summed = target == "stages.0.0.weight" and own[target].shape[1] == 1
                tensor = read.sum(dim=1, keepdim=True) if summed else read
                if target not in own or own[target].shape != tensor.shape:
                    raise WeightsError(
                        f"layer {layer!r}: shape {tuple(tensor.shape)} does not fit Xception's {target}"
                    )
                own[target].copy_(tensor)
                found.add(target)
    missing = [
        name
        for name in own
        if not name.startswith("head.") and not name.endswith("num_batches_tracked") and name not in found
    ]
    if missing:
        raise WeightsError(
            f"{file.name} lacks {len(missing)} of Xception's tensors, the first {missing[0]!r}"
        )


def _backbone_arrays(config: Mapping[str, Any], weights: h5py.File) -> list[tuple[str, list[np.ndarray]]]:
    """Return (layer name, its arrays) of the nested Xception, in the order in which Keras 3 stores them.

    Keras 3 names a stored layer by its class and a running number within its model, not by the layer's name;
    the names are found again by counting the classes in the configuration.
    """
    nested = [
        layer
        for layer in config["config"]["layers"]
        if layer.get("class_name") == "Functional" and layer["config"].get("name") == "xception"
    ]
    if len(nested) != 1:
        raise WeightsError(
            "the file's configuration holds no model named 'xception'; give another --init file"
        )
    stored = {
        "Conv2D": "conv2d",
        "SeparableConv2D": "separable_conv2d",
        "BatchNormalization": "batch_normalization",
    }
    counts: Counter[str] = Counter()
    result = []
    for layer in nested[0]["config"]["layers"]:
        name = stored.get(layer["class_name"])
        if name is None:
            continue
        index = counts[name]
        counts[name] += 1
        path = f"layers/functional/layers/{name}{f'_{index}' if index else ''}/vars"
        if path not in weights:
            raise WeightsError(f"the file's array group {path!r} is missing; give another --init file")
        group = weights[path]
        result.append((layer["config"]["name"], [np.asarray(group[str(i)]) for i in range(len(group))]))
    return result


def _own_tensors(layer: str, arrays: list[np.ndarray]) -> dict[str, Tensor]:
    """Return {this module's tensor name: tensor} of one Keras layer."""
    target = _own_module(layer, arrays)
    if len(arrays) == 4:
        kinds = ("weight", "bias", "running_mean", "running_var")
        return {
            f"{target}.{kind}": torch.from_numpy(array) for kind, array in zip(kinds, arrays, strict=True)
        }
    if len(arrays) == 2:  # Keras: depthwise (kh, kw, in, 1), pointwise (1, 1, in, out)
        return {
            f"{target}.depthwise.weight": torch.from_numpy(arrays[0].transpose(2, 3, 0, 1).copy()),
            f"{target}.pointwise.weight": torch.from_numpy(arrays[1].transpose(3, 2, 0, 1).copy()),
        }
    if len(arrays) == 1:  # Keras: (kh, kw, in, out)
        return {f"{target}.weight": torch.from_numpy(arrays[0].transpose(3, 2, 0, 1).copy())}
    raise WeightsError(f"layer {layer!r} holds {len(arrays)} arrays; Xception has none such")


def _own_module(layer: str, arrays: list[np.ndarray]) -> str:
    found = re.fullmatch(r"block(\d+)_(conv|sepconv)(\d)(_bn)?", layer)
    if found is not None:
        block, kind, index, norm = int(found[1]), found[2], int(found[3]), bool(found[4])
        if kind == "conv":
            return f"stages.{index - 1}.{int(norm)}"
        return f"stages.{block}.sepconv{index}" + (".norm" if norm else "")
    channels = arrays[0].shape[-1]
    if not re.fullmatch(r"(conv2d|batch_normalization)(_\d+)?", layer) or channels not in SHORTCUT_BLOCK:
        raise WeightsError(f"layer {layer!r} belongs to no layer of Xception; give another --init file")
    return f"stages.{SHORTCUT_BLOCK[channels]}.shortcut" + ("_norm" if len(arrays) == 4 else "")
