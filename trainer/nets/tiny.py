"""A network of a few thousand parameters with the catalogue's interface, to try the whole way in seconds."""

from __future__ import annotations

from torch import nn

from trainer.nets.heads import DenseClassifier
from trainer.nets.same_padding import SameConv2d

FEATURES = 16


class TinyNet(DenseClassifier):
    """Three strided stages, global average pooling, one dense layer."""

    def __init__(self, channels: int = 3, classes: int = 2, dropout: float = 0.0) -> None:
        stages = nn.Sequential(
            nn.Sequential(SameConv2d(channels, 8, 3, 4), nn.BatchNorm2d(8), nn.ReLU6()),
            nn.Sequential(
                SameConv2d(8, 8, 3, 2, groups=8),
                SameConv2d(8, FEATURES, 1),
                nn.BatchNorm2d(FEATURES),
                nn.ReLU6(),
            ),
            nn.Sequential(SameConv2d(FEATURES, FEATURES, 3, 1), nn.BatchNorm2d(FEATURES), nn.ReLU6()),
        )
        super().__init__(stages, FEATURES, classes, dropout, deviation=0.15)
