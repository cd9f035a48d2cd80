"""A network of a few thousand parameters with the catalogue's interface, to try the whole way in seconds."""

from __future__ import annotations

from torch import Tensor, nn

from trainer.nets.same_padding import SameConv2d

FEATURES = 16


class TinyNet(nn.Module):
    """Three strided stages, global average pooling, one dense layer."""

    def __init__(self, channels: int = 3, classes: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            nn.Sequential(SameConv2d(channels, 8, 3, 4), nn.BatchNorm2d(8), nn.ReLU6()),
            nn.Sequential(
                SameConv2d(8, 8, 3, 2, groups=8),
                SameConv2d(8, FEATURES, 1),
                nn.BatchNorm2d(FEATURES),
                nn.ReLU6(),
            ),
            nn.Sequential(SameConv2d(FEATURES, FEATURES, 3, 1), nn.BatchNorm2d(FEATURES), nn.ReLU6()),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(FEATURES, classes)

    def features(self, images: Tensor) -> Tensor:
        """Return the last feature maps [n, 16, rows/8, columns/8]."""
        result: Tensor = self.stages(images)
        return result

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores before the softmax, [n, classes]."""
        result: Tensor = self.head(self.dropout(self.features(images).mean(dim=(2, 3))))
        return result
