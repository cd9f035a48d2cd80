"""The networks by name, and what all of them offer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol, cast

from torch import Tensor, nn

from trainer.errors import RecipeError
from trainer.nets import efficientnet_lite0, tiny, xception


class PooledNet(Protocol):
    """A network whose head is global average pooling and one dense layer (``nn.Module`` besides)."""

    stages: nn.Sequential
    """The feature extractor, from the input to the last feature maps."""
    dropout: nn.Dropout
    """Between pooling and head."""
    head: nn.Linear
    """From pooled features to class scores."""

    def features(self, images: Tensor) -> Tensor:
        """Return the last feature maps, [n, features, grid rows, grid columns]."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """Return class scores before the softmax, [n, classes]."""
        ...


@dataclass(frozen=True, kw_only=True)
class NetKind:
    """One network of the catalogue."""

    title: str
    """As it stands in a card."""
    build: Any
    """Callable (channels, classes, dropout) -> nn.Module that is a PooledNet."""
    load_imagenet: Any
    """Callable (net, file) that loads published ImageNet weights, or None."""


NETS: Final[Mapping[str, NetKind]] = MappingProxyType(
    {
        "efficientnet-lite0": NetKind(
            title="EfficientNet-Lite0",
            build=efficientnet_lite0.EfficientNetLite0,
            load_imagenet=efficientnet_lite0.load_imagenet,
        ),
        "xception": NetKind(
            title="Xception (pooled head)", build=xception.Xception, load_imagenet=xception.load_imagenet
        ),
        "tiny": NetKind(
            title="Tiny convolutional network (for tests of the way, of no use otherwise)",
            build=tiny.TinyNet,
            load_imagenet=None,
        ),
    }
)


def build_net(name: str, channels: int, classes: int, dropout: float, init: Path | None) -> nn.Module:
    """Build a network by its name in a recipe.

    Parameters
    ----------
    name : str
    channels, classes : int
        Input channels and units of the head.
    dropout : float
        Before the head, in training.
    init : Path or None
        File with published ImageNet weights.

    Raises
    ------
    RecipeError
        No such network, or it takes no ImageNet weights.
    WeightsError
        The file does not fit.
    """
    if name not in NETS:
        raise RecipeError(f"net {name!r} is unknown; known are {', '.join(sorted(NETS))}")
    kind = NETS[name]
    net = cast(nn.Module, kind.build(channels, classes, dropout))
    if init is not None:
        if kind.load_imagenet is None:
            raise RecipeError(f"net {name!r} has no published weights; leave --init out")
        kind.load_imagenet(net, init)
    return net


def pooled(net: nn.Module) -> PooledNet:
    """Return the network under its common interface."""
    return cast(PooledNet, net)
