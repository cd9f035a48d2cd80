"""Deep-CXR-Net: three networks of Deep-CT-Net's structure, two of them frozen.

Deep-CT-Net and Deep-CXR-Net (Scientific Reports 2022, s41598-022-06802-7), sections 2.3 and 4.2. Part 1
gives the likelihoods of six findings (pre-trained on CheXpert), part 2 those of pneumonia or none
(pre-trained on the chest X-ray pneumonia set); part 3 joins them to its own features. Only part 3 is
fitted.
"""

from __future__ import annotations

from typing import Final, Self

import torch
from torch import Tensor, nn

from trainer.nets.attention_head import AttentionClassifier
from trainer.nets.deep_ct_net import SIDE_MULTIPLE, SIZE, DeepCtNet, attended_stages
from trainer.nets.densenet121 import FEATURES
from trainer.nets.heads import grid_of

FINDINGS: Final = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Pleural Effusion",
    "Pneumonia",
)
"""Of part 1. The paper names none: the five tasks of the CheXpert competition, and pneumonia."""
PNEUMONIA: Final = 2
"""Units of part 2: pneumonia, none."""
HIDDEN: Final = (128, 64)


def part1(
    channels: int = 3, classes: int = len(FINDINGS), dropout: float = 0.5, size: tuple[int, int] = SIZE
) -> DeepCtNet:
    """Return part 1: one log odds a finding, each with its own sigmoid."""
    return DeepCtNet(channels, classes, dropout, size, one_logit=False)


def part2(
    channels: int = 3, classes: int = PNEUMONIA, dropout: float = 0.5, size: tuple[int, int] = SIZE
) -> DeepCtNet:
    """Return part 2: two scores with a softmax."""
    return DeepCtNet(channels, classes, dropout, size, one_logit=False)


class Likelihoods(nn.Module):
    """Parts 1 and 2, frozen: always in evaluation mode, without gradients."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.part1 = part1(channels, size=size)
        self.part2 = part2(channels, size=size)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002 - frozen parts keep their statistics
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return ([n, 6 + 2] likelihoods, the images)."""
        with torch.no_grad():
            findings = torch.sigmoid(self.part1(images))
            pneumonia = torch.softmax(self.part2(images), dim=1)
        return torch.cat([findings, pneumonia], dim=1), images


class Beside(nn.Module):
    """A stage of part 3, applied to the maps while the likelihoods are handed on."""

    def __init__(self, stage: nn.Module) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, features: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Map (likelihoods, maps) to (likelihoods, next maps)."""
        return features[0], self.stage(features[1])


class DeepCxrNet(AttentionClassifier):
    """Deep-CXR-Net.

    Parameters
    ----------
    channels : int
    classes : int
        2: one log odds of class 0, as scores (z, 0).
    dropout : float
        Before the last dense layer, in training only.
    size : (int, int)
        Rows and columns of the images, multiples of 256.

    Notes
    -----
    Behind the joint there are two dense layers, as in the paper: 128 + 6 + 2 -> 64 -> 1.
    """

    def __init__(
        self, channels: int = 3, classes: int = 2, dropout: float = 0.5, size: tuple[int, int] = SIZE
    ) -> None:
        grid = grid_of(size, SIDE_MULTIPLE, SIDE_MULTIPLE)
        self_trained = (Beside(stage) for stage in attended_stages(channels))
        super().__init__(
            nn.Sequential(Likelihoods(channels, size), *self_trained),
            maps=FEATURES,
            grid=grid,
            hidden=HIDDEN,
            likelihoods=len(FINDINGS) + PNEUMONIA,
            classes=classes,
            dropout=dropout,
            one_logit=classes == 2,
        )

    @property
    def likelihoods(self) -> Likelihoods:
        """The frozen parts, into which fitted parts 1 and 2 are loaded."""
        first = self.stages[0]
        if not isinstance(first, Likelihoods):
            raise TypeError("the first stage holds parts 1 and 2")
        return first
