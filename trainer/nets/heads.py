"""What follows the feature extractor, in training and as it is served.

Every network is a sequence of stages that ends in feature maps, and a head that turns these into class
scores. As served, a head also gives the Grad-CAM evidence (Selvaraju et al., ICCV 2017: feature maps
weighted with the spatial mean of the class score's gradient) in closed form, so that no autograd is needed.

Features are one tensor, or a tuple whose last entry holds the maps that Grad-CAM explains.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from trainer.errors import RecipeError

Features = Tensor | tuple[Tensor, ...]


def explained(features: Features) -> Tensor:
    """Return the maps that Grad-CAM explains, [n, features, grid rows, grid columns]."""
    return features[-1] if isinstance(features, tuple) else features


def with_explained(features: Features, maps: Tensor) -> Features:
    """Return ``features`` with other explained maps."""
    return (*features[:-1], maps) if isinstance(features, tuple) else maps


def grid_of(size: tuple[int, int], smallest: int, multiple: int) -> tuple[int, int]:
    """Return the feature grid of a network that divides each side by 32.

    Raises
    ------
    RecipeError
        A side is smaller than ``smallest`` or no multiple of ``multiple``.
    """
    for side in size:
        if side < smallest or side % multiple:
            raise RecipeError(
                f"the network takes sides that are multiples of {multiple}, at least {smallest}, not "
                f"{size[0]} x {size[1]}; change 'size' in the recipe"
            )
    return size[0] // 32, size[1] // 32


def centred(head: nn.Linear) -> nn.Linear:
    """Return a dense layer with its weights centred over the classes.

    The softmax does not change by that, and the positive class' score becomes the evidence for it against the
    others.
    """
    result = nn.Linear(head.in_features, head.out_features)
    with torch.no_grad():
        result.weight.copy_(head.weight - head.weight.mean(dim=0, keepdim=True))
        result.bias.copy_(head.bias - head.bias.mean())
    return result


class ServedHead(nn.Module):
    """A head as it is served; ``forward`` gives scores and evidence together."""

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """Judge features.

        Parameters
        ----------
        features : Tensor or tuple of Tensor

        Returns
        -------
        scores : Tensor, shape (n, classes)
            Before the softmax, centred over the classes.
        evidence : Tensor, shape (n, grid rows, grid columns)
            Grad-CAM of the positive class' score before its ReLU.
        """
        raise NotImplementedError


class Classifier(nn.Module):
    """A network of the catalogue: stages, then a head whose last layer is ``head``.

    Attributes
    ----------
    stages : nn.Sequential
        From the input to the features; leading ones may be frozen.
    dropout : nn.Dropout
        Within the head, in training.
    head : nn.Linear
        The last dense layer.
    """

    stages: nn.Sequential
    dropout: nn.Dropout
    head: nn.Linear

    def features(self, images: Tensor) -> Features:
        """Map [n, channels, rows, columns] to the features."""
        return cast(Features, self.stages(images))

    def classify(self, features: Features) -> Tensor:
        """Return class scores before the softmax, [n, classes], of features."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores before the softmax, [n, classes], of images."""
        return self.classify(self.features(images))

    def served_head(self, positive: int) -> ServedHead:
        """Return a copy of the head as it is served, with ``positive`` as the explained class."""
        raise NotImplementedError


class DenseClassifier(Classifier):
    """One dense layer behind the maps, pooled (``grid`` None) or flattened.

    Parameters
    ----------
    stages : nn.Sequential
    features : int
        Maps after the last stage.
    classes : int
    dropout : float
    grid : (int, int) or None
        Rows and columns of the maps: one weight a cell, and images of one size only. None: global average
        pooling.
    deviation : float
        Of the dense kernel's initial values.
    """

    def __init__(
        self,
        stages: nn.Sequential,
        features: int,
        classes: int,
        dropout: float,
        *,
        grid: tuple[int, int] | None = None,
        deviation: float = 0.01,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.stages = stages
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(features * (grid[0] * grid[1] if grid else 1), classes)
        nn.init.normal_(self.head.weight, std=deviation)
        nn.init.zeros_(self.head.bias)

    def classify(self, features: Features) -> Tensor:
        """Return class scores before the softmax, [n, classes]."""
        maps = explained(features)
        values = maps.mean(dim=(2, 3)) if self.grid is None else maps.flatten(1)
        result: Tensor = self.head(self.dropout(values))
        return result

    def served_head(self, positive: int) -> ServedHead:
        """Return the head for export; its gradient is a constant."""
        if self.grid is None:
            return _PooledHead(centred(self.head), positive)
        return _FlatHead(centred(self.head), positive, self.grid)


class _PooledHead(ServedHead):
    """The gradient at every cell is the dense weight over the number of cells."""

    def __init__(self, head: nn.Linear, positive: int) -> None:
        super().__init__()
        self.head = head
        self.positive = positive

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        maps = explained(features)
        evidence = torch.einsum("nkij,k->nij", maps, self.head.weight[self.positive])
        return self.head(maps.mean(dim=(2, 3))), evidence / (maps.shape[2] * maps.shape[3])


class _FlatHead(ServedHead):
    """The gradient is the dense kernel itself; Grad-CAM takes its spatial mean."""

    gradient: Tensor

    def __init__(self, head: nn.Linear, positive: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.head = head
        kernel = head.weight[positive].detach().reshape(-1, *grid)
        self.register_buffer("gradient", kernel.mean(dim=(1, 2)))

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        maps = explained(features)
        return self.head(maps.flatten(1)), torch.einsum("nkij,k->nij", maps, self.gradient)
