"""Keras files in the legacy HDF5 layout, written from a network's own weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from trainer.nets.resnet50v2_fpn import ResNet50V2Fpn
from trainer.nets.xception import Xception

Arrays = list[tuple[str, np.ndarray]]
Layers = list[tuple[str, Arrays]]


def conv(layer: nn.Module, depthwise: bool = False) -> Arrays:
    kernel = layer.weight.detach().numpy()
    arrays = [("kernel", kernel.transpose(2, 3, 1, 0))]
    if depthwise:
        arrays = [("depthwise_kernel", kernel.transpose(2, 3, 0, 1))]
    return arrays if layer.bias is None else [*arrays, ("bias", layer.bias.detach().numpy())]


def norm(layer: nn.Module) -> Arrays:
    return [
        ("gamma", layer.weight.detach().numpy()),
        ("beta", layer.bias.detach().numpy()),
        ("moving_mean", layer.running_mean.numpy()),
        ("moving_variance", layer.running_var.numpy()),
    ]


def separable(layer: nn.Module) -> Arrays:
    pointwise = layer.pointwise.weight.detach().numpy().transpose(2, 3, 1, 0)
    return [*conv(layer.depthwise, depthwise=True), ("pointwise_kernel", pointwise)]


def dense(layer: nn.Linear, grid: tuple[int, int] | None) -> Arrays:
    kernel = layer.weight.detach().numpy()
    if grid is not None:  # Keras flattens rows, columns, channels
        kernel = kernel.reshape(len(kernel), -1, *grid).transpose(0, 2, 3, 1).reshape(len(kernel), -1)
    return [("kernel", kernel.T), ("bias", layer.bias.detach().numpy())]


def backbone_layers(stages: nn.Sequential) -> Layers:
    """ResNet50V2 as Keras Applications names and orders it."""
    layers: Layers = [("conv1_conv", conv(stages[0].conv))]
    for stack in range(2, 6):
        for number, block in enumerate(stages[stack - 1].blocks, start=1):
            name = f"conv{stack}_block{number}"
            layers += [
                (f"{name}_preact_bn", norm(block.preact_bn)),
                (f"{name}_preact_relu", []),
                (f"{name}_1_conv", conv(block.conv1)),
                (f"{name}_1_bn", norm(block.bn1)),
                (f"{name}_2_conv", conv(block.conv2)),
                (f"{name}_2_bn", norm(block.bn2)),
            ]
            if number == 1:
                layers.append((f"{name}_0_conv", conv(block.conv0)))
            layers.append((f"{name}_3_conv", conv(block.conv3)))
    return [*layers, ("post_bn", norm(stages[5].norm))]


def fpn_layers(net: ResNet50V2Fpn) -> Layers:
    layers = backbone_layers(net.stages)
    for name in ("C5_reduced", "C4_reduced", "C3_reduced", "P6", "P3", "P4", "P5", "P7"):
        layers.append((name, conv(getattr(net.pyramid, name.lower()))))
    side = net.grid[0]
    sides = (2 * side - 2, side - 2, side, -(-side // 2), -(-side // 4))
    denses = [
        (f"dense_{index}", dense(head, (cells, cells)))
        for index, (head, cells) in enumerate(zip(net.heads, sides, strict=True), start=7)
    ]
    return [*layers, ("flatten", []), *reversed(denses), ("dense_12", dense(net.head, None))]


def xception_layers(net: Xception) -> Layers:
    layers: Layers = []
    for index in (0, 1):
        layers += [(f"block1_conv{index + 1}", conv(net.stages[index][0]))]
        layers += [(f"block1_conv{index + 1}_bn", norm(net.stages[index][1]))]
    for block in range(2, 15):
        stage = net.stages[block]
        for index in range(1, 4 if 5 <= block <= 12 else 3):
            unit = getattr(stage, f"sepconv{index}")
            layers.append((f"block{block}_sepconv{index}", separable(unit)))
            layers.append((f"block{block}_sepconv{index}_bn", norm(unit.norm)))
        if block in (2, 3, 4, 13):
            suffix = {2: "_5", 3: "_6", 4: "_7", 13: ""}[block]
            layers.append((f"conv2d{suffix}", conv(stage.shortcut)))
            layers.append((f"batch_normalization{suffix}", norm(stage.shortcut_norm)))
    return [*layers, ("dense", dense(net.head, net.grid))]


def densenet121_layers(stages: list[nn.Module]) -> Layers:
    layers: Layers = [("conv1/conv", conv(stages[0].conv)), ("conv1/bn", norm(stages[0].norm))]
    for stack in range(2, 6):
        for number, layer in enumerate(stages[2 * stack - 3], start=1):
            name = f"conv{stack}_block{number}"
            layers += [(f"{name}_0_bn", norm(layer.norm1)), (f"{name}_1_conv", conv(layer.conv1))]
            layers += [(f"{name}_1_bn", norm(layer.norm2)), (f"{name}_2_conv", conv(layer.conv2))]
        if stack < 5:
            transition = stages[2 * stack - 2]
            layers += [
                (f"pool{stack}_bn", norm(transition.norm)),
                (f"pool{stack}_conv", conv(transition.conv)),
            ]
    return [*layers, ("bn", norm(stages[8][0]))]


def write_layers(
    file: Path, layers: Layers, *, whole: bool = True, suffix: str = "", split: bool = False, kind: str = "f4"
) -> Path:
    """Write layers as Keras 2 does: ``whole`` as a model with optimiser, else weights alone."""
    with h5py.File(file, "w") as root:
        group: Any = root
        if whole:
            group = root.create_group("model_weights")
            root.create_group("optimizer_weights").create_dataset("iterations:0", data=7)
            root.attrs["keras_version"] = "2.3.0"
        names = np.array([name.encode() for name, _ in layers])
        if split:
            for part, chunk in enumerate(np.array_split(names, 3)):
                group.attrs[f"layer_names{part}"] = chunk
        else:
            group.attrs["layer_names"] = names
        for name, arrays in layers:
            own = group.create_group(name)
            paths = [f"{name}{suffix}/{array}:0" for array, _ in arrays]
            own.attrs["weight_names"] = np.array([path.encode() for path in paths])
            for path, (_, values) in zip(paths, arrays, strict=True):
                own.create_dataset(path, data=values.astype(kind))
    return file


def shaken(net: nn.Module) -> nn.Module:
    """Give norms and dense layers values that matter, so that a swapped tensor shows."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.2, generator=generator)
                layer.running_var.uniform_(0.5, 2, generator=generator)
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.normal_(0, 0.3, generator=generator)
            elif isinstance(layer, nn.Linear):
                layer.weight.normal_(0, 0.02, generator=generator)
                layer.bias.normal_(0, 0.1, generator=generator)
    return net.eval()


@pytest.fixture(scope="package")
def write() -> Callable[..., Path]:
    return write_layers


@pytest.fixture(scope="package")
def fpn() -> ResNet50V2Fpn:
    torch.manual_seed(1)
    return shaken(ResNet50V2Fpn(size=(128, 128)))


@pytest.fixture(scope="package")
def fpn_file(fpn: ResNet50V2Fpn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A whole model with split attributes and suffixed variables, heads not in the order of creation."""
    file = tmp_path_factory.mktemp("fpn") / "FPN.hdf5"
    yield write_layers(file, fpn_layers(fpn), suffix="_1", split=True)
    file.unlink()


@pytest.fixture(scope="package")
def make_layers() -> dict[str, Callable[..., Layers]]:
    return {
        "resnet50v2-fpn": fpn_layers,
        "xception": xception_layers,
        "densenet121": densenet121_layers,
        "resnet50v2": backbone_layers,
    }


@pytest.fixture(scope="package")
def shake() -> Callable[[nn.Module], nn.Module]:
    return shaken
