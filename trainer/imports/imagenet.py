"""Initial weights: Keras Applications' files without top, into the stages of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import nn

from trainer.errors import WeightsError
from trainer.imports.keras_file import keras_file
from trainer.imports.mapping import filled, plan_moves
from trainer.imports.names import family_of, place_of

STEMS: Final = {
    "resnet50v2": "stages.0.conv.weight",
    "xception": "stages.0.0.weight",
    "densenet121": "stages.0.conv.weight",
}
"""Family -> the first kernel, which is summed over red, green and blue for one-channel images."""


def load_no_top(net: nn.Module, file: Path, family: str, densely: int | None = None) -> None:
    """Load a backbone's published weights into a network's stages; its head stays as it is.

    Parameters
    ----------
    net : nn.Module
        A network of the catalogue.
    file : Path
        ``.h5`` without top, or ``.keras`` with the backbone nested in a model.
    family : str
        ``resnet50v2``, ``xception`` or ``densenet121``.
    densely : int or None
        Only so many leading stages belong to the backbone; None: all.

    Raises
    ------
    WeightsError
        The file holds another network, a top, or an array too many or too few.
    """
    prefixes = tuple(f"stages.{index}." for index in range(densely)) if densely else ("stages.",)
    own = net.state_dict()
    shapes = {
        name: tuple(value.shape)
        for name, value in own.items()
        if name.startswith(prefixes) and not name.endswith("num_batches_tracked")
    }
    with keras_file(file) as stored:
        found = family_of(stored.layers)
        if found != family:
            raise WeightsError(f"{file.name} holds {found}, not {family}; give another --init file")
        moves = plan_moves(stored.layers, shapes, place_of(family), (), summed=STEMS[family])
        with torch.no_grad():
            for name, tensor in filled(stored, moves).items():
                own[name].copy_(tensor)


def load_resnet50v2(net: nn.Module, file: Path) -> None:
    """Load ImageNet's ResNet50V2; for one-channel images its first kernel is summed over the colours."""
    load_no_top(net, file, "resnet50v2")


def load_xception(net: nn.Module, file: Path) -> None:
    """Load ImageNet's Xception; for one-channel images its first kernel is summed over the colours."""
    load_no_top(net, file, "xception")


def load_densenet121(net: nn.Module, file: Path) -> None:
    """Load ImageNet's DenseNet-121 into the first nine stages; the attention stays as it is."""
    load_no_top(net, file, "densenet121", densely=9)
