"""Keras Applications' layer names, and the layers' places in the networks of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from trainer.errors import WeightsError
from trainer.imports.keras_file import StoredLayer

SHORTCUT_BLOCK: Final = {128: 2, 256: 3, 728: 4, 1024: 13}
"""Output channels of one of Xception's four automatically named 1x1 shortcut convolutions -> its block."""
PYRAMID: Final = ("C5_reduced", "C4_reduced", "C3_reduced", "P3", "P4", "P5", "P6", "P7")
FAMILY_MARK: Final = {"resnet50v2": "conv2_block1_preact_bn", "xception": "block1_conv1"}
"""Network -> a layer that it alone has."""
DENSENET_MARKS: Final = ("conv5_block16_2_conv",)
AUTOMATIC: Final = re.compile(r"(conv2d|batch_normalization)(_\d+)?")

Place = Callable[[StoredLayer], str | None]


def family_of(layers: Sequence[StoredLayer]) -> str:
    """Return ``resnet50v2-fpn``, ``resnet50v2``, ``xception`` or ``densenet121``.

    Raises
    ------
    WeightsError
        The layers are of none of these, or of two.
    """
    names = {layer.name for layer in layers}
    found = [family for family, mark in FAMILY_MARK.items() if mark in names]
    found += ["densenet121"] if names.issuperset(DENSENET_MARKS) else []
    if len(found) > 1 or {"conv1_conv", "block1_conv1"} <= names:
        raise WeightsError(
            "the file holds two backbones in one model; such files are not imported, each network has its own"
        )
    if not found:
        some = ", ".join(sorted(names)[:5]) or "none"
        raise WeightsError(
            f"the file's layers (among them: {some}) are those of no network known here: ResNet50V2 with or "
            "without pyramid, Xception, DenseNet-121"
        )
    return "resnet50v2-fpn" if found == ["resnet50v2"] and names & set(PYRAMID) else found[0]


def resnet50v2_place(layer: StoredLayer) -> str | None:
    """Return the module of a layer of ResNet50V2 or its pyramid; None for other names."""
    if layer.name == "conv1_conv":
        return "stages.0.conv"
    if layer.name == "post_bn":
        return "stages.5.norm"
    if layer.name in PYRAMID:
        return f"pyramid.{layer.name.lower()}"
    found = re.fullmatch(r"conv([2-5])_block(\d)_(?:(preact_bn)|([0-3])_(conv|bn))", layer.name)
    if found is None:
        return None
    own = found[3] or f"{found[5]}{found[4]}"
    return f"stages.{int(found[1]) - 1}.blocks.{int(found[2]) - 1}.{own}"


def xception_place(layer: StoredLayer) -> str | None:
    """Return the module of a layer of Xception; its unnamed shortcuts are known by their shape."""
    found = re.fullmatch(r"block(\d+)_(conv|sepconv)(\d)(_bn)?", layer.name)
    if found is not None:
        block, kind, index, norm = int(found[1]), found[2], int(found[3]), bool(found[4])
        if kind == "conv":
            return f"stages.{index - 1}.{int(norm)}"
        return f"stages.{block}.sepconv{index}" + (".norm" if norm else "")
    channels = layer.tensors[0].shape[-1] if layer.tensors[0].shape else 0
    if AUTOMATIC.fullmatch(layer.name) is None or channels not in SHORTCUT_BLOCK:
        return None
    kind = "" if layer.name.startswith("conv2d") else "_norm"
    return f"stages.{SHORTCUT_BLOCK[channels]}.shortcut{kind}"


def densenet121_place(layer: StoredLayer) -> str | None:
    """Return the module of a layer of DenseNet-121; Keras 2 writes ``conv1/conv``, Keras 3 ``conv1_conv``."""
    whole = {"conv1/conv": "0.conv", "conv1_conv": "0.conv", "conv1/bn": "0.norm", "conv1_bn": "0.norm"}
    whole["bn"] = "8.0"
    if layer.name in whole:
        return f"stages.{whole[layer.name]}"
    found = re.fullmatch(r"pool([2-4])_(bn|conv)", layer.name)
    if found is not None:
        return f"stages.{2 * int(found[1]) - 2}.{'norm' if found[2] == 'bn' else 'conv'}"
    found = re.fullmatch(r"conv([2-5])_block(\d+)_(0_bn|1_conv|1_bn|2_conv)", layer.name)
    if found is None:
        return None
    own = {"0_bn": "norm1", "1_conv": "conv1", "1_bn": "norm2", "2_conv": "conv2"}[found[3]]
    return f"stages.{2 * int(found[1]) - 3}.{int(found[2]) - 1}.{own}"


def place_of(family: str) -> Place:
    """Return the function from a layer to its module, for a family that ``family_of`` gave."""
    if family == "densenet121":
        return densenet121_place
    return xception_place if family == "xception" else resnet50v2_place
