"""The networks by name, and what all of them offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol, cast

from torch import Tensor, nn

from trainer.errors import RecipeError
from trainer.imports.imagenet import load_densenet121, load_resnet50v2, load_xception
from trainer.nets import deep_cxr_net, efficientnet_lite0, tiny, xception_middle
from trainer.nets.deep_ct_net import DeepCtNet
from trainer.nets.deep_cxr_net import DeepCxrNet
from trainer.nets.heads import Features, ServedHead
from trainer.nets.resnet50v2 import ResNet50V2
from trainer.nets.resnet50v2_fpn import ResNet50V2Fpn
from trainer.nets.xception import Xception


class PooledNet(Protocol):
    """What every network of the catalogue offers (``nn.Module`` besides)."""

    stages: nn.Sequential
    """The feature extractor, from the input to the features."""
    dropout: nn.Dropout
    """Within the head."""
    head: nn.Linear
    """The last dense layer."""

    def features(self, images: Tensor) -> Features:
        """Return the features; the maps that Grad-CAM explains are the last entry."""
        ...

    def classify(self, features: Features) -> Tensor:
        """Return class scores before the softmax, [n, classes], of features."""
        ...

    def served_head(self, positive: int) -> ServedHead:
        """Return a copy of the head that gives scores and Grad-CAM evidence."""
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
    """Callable (channels, classes, dropout[, size=(rows, columns)]) -> nn.Module that is a PooledNet."""
    load_imagenet: Callable[[Any, Path], None] | None
    """(net, file): loads published ImageNet weights; None where there are none."""
    sized: bool = False
    """Whether the network is built for one size of images."""


NETS: Final[Mapping[str, NetKind]] = MappingProxyType(
    {
        "efficientnet-lite0": NetKind(
            title="EfficientNet-Lite0",
            build=efficientnet_lite0.EfficientNetLite0,
            load_imagenet=efficientnet_lite0.load_imagenet,
        ),
        "resnet50v2": NetKind(
            title="ResNet50V2 (flattened head)",
            build=ResNet50V2,
            load_imagenet=load_resnet50v2,
            sized=True,
        ),
        "resnet50v2-pooled": NetKind(
            title="ResNet50V2 (pooled head)",
            build=partial(ResNet50V2, pooled=True),
            load_imagenet=load_resnet50v2,
        ),
        "resnet50v2-fpn": NetKind(
            title="ResNet50V2 with feature pyramid",
            build=ResNet50V2Fpn,
            load_imagenet=load_resnet50v2,
            sized=True,
        ),
        "xception": NetKind(
            title="Xception (flattened head)", build=Xception, load_imagenet=load_xception, sized=True
        ),
        "xception-pooled": NetKind(
            title="Xception (pooled head)", build=partial(Xception, pooled=True), load_imagenet=load_xception
        ),
        "xception-middle": NetKind(
            title="Xception up to block 8 (pooled head)",
            build=xception_middle.XceptionMiddle,
            load_imagenet=xception_middle.load_imagenet,
        ),
        "deep-ct-net": NetKind(
            title="Deep-CT-Net", build=DeepCtNet, load_imagenet=load_densenet121, sized=True
        ),
        "deep-cxr-net-part1": NetKind(
            title="Deep-CXR-Net, part 1 (six findings)",
            build=deep_cxr_net.part1,
            load_imagenet=load_densenet121,
            sized=True,
        ),
        "deep-cxr-net-part2": NetKind(
            title="Deep-CXR-Net, part 2 (pneumonia)",
            build=deep_cxr_net.part2,
            load_imagenet=load_densenet121,
            sized=True,
        ),
        "deep-cxr-net": NetKind(title="Deep-CXR-Net", build=DeepCxrNet, load_imagenet=None, sized=True),
        "tiny": NetKind(
            title="Tiny convolutional network (for tests of the way, of no use otherwise)",
            build=tiny.TinyNet,
            load_imagenet=None,
        ),
    }
)


def build_net(
    name: str,
    channels: int,
    classes: int,
    dropout: float,
    init: Path | None,
    *,
    size: tuple[int, int] | None = None,
    stem: str = "summed",
) -> nn.Module:
    """Build a network by its name in a recipe.

    Parameters
    ----------
    name : str
    channels, classes : int
        Input channels and classes.
    dropout : float
        In the head, in training.
    init : Path or None
        File with published ImageNet weights.
    size : (int, int) or None
        Rows and columns of the images; None: the paper's, where the network is built for one size.
    stem : str
        What becomes of ImageNet's first kernel on one-channel images: ``summed`` over the colours, or left
        ``random`` together with its bias.

    Raises
    ------
    RecipeError
        No such network, it takes no ImageNet weights, or no images of that size.
    WeightsError
        The file does not fit.
    """
    if name not in NETS:
        raise RecipeError(f"net {name!r} is unknown; known are {', '.join(sorted(NETS))}")
    kind = NETS[name]
    sized = {"size": size} if kind.sized and size is not None else {}
    net = cast(nn.Module, kind.build(channels, classes, dropout, **sized))
    if init is not None:
        if kind.load_imagenet is None:
            raise RecipeError(f"net {name!r} has no published weights; leave --init out")
        first = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
        fresh = {name: value.clone() for name, value in first.state_dict().items()}
        kind.load_imagenet(net, init)
        if stem == "random" and channels == 1:
            first.load_state_dict(fresh)
    return net


def pooled(net: nn.Module) -> PooledNet:
    """Return the network under its common interface."""
    return cast(PooledNet, net)
